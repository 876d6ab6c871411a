"""The toy world: coloured shapes that move over textured backgrounds, with captions. It trains and shows the demo model.

Everything follows from the random generator given, so a seed is a data set. One clip in a picture:

    (frames, size, size, 3) uint8        time 0 ── 1, half-open; frame i shows the instant (i + 0.5) / frames
    x to the right, y down, both 0..1    so the same Scene renders at any size and any number of frames
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from indexer import _toywords as words
from indexer._toywords import COLOURS, MOTIONS, SHAPES, TEXTURES, TONES
from vidsearch.extras import require

Floats = npt.NDArray[np.float32]
Clip = npt.NDArray[np.uint8]  # (frames, size, size, 3) RGB

REVERSED = {"right": "left", "up": "down", "grow": "shrink", "clockwise": "anticlockwise"}
REVERSED |= {after: before for before, after in REVERSED.items()}  # "blink" and "bounce" look the same backwards
LONGEST_CAPTION = 29  # words; with the start and end symbols it fits the 32 tokens of a ViCLIP
CATEGORIES = ("single", "pair", "crowd")  # of one, two, three things
_PAINT = {
    "red": (214, 32, 36), "orange": (245, 130, 20), "yellow": (246, 222, 40), "green": (40, 160, 50),
    "turquoise": (60, 210, 205), "blue": (40, 70, 220), "purple": (130, 40, 170), "pink": (250, 130, 190),
}  # fmt: skip


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


def render(scene: Scene, *, size: int, frames: int, softness: float = 1.0) -> Clip:
    """Return (frames, size, size, 3) uint8 RGB; edges are antialiased over `softness` pixels."""
    return render_at(scene, (np.arange(frames) + 0.5) / frames, size=size, softness=softness)


def render_at(scene: Scene, time: npt.NDArray[np.float64], *, size: int, softness: float = 1.0) -> Clip:
    """Return (len(time), size, size, 3) uint8 RGB of the instants `time`, each in 0..1."""
    side = ((np.arange(size) + 0.5) / size).astype(np.float32)
    rng = np.random.default_rng(scene.seed)
    picture = np.repeat(_paint_background(scene, side, rng)[None], len(time), axis=0)
    for thing in scene.things:
        paint = np.array(_PAINT[thing.colour], dtype=np.float32) + rng.normal(0, 7, 3).astype(np.float32)
        _paint_thing(picture, thing, paint, time, softness)
    return (np.clip(picture, 0, 255) + 0.5).astype(np.uint8)


def _paint_thing(picture: Floats, thing: Thing, paint: Floats, time: npt.NDArray[np.float64], softness: float) -> None:
    """Paint one thing into (frames, size, size, 3), working on no more than the box it moves in."""
    size = picture.shape[1]
    x, y, radius, opacity = _pose(thing, time)
    columns, rows = _span(x, radius, size), _span(y, radius, size)
    dx = ((np.arange(size)[columns] + 0.5) / size - x[:, None]).astype(np.float32)[:, None, :]
    dy = ((np.arange(size)[rows] + 0.5) / size - y[:, None]).astype(np.float32)[:, :, None]
    distance = _DISTANCES[thing.shape](dx, dy, radius.astype(np.float32)[:, None, None])  # (frames, rows, columns)
    cover = np.clip(0.5 - distance * np.float32(size / softness), 0, 1) * opacity.astype(np.float32)[:, None, None]
    box = picture[:, rows, columns]
    box += cover[..., None] * (paint - box)


def _span(centre: npt.NDArray[np.float64], radius: npt.NDArray[np.float64], size: int) -> slice:
    """Return the pixels along one axis that the thing ever touches, with a few to spare for its soft edge and a square's corners."""
    first, last = (centre - 1.1 * radius).min() * size - 3, (centre + 1.1 * radius).max() * size + 3
    return slice(max(0, int(first)), min(size, int(last) + 1))


def _pose(thing: Thing, time: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], ...]:
    """Return x, y, radius and opacity at the instants `time`, each of its shape; the reversed motion at 1 - time is the same."""
    x, y, radius, opacity = (np.full_like(time, value) for value in (thing.x, thing.y, thing.radius, 1.0))
    along = 2 * time - 1  # -1 .. 1
    match thing.motion:
        case "right" | "left":
            x += thing.reach * (along if thing.motion == "right" else -along)
        case "up" | "down":
            y += thing.reach * (along if thing.motion == "down" else -along)
        case "grow" | "shrink":
            radius *= 0.65 + 0.35 * (along if thing.motion == "grow" else -along)
        case "clockwise" | "anticlockwise":
            angle = thing.phase + np.pi * (along if thing.motion == "clockwise" else -along)  # y is down: so this is clockwise
            x, y = x + thing.reach * np.cos(angle), y + thing.reach * np.sin(angle)
        case "blink":
            opacity = np.clip(0.5 + 4 * np.cos(np.pi * thing.beats * along), 0, 1)
        case "bounce":
            y += thing.reach * (1 - 2 * abs(np.sin(np.pi * thing.beats * time)))
    return x, y, radius, opacity


def _paint_background(scene: Scene, side: Floats, rng: np.random.Generator) -> Floats:
    """Return (size, size, 3), 0..255: a greyish tone, and a pattern that makes it a little darker and lighter."""
    tint = (rng.uniform(45, 75) if scene.tone == "dark" else rng.uniform(170, 205)) + rng.normal(0, 8, 3)
    angle, frequency, shift = rng.uniform(0, np.pi), rng.uniform(2.5, 4.5), rng.uniform(0, 1, 2)
    across = np.cos(angle) * side[None, :] + np.sin(angle) * side[:, None]
    columns, rows = (np.cos(2 * np.pi * (frequency * axis + offset)) for axis, offset in zip((side, side), shift, strict=True))
    match scene.texture:
        case "striped":
            pattern = np.tanh(3 * np.sin(2 * np.pi * (frequency * across + shift[0])))
        case "wavy":
            bend = 0.35 * np.sin(2 * np.pi * (2.2 * (np.cos(angle) * side[:, None] - np.sin(angle) * side[None, :]) + shift[1]))
            pattern = np.sin(2 * np.pi * (frequency * across + bend + shift[0]))
        case "checkered":
            pattern = np.tanh(4 * columns[None, :] * rows[:, None])
        case "dotted":
            pattern = np.tanh(4 * (columns[None, :] + rows[:, None] - 0.9))
        case _:
            pattern = np.zeros((len(side), len(side)))
    shade = 22 if scene.tone == "dark" else 26
    return np.asarray(tint + shade * pattern[..., None], dtype=np.float32)


def _star_distance(dx: Floats, dy: Floats, radius: Floats) -> Floats:
    """A five-pointed star, one point up: the tenth of it between a tip and a notch, mirrored round."""
    fifth, notch = 2 * np.pi / 5, 0.45
    angle = np.abs(np.mod(np.arctan2(dx, -dy) + fifth / 2, fifth) - fifth / 2)
    edge = np.array((notch * np.cos(fifth / 2) - 1, notch * np.sin(fifth / 2)))  # from tip to notch, for radius 1
    normal = np.array((edge[1], -edge[0])) / np.hypot(*edge)
    far = _length(dx, dy)
    distance = far * (np.cos(angle) * np.float32(normal[0]) + np.sin(angle) * np.float32(normal[1])) - radius * np.float32(normal[0])
    return np.asarray(distance, dtype=np.float32)


def _length(dx: Floats, dy: Floats) -> Floats:
    return np.asarray(np.sqrt(dx * dx + dy * dy))  # three times as fast as np.hypot


def _cross_distance(dx: Floats, dy: Floats, radius: Floats) -> Floats:
    across, down = abs(dx), abs(dy)
    return np.asarray(np.minimum(np.maximum(across - radius, down - 0.33 * radius), np.maximum(across - 0.33 * radius, down - radius)))


# Signed distance from a shape's edge, negative inside: near enough to a true distance to antialias with.
_DISTANCES = {
    "circle": lambda dx, dy, radius: _length(dx, dy) - radius,
    "square": lambda dx, dy, radius: np.maximum(abs(dx), abs(dy)) - 0.88 * radius,
    "triangle": lambda dx, dy, radius: np.maximum(dy - 0.55 * radius, 0.87 * abs(dx) - 0.5 * dy - 0.55 * radius),
    "star": _star_distance,
    "ring": lambda dx, dy, radius: abs(_length(dx, dy) - 0.76 * radius) - 0.24 * radius,
    "cross": _cross_distance,
}


def write_demo_videos(folder: Path, *, count: int = 300, seed: int, size: int = 128, rate: int = 10) -> Iterator[dict[str, Any]]:
    """Write `count` h264 files of 3 seconds into `folder` and yield the InternVid-style row of each as soon as it is written.

    One caption in ten is German. The scores are rules, not guesses: `Aesthetic_Score` is 3.5 plus up to 3 for the contrast of the
    things against their background; `UMT_Score` is 0.2 plus 0.3 times the part of what is seen that the caption names.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for _ in range(count):
        scene = sample_scene(rng)
        language = "de" if rng.random() < 0.1 else "en"
        caption = describe(scene, rng, language=language)
        name = _video_id(rng)
        encode_video(folder / f"{name}.mp4", render(scene, size=size, frames=3 * rate), rate=rate)
        yield {
            "YoutubeID": name,
            "Start_timestamp": "00:00:00.000",
            "End_timestamp": "00:00:03.000",
            "Caption": caption[0].upper() + caption[1:],
            "Language": language,
            "Category": CATEGORIES[len(scene.things) - 1],
            "Aesthetic_Score": round(3.5 + 3 * _contrast(scene), 3),
            "UMT_Score": round(0.2 + 0.3 * min(1.0, len(caption.split()) / (6 * len(scene.things) + 5)), 3),
            "video_path": f"{name}.mp4",
        }


def encode_video(target: Path | BinaryIO, frames: Clip, *, rate: int, quality: int = 23) -> None:
    """Write frames as h264 in mp4, yuv420p; `quality` is x264's constant rate factor. The bytes follow from the input alone."""
    av = require("av")
    with av.open(str(target) if isinstance(target, Path) else target, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": str(quality), "preset": "veryfast", "threads": "1"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size = 10
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def _video_id(rng: np.random.Generator) -> str:
    """Return 11 characters, as YouTube's are, that begin with "toy"."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    return "toy" + "".join(letters[i] for i in rng.integers(len(letters), size=8).tolist())


def _contrast(scene: Scene) -> float:
    """Return 0..1: the mean distance of the things' colours from the background's mean colour."""
    ground = 60 if scene.tone == "dark" else 187
    distances = [np.linalg.norm(np.array(_PAINT[thing.colour]) - ground) for thing in scene.things]
    return float(np.mean(distances) / np.linalg.norm((195, 195, 195)))
