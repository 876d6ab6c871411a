"""The toy world: coloured shapes that move over textured backgrounds, with captions. It trains and shows the demo model.

Everything follows from the random generator given, so a seed is a data set. One clip in a picture:

    (frames, size, size, 3) uint8        time 0 ── 1, half-open; frame i shows the instant (i + 0.5) / frames
    x to the right, y down, both 0..1    so the same Scene renders at any size and any number of frames
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product

import numpy as np
import numpy.typing as npt

from indexer import _toywords as words
from indexer._toywords import COLOURS, MOTIONS, SHAPES, TEXTURES, TONES

Floats = npt.NDArray[np.float32]
Clip = npt.NDArray[np.uint8]  # (frames, size, size, 3) RGB

REVERSED = {"right": "left", "up": "down", "grow": "shrink", "clockwise": "anticlockwise"}
REVERSED |= {after: before for before, after in REVERSED.items()}  # "blink" and "bounce" look the same backwards
LONGEST_CAPTION = 29  # words; with the start and end symbols it fits the 32 tokens of a ViCLIP
CATEGORIES = ("single", "pair", "crowd")  # of one, two, three things


@dataclass(frozen=True)
class Thing:
    """One coloured shape and what it does.

    Attributes:
        large: its size, where `named_size` says that a caption may name it.
        radius: of the circle around it, as a part of the picture's side; of the largest instant when it grows or shrinks.
        x, y: the middle of its path.
        reach: how far it goes from there: half a straight path, an orbit's radius, a hop's height.
        phase: where on its orbit it starts, radians.
        beats: how often it blinks or hops.
    """

    colour: str
    shape: str
    motion: str
    large: bool
    radius: float
    x: float
    y: float
    reach: float
    phase: float
    beats: int

    @property
    def held_out(self) -> bool:
        """Whether this (colour, shape, motion) is never trained on; a motion and its reversal share the answer."""
        family = min(self.motion, REVERSED.get(self.motion, self.motion))
        return zlib.crc32(f"{self.colour} {self.shape} {family}".encode()) % 5 == 0


@dataclass(frozen=True)
class Scene:
    """What is seen: one to three things, the later ones in front, and the background. `seed` draws the texture's details."""

    things: tuple[Thing, ...]
    tone: str
    texture: str
    seed: int

    @property
    def key(self) -> tuple[object, ...]:
        """What a complete caption tells: scenes of one key cannot be told apart by words."""
        told = sorted((t.colour, t.shape, t.motion, size_word(self, t)) for t in self.things)
        return (self.tone, self.texture, *told)


def size_word(scene: Scene, thing: Thing) -> str:
    """Return "large", "small", or "" where size says nothing: in a crowd, and of what changes its size."""
    if len(scene.things) > 2 or thing.motion in ("grow", "shrink"):
        return ""
    return "large" if thing.large else "small"


def sample_scene(rng: np.random.Generator, *, count: int | None = None, held_out: bool | None = None) -> Scene:
    """Draw a scene.

    Args:
        count: 1 to 3 things, of different colours; None draws it (40 %, 40 %, 20 %).
        held_out: True for combinations of colour, shape and motion that are never trained on, False for those that are, None for all.
    """
    count = count or int(rng.choice((1, 2, 3), p=(0.4, 0.4, 0.2)))
    colours = [COLOURS[i] for i in rng.permutation(len(COLOURS))[:count]]
    looks = [(colour, _pick(rng, SHAPES)) for colour in colours]
    background = (_pick(rng, TONES), _pick(rng, TEXTURES), int(rng.integers(2**31)))
    large = [bool(rng.random() < 0.5) for _ in looks]
    return Scene(_place_things(looks, large, rng, held_out), *background)


def held_out_scenes(count: int, *, seed: int) -> list[Scene]:
    """Return scenes of combinations never trained on, no two of which a complete caption could confuse: candidates for an evaluation."""
    rng = np.random.default_rng(seed)
    scenes: dict[tuple[object, ...], Scene] = {}
    while len(scenes) < count:
        scene = sample_scene(rng, held_out=True)
        scenes.setdefault(scene.key, scene)
    return list(scenes.values())


def vary_motion(scene: Scene, rng: np.random.Generator, *, held_out: bool | None = None) -> Scene:
    """Return the same things on the same background, each with a motion drawn anew: only time can tell the two apart."""
    looks = [(thing.colour, thing.shape) for thing in scene.things]
    return replace(scene, things=_place_things(looks, [thing.large for thing in scene.things], rng, held_out))


def vary_setting(scene: Scene, rng: np.random.Generator) -> Scene:
    """Return the same things and motions on another background or, now and then and where a caption would tell, of other sizes."""
    sized = [size_word(scene, thing) for thing in scene.things]
    if any(sized) and rng.random() < 0.4:
        things = [replace(thing, large=thing.large ^ bool(word)) for thing, word in zip(scene.things, sized, strict=True)]
        return replace(scene, things=tuple(_fit_path(thing, len(things), rng) for thing in things))
    others = [pair for pair in product(TONES, TEXTURES) if pair != (scene.tone, scene.texture)]
    tone, texture = others[int(rng.integers(len(others)))]
    return replace(scene, tone=tone, texture=texture, seed=int(rng.integers(2**31)))


def reverse(scene: Scene) -> Scene | None:
    """Return the scene that plays backwards: `render` gives exactly the frames in reverse. None when that looks the same."""
    things = tuple(replace(thing, motion=REVERSED.get(thing.motion, thing.motion)) for thing in scene.things)
    return None if things == scene.things else replace(scene, things=things)


def _place_things(
    looks: Sequence[tuple[str, str]], large: Sequence[bool], rng: np.random.Generator, held_out: bool | None
) -> tuple[Thing, ...]:
    """Draw a motion for each, and put several things into different quarters of the picture."""
    things = []
    for (colour, shape), big, corner in zip(looks, large, rng.permutation(4).tolist(), strict=False):
        thing = _draw_motion(Thing(colour, shape, "", big, 0, 0, 0, 0, 0, 0), rng, held_out)
        x, y = np.array((0.28 + 0.44 * (corner % 2), 0.28 + 0.44 * (corner // 2))) + rng.uniform(-0.06, 0.06, 2)
        x, y = (x, y) if len(looks) > 1 else rng.uniform(0.1, 0.9, 2)
        things.append(_fit_path(replace(thing, x=float(x), y=float(y)), len(looks), rng))
    return tuple(things)


def _draw_motion(thing: Thing, rng: np.random.Generator, held_out: bool | None) -> Thing:
    """Draw a motion that is held out, or is not; a look that has no such motion gets another shape."""
    while True:
        choices = [motion for motion in MOTIONS if held_out is None or replace(thing, motion=motion).held_out == held_out]
        if choices:
            return replace(thing, motion=_pick(rng, choices), phase=float(rng.uniform(0, 2 * np.pi)), beats=int(rng.integers(2, 4)))
        thing = replace(thing, shape=_pick(rng, SHAPES))


def _fit_path(thing: Thing, count: int, rng: np.random.Generator) -> Thing:
    """Draw a size and a reach that fit the number of things, and move the path into the picture."""
    radius = 0.13 if count > 2 else 0.19 if thing.large else 0.125
    if thing.motion in ("grow", "shrink"):
        radius = 0.18 if count > 2 else 0.22
    reach = _draw_reach(thing.motion, count > 1, rng)
    margin_x = radius + (reach if thing.motion in ("right", "left", "clockwise", "anticlockwise") else 0)
    margin_y = radius + (reach if thing.motion in ("up", "down", "clockwise", "anticlockwise", "bounce") else 0)
    x, y = np.clip((thing.x, thing.y), (margin_x, margin_y), (1 - margin_x, 1 - margin_y)).tolist()
    return replace(thing, radius=radius, reach=reach, x=x, y=y)


def _draw_reach(motion: str, crowded: bool, rng: np.random.Generator) -> float:
    if motion in ("clockwise", "anticlockwise"):
        return float(rng.uniform(0.12, 0.18 if crowded else 0.24))
    if motion == "bounce":
        return float(rng.uniform(0.13, 0.2))
    return float(rng.uniform(0.18, 0.24 if crowded else 0.3))


def _pick(rng: np.random.Generator, choices: Sequence[str]) -> str:
    return choices[int(rng.integers(len(choices)))]


def describe(scene: Scene, rng: np.random.Generator, *, complete: bool = False, language: str = "en") -> str:
    """Return one of many captions, at most LONGEST_CAPTION words.

    Args:
        complete: name all that `Scene.key` holds; otherwise sizes, the background or motions are left out now and then.
        language: "en" or "de".
    """
    while True:
        caption = _word(scene, rng, complete) if language == "en" else _word_in_german(scene, rng, complete)
        if len(caption.split()) <= LONGEST_CAPTION:
            return caption


def _word(scene: Scene, rng: np.random.Generator, complete: bool) -> str:
    def pick(choices: Sequence[str]) -> str:
        return _pick(rng, choices)

    form = pick(("verb", "verb", "gerund", "is"))
    tell_motion, tell_size, tell_background = _what_to_tell(rng, complete)
    parts = []
    for index in rng.permutation(len(scene.things)).tolist():
        thing = scene.things[index]
        noun = words.noun(thing.colour, thing.shape, size_word(scene, thing) if tell_size else "", pick)
        parts.append(f"{noun} {words.motion(thing.motion, form, pick)}" if tell_motion else noun)
    text = _join(parts, pick(("and", "and", "while") if tell_motion else ("and", "and", "with")))
    if tell_background:
        text = f"{text} {words.background(scene.tone, scene.texture, pick)}"
    if form == "gerund" and rng.random() < 0.3:
        text = f"{pick(('a video of', 'we see', 'there is'))} {text}"
    return text


def _word_in_german(scene: Scene, rng: np.random.Generator, complete: bool) -> str:
    def pick(choices: Sequence[str]) -> str:
        return _pick(rng, choices)

    tell_motion, tell_size, tell_background = _what_to_tell(rng, complete)
    parts = []
    for index in rng.permutation(len(scene.things)).tolist():
        thing = scene.things[index]
        noun = words.german_noun(thing.colour, thing.shape, size_word(scene, thing) if tell_size else "")
        parts.append(f"{noun} {words.german_motion(thing.motion, pick)}" if tell_motion else noun)
    text = _join(parts, "und")
    return f"{text} {words.german_background(scene.tone, scene.texture)}" if tell_background else text


def _what_to_tell(rng: np.random.Generator, complete: bool) -> tuple[bool, bool, bool]:
    motion, size, background = (rng.random(3) < (0.93, 0.75, 0.7)).tolist()
    return complete or motion, complete or size, complete or background


def _join(parts: Sequence[str], last: str) -> str:
    return f" {last} ".join(", ".join(group) for group in (parts[:-1], parts[-1:]) if group)
