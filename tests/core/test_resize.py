import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import CenterCrop, Compose, InterpolationMode, Resize

from vidsearch.config import Preset, viclip_preset
from vidsearch.resize import resize_frames

SIZES = [(72, 128), (480, 640), (100, 177), (224, 224), (64, 48), (1, 1)]


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 1000 + width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def within_one(ours: np.ndarray, theirs: np.ndarray) -> bool:
    return ours.shape == theirs.shape and int(abs(ours.astype(int) - theirs.astype(int)).max()) <= 1


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_eval_preset_equals_torch_bicubic_without_antialias(height, width):
    image = noise(height, width)
    theirs = Resize((224, 224), InterpolationMode.BICUBIC, antialias=False)(torch.from_numpy(image).permute(2, 0, 1))
    assert within_one(resize_frames(image, viclip_preset("eval")), theirs.permute(1, 2, 0).numpy())


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_vbench_preset_equals_short_side_and_centre_crop(height, width):
    image = noise(height, width)
    theirs = Compose([Resize(224, InterpolationMode.BICUBIC, antialias=False), CenterCrop(224)])(torch.from_numpy(image).permute(2, 0, 1))
    assert within_one(resize_frames(image, viclip_preset("vbench")), theirs.permute(1, 2, 0).numpy())


@pytest.mark.parametrize(("height", "width"), SIZES)
@pytest.mark.parametrize("kernel", ["bicubic", "bilinear"])
def test_antialias_equals_pillow(height, width, kernel):
    image = noise(height, width)
    mode = InterpolationMode.BICUBIC if kernel == "bicubic" else InterpolationMode.BILINEAR
    theirs = np.asarray(Compose([Resize(96, mode), CenterCrop(80)])(Image.fromarray(image)))
    assert within_one(resize_frames(image, Preset("any", size=80, fit="crop", resize_side=96, filter=kernel, antialias=True)), theirs)


def test_resize_keeps_leading_axes_and_a_frame_of_the_right_size():
    frames = noise(224, 224 * 6).reshape(224, 2, 3, 224, 3).transpose(1, 2, 0, 3, 4)
    assert np.array_equal(resize_frames(frames, viclip_preset("eval")), frames)
