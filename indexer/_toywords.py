"""The wordings of the toy world: which words name a colour, a shape, a motion or a background, in English and German."""

from __future__ import annotations

from collections.abc import Callable, Sequence

Pick = Callable[[Sequence[str]], str]  # draws one of several wordings

COLOURS = ("red", "orange", "yellow", "green", "turquoise", "blue", "purple", "pink")
SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")
MOTIONS = ("right", "left", "up", "down", "grow", "shrink", "clockwise", "anticlockwise", "blink", "bounce")
TONES = ("dark", "light")
TEXTURES = ("plain", "striped", "checkered", "dotted", "wavy")

_COLOUR_WORDS = {"purple": ("purple", "purple", "violet"), "turquoise": ("turquoise", "turquoise", "cyan")}
_SHAPE_WORDS = {
    "circle": ("circle", "circle", "disc", "ball"),
    "square": ("square", "square", "box"),
    "ring": ("ring", "ring", "hoop"),
    "cross": ("cross", "cross", "plus sign"),
}
_SIZE_WORDS = {"large": ("large", "big"), "small": ("small", "little")}
# The first word is the verb, as "a circle ..." needs it; _GERUNDS has its other form.
_MOTION_WORDS = {
    "right": ("moves right", "moves to the right", "slides to the right", "drifts right", "goes from left to right", "travels rightwards"),
    "left": ("moves left", "moves to the left", "slides to the left", "drifts left", "goes from right to left", "travels leftwards"),
    "up": ("moves up", "rises", "floats upwards", "goes up", "moves from bottom to top", "climbs to the top"),
    "down": ("moves down", "falls", "sinks downwards", "goes down", "moves from top to bottom", "drops to the bottom"),
    "grow": ("grows", "gets bigger", "becomes larger", "expands"),
    "shrink": ("shrinks", "gets smaller", "becomes smaller", "contracts"),
    "clockwise": ("circles clockwise", "moves clockwise", "orbits clockwise", "goes round clockwise"),
    "anticlockwise": ("circles anticlockwise", "moves anticlockwise", "orbits counterclockwise", "goes round anticlockwise"),
    "blink": ("blinks", "flashes", "flickers", "turns on and off"),
    "bounce": ("bounces", "hops", "bounces up and down", "jumps up and down"),
}
_GERUNDS = {
    "becomes": "becoming", "blinks": "blinking", "bounces": "bouncing", "circles": "circling", "climbs": "climbing",
    "contracts": "contracting", "drifts": "drifting", "drops": "dropping", "expands": "expanding", "falls": "falling",
    "flashes": "flashing", "flickers": "flickering", "floats": "floating", "gets": "getting", "goes": "going", "grows": "growing",
    "hops": "hopping", "jumps": "jumping", "moves": "moving", "orbits": "orbiting", "rises": "rising", "shrinks": "shrinking",
    "sinks": "sinking", "slides": "sliding", "travels": "travelling", "turns": "turning",
}  # fmt: skip
_TEXTURE_NOUNS = {"plain": "plain colour", "striped": "stripes", "checkered": "checks", "dotted": "dots", "wavy": "waves"}

_GERMAN_COLOURS = dict(zip(COLOURS, ("rot", "orange", "gelb", "grün", "türkis", "blau", "violett", "pink"), strict=True))
_GERMAN_SHAPES = {  # with the ending of an adjective before it
    "circle": ("Kreis", "er"),
    "square": ("Quadrat", "es"),
    "triangle": ("Dreieck", "es"),
    "star": ("Stern", "er"),
    "ring": ("Ring", "er"),
    "cross": ("Kreuz", "es"),
}
_GERMAN_MOTIONS = {
    "right": ("bewegt sich nach rechts", "gleitet nach rechts"),
    "left": ("bewegt sich nach links", "gleitet nach links"),
    "up": ("bewegt sich nach oben", "steigt auf"),
    "down": ("bewegt sich nach unten", "fällt"),
    "grow": ("wächst", "wird größer"),
    "shrink": ("schrumpft", "wird kleiner"),
    "clockwise": ("kreist im Uhrzeigersinn",),
    "anticlockwise": ("kreist gegen den Uhrzeigersinn",),
    "blink": ("blinkt",),
    "bounce": ("hüpft", "springt auf und ab"),
}
_GERMAN_TEXTURES = {"striped": "Streifen", "checkered": "Karos", "dotted": "Punkten", "wavy": "Wellen"}


def noun(colour: str, shape: str, size: str, pick: Pick) -> str:
    """Return "a small red circle"; no size when `size` is empty."""
    words = [pick(_SIZE_WORDS[size])] if size else []
    words += [pick(_COLOUR_WORDS.get(colour, (colour,))), pick(_SHAPE_WORDS.get(shape, (shape,)))]
    return f"{'an' if words[0][0] in 'aeiou' else 'a'} {' '.join(words)}"


def motion(name: str, form: str, pick: Pick) -> str:
    """Return "moves to the right" (form "verb"), "moving to the right" ("gerund") or "is moving to the right" ("is")."""
    phrase = pick(_MOTION_WORDS[name])
    if form == "verb":
        return phrase
    verb, _, rest = phrase.partition(" ")
    return f"{'is ' if form == 'is' else ''}{_GERUNDS[verb]} {rest}".rstrip()


def background(tone: str, texture: str, pick: Pick) -> str:
    """Return "on a dark striped background", "over light checks" and the like."""
    phrases = [f"on a {tone} {texture} background", f"in front of a {tone} {texture} wall", f"over {tone} {_TEXTURE_NOUNS[texture]}"]
    return pick(phrases)


def german_noun(colour: str, shape: str, size: str) -> str:
    """Return "ein kleiner roter Kreis"; no size when `size` is empty."""
    name, ending = _GERMAN_SHAPES[shape]
    adjectives = [{"large": "groß", "small": "klein"}[size]] if size else []
    adjectives.append(_GERMAN_COLOURS[colour])
    # "orange" has its e already: orange + r, orange + s
    return f"ein {' '.join(word.removesuffix('e') + ending for word in adjectives)} {name}"


def german_motion(name: str, pick: Pick) -> str:
    """Return "bewegt sich nach rechts" and the like."""
    return pick(_GERMAN_MOTIONS[name])


def german_background(tone: str, texture: str) -> str:
    """Return "vor dunklen Streifen" and the like."""
    stem = {"dark": "dunkl", "light": "hell"}[tone]
    return f"vor {stem}em Grund" if texture == "plain" else f"vor {stem}en {_GERMAN_TEXTURES[texture]}"
