"""How the toy world looks: a scene becomes frames, at any size and number of them.

(frames, size, size, 3) uint8        time 0 ── 1, half-open; frame i shows the instant (i + 0.5) / frames
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from indexer.toyworld import Clip, Floats, Scene, Thing

PAINT = {
    "red": (214, 32, 36), "orange": (245, 130, 20), "yellow": (246, 222, 40), "green": (40, 160, 50),
    "turquoise": (60, 210, 205), "blue": (40, 70, 220), "purple": (130, 40, 170), "pink": (250, 130, 190),
}  # fmt: skip


def render(scene: Scene, *, size: int, frames: int, softness: float = 1.0) -> Clip:
    """Return (frames, size, size, 3) uint8 RGB; edges are antialiased over `softness` pixels."""
    return render_at(scene, (np.arange(frames) + 0.5) / frames, size=size, softness=softness)


def render_at(scene: Scene, time: npt.NDArray[np.float64], *, size: int, softness: float = 1.0) -> Clip:
    """Return (len(time), size, size, 3) uint8 RGB of the instants `time`, each in 0..1."""
    side = ((np.arange(size) + 0.5) / size).astype(np.float32)
    rng = np.random.default_rng(scene.seed)
    picture = np.repeat(_paint_background(scene, side, rng)[None], len(time), axis=0)
    for thing in scene.things:
        paint = np.array(PAINT[thing.colour], dtype=np.float32) + rng.normal(0, 7, 3).astype(np.float32)
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
