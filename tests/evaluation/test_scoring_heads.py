"""Aesthetic heads against torch's own layers, and against LAION's test vectors where their files are here."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from indexer.scoring.aesthetic_head import PUBLISHED, check_fit, find_head, read_head
from vidsearch.config import Preset, Space
from vidsearch.errors import CheckpointError, InputNotFoundError, UsageError
from vidsearch.settings import read_settings

WIDTHS = (768, 1024, 128, 64, 16, 1)
# What `sa_0_4_vit_l_14_linear.pth` gives for the ten embeddings rating0.npy … rating9.npy that lie beside it in LAION's repository.
RATINGS = (-2.458, -0.138, 1.895, 3.585, 5.100, 6.470, 7.787, 9.048, 10.226, 11.304)


def network(*, relu: bool) -> nn.Module:
    """Return the layers as LAION builds them: dropouts between them, and ReLUs in one variant."""
    layers: list[nn.Module] = []
    for number, (width, following) in enumerate(pairwise(WIDTHS)):
        layers.append(nn.Linear(width, following))
        if relu and number < 4:
            layers.append(nn.ReLU())
        if number < 3:
            layers.append(nn.Dropout(0.2))
    net = nn.Module()
    net.layers = nn.Sequential(*layers)
    with torch.no_grad():
        for weights in net.parameters():
            weights.mul_(3)  # so that other features get other scores
    return net.eval()


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(3)


def features(count: int = 20) -> np.ndarray:
    rows = np.random.default_rng(5).standard_normal((count, 768)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.mark.parametrize("relu", [False, True])
def test_a_layered_head_gives_what_torch_gives(tmp_path: Path, relu: bool) -> None:
    net = network(relu=relu).double()
    torch.save({name: value.float() for name, value in net.state_dict().items()}, tmp_path / "head.pth")
    net.load_state_dict(torch.load(tmp_path / "head.pth", weights_only=True))
    head = read_head(tmp_path / "head.pth")
    expected = net.layers(torch.from_numpy(features()).double()).detach().numpy()[:, 0]
    np.testing.assert_allclose(head(features()), expected, atol=1e-6)
    assert len(head.layers) == (5 if relu else 1)  # nothing lies between linear layers, so they are one map
    assert np.ptp(expected) > 0.05
    assert (head.name, head.published, head.dim) == ("head", False, 768)


def test_a_relu_head_is_not_the_linear_one_of_the_same_numbers(tmp_path: Path) -> None:
    state = network(relu=True).state_dict()
    save_file(state, tmp_path / "relu.safetensors")
    renamed = dict(zip((0, 3, 6, 9, 11), (0, 2, 4, 6, 7), strict=True))
    save_file(
        {f"layers.{renamed[int(name.split('.')[1])]}.{name.split('.')[2]}": value for name, value in state.items()},
        tmp_path / "linear.safetensors",
    )
    relu, linear = read_head(tmp_path / "relu.safetensors"), read_head(tmp_path / "linear.safetensors")
    assert np.abs(relu(features()) - linear(features())).max() > 1e-3


def test_a_linear_head_is_a_product_and_keeps_no_limits(tmp_path: Path) -> None:
    weight = torch.randn(1, 768)
    torch.save({"weight": weight, "bias": torch.tensor([3.5])}, tmp_path / "v1.pth")
    head = read_head(tmp_path / "v1.pth")
    np.testing.assert_allclose(head(features()), features() @ weight.numpy()[0] + 3.5, atol=1e-5)
    along = (weight / weight.norm()).numpy()
    np.testing.assert_allclose(head(along), weight.norm() + 3.5, rtol=1e-6)
    assert head(features(0)).shape == (0,)


@pytest.mark.parametrize(
    "state",
    [
        {"weight": torch.zeros(2, 768), "bias": torch.zeros(2)},
        {"weight": torch.full((1, 768), float("nan")), "bias": torch.zeros(1)},
        {"fc.weight": torch.zeros(1, 768), "fc.bias": torch.zeros(1)},
        {
            f"layers.{n}.{part}": torch.zeros(4, 4) if part == "weight" else torch.zeros(4)
            for n in (0, 2, 4, 6, 7)
            for part in ("weight", "bias")
        },
        {f"layers.{n}.{part}": torch.zeros(1, 1) if part == "weight" else torch.zeros(1) for n in (0, 2) for part in ("weight", "bias")},
    ],
)
def test_what_is_no_head_is_refused(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(CheckpointError, match=r"odd\.pth is no aesthetic head"):
        read_head(tmp_path / "odd.pth")


def test_a_head_that_is_not_here_says_where_to_get_it(tmp_path: Path) -> None:
    with pytest.raises(InputNotFoundError, match=r"sa_0_4_vit_l_14_linear\.pth; get that file from github\.com/LAION-AI/aesthetic-pred"):
        find_head("v1", tmp_path)
    with pytest.raises(InputNotFoundError, match="give v1, v2 or a file"):
        find_head("v3", tmp_path)
    torch.save({"weight": torch.zeros(1, 768), "bias": torch.zeros(1)}, tmp_path / PUBLISHED["v1"].file)
    with pytest.raises(CheckpointError, match="SHA-256 differs"):
        find_head("v1", tmp_path)
    assert find_head(str(tmp_path / PUBLISHED["v1"].file), tmp_path).name == PUBLISHED["v1"].file


SPACES = {
    "open_clip:ViT-L-14/openai": ("ViT-L-14/openai", "open_clip-quickgelu"),
    "open_clip:ViT-L-14/datacomp_xl_s13b_b90k": ("ViT-L-14/datacomp_xl_s13b_b90k", "open_clip"),
    "open_clip:ViT-L-14-quickgelu/metaclip_400m": ("ViT-L-14-quickgelu/metaclip_400m", "open_clip-quickgelu"),
    "open_clip:ViT-L-14-336/openai": ("ViT-L-14-336/openai", "open_clip-quickgelu"),
    "open_clip:ViT-L-14//models/clip.pt": ("ViT-L-14/clip", "open_clip"),
    "open_clip:ViT-L-14-quickgelu//models/clip.pt": ("ViT-L-14-quickgelu/clip", "open_clip-quickgelu"),
}


def space(source: str) -> Space:
    model, preset = SPACES[source]
    return Space("openclip", model, "0" * 64, 1, Preset(preset), 768, source)


def test_a_published_head_takes_the_features_of_openai_alone(tmp_path: Path) -> None:
    torch.save({"weight": torch.zeros(1, 768), "bias": torch.zeros(1)}, tmp_path / "own.pth")
    own = read_head(tmp_path / "own.pth")
    published = replace(own, name="laion-v1")
    taken = []
    for source in SPACES:
        check_fit(own, space(source))
        try:
            check_fit(published, space(source))
            taken.append(source)
        except UsageError as error:
            assert "was trained on the features of open_clip:ViT-L-14/openai" in str(error)  # noqa: PT017 - which are refused is the point
    assert taken == ["open_clip:ViT-L-14/openai", "open_clip:ViT-L-14-quickgelu//models/clip.pt"]
    with pytest.raises(UsageError, match="takes features of 768 numbers, ViT-L-14/openai gives 512"):
        check_fit(own, replace(space("open_clip:ViT-L-14/openai"), dim=512))
    with pytest.raises(UsageError, match="no features of single pictures"):
        check_fit(own, replace(space("open_clip:ViT-L-14/openai"), encoder="viclip"))


@pytest.mark.slow
@pytest.mark.parametrize(("named", "bias", "norm"), [("v1", 3.52937, 28.444), ("v2", 5.23664, 17.9956)])
def test_the_published_heads_are_what_is_known_of_them(named: str, bias: float, norm: float) -> None:
    (layer,) = published_head(named).layers
    assert layer.bias[0] == pytest.approx(bias, abs=1e-5)
    assert np.linalg.norm(layer.weight) == pytest.approx(norm, abs=1e-3)


@pytest.mark.slow
def test_the_first_head_gives_the_ten_known_ratings() -> None:
    files = [read_settings().models / f"rating{number}.npy" for number in range(10)]
    if not all(file.is_file() for file in files):
        pytest.skip(f"put rating0.npy to rating9.npy of {PUBLISHED['v1'].page} into {read_settings().models}")
    rows = np.stack([np.load(file).reshape(-1) for file in files]).astype(np.float32)
    np.testing.assert_allclose(published_head("v1")(rows), RATINGS, atol=2e-3)


def published_head(named: str):
    try:
        return read_head(find_head(named, read_settings().models))
    except InputNotFoundError as error:
        pytest.skip(str(error))
