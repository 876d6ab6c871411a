"""Sentences about an action, and how well each class's sentences fit a clip.

The 16 are those of ViCLIP's published evaluation (`kinetics_templates_action_clip` of InternVideo, Pretrain/ViCLIP/dataset/
text_prompt.py); a clip's score of a class is the mean of its cosines with them (models/criterions.py, agg_method "mean").
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from vidsearch.encoders._tokens import clean_caption
from vidsearch.errors import UsageError

Vectors = npt.NDArray[np.float32]

ACTION_PROMPTS = (
    "a photo of action {}",
    "a picture of action {}",
    "Human action of {}",
    "{}, an action",
    "{} this is an action",
    "{}, a video of action",
    "Playing action of {}",
    "{}",
    "Playing a kind of action, {}",
    "Doing a kind of action, {}",
    "Look, the human is {}",
    "Can you recognize the action of {}?",
    "Video classification of {}",
    "A video of {}",
    "The man is {}",
    "The woman is {}",
)


def check_prompts(prompts: Sequence[str]) -> tuple[str, ...]:
    """Return the prompts, or raise for one without a place for the class."""
    for prompt in prompts:
        if "{}" not in prompt:
            raise UsageError(f'prompt {prompt!r} has no place for the class; write it as {{}}, such as "a video of {{}}"')
    return tuple(prompts)


def sentences(classes: Sequence[str], prompts: Sequence[str] = ACTION_PROMPTS) -> list[str]:
    """Return every prompt of the first class, then of the second, …, each cleaned as the published evaluation cleans any text."""
    return [clean_caption(prompt.replace("{}", name)) for name in classes for prompt in prompts]


def mean_of_prompts(vectors: Vectors, prompts: int) -> Vectors:
    """Return (classes, dim), the mean of each class's unit rows (classes * prompts, dim), as `sentences` orders them.

    It is not made a unit vector again: so its product with a clip is the mean of the cosines. Shorter means, of classes whose prompts
    scatter, score lower; the cosine of the mean would rank classes otherwise.
    """
    means: Vectors = vectors.reshape(-1, prompts, vectors.shape[1]).mean(axis=1)
    return means
