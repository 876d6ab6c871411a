"""`vidsearch eval zeroshot` as it is typed, on clips of the toy world: its numbers are those of a few independent lines."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import av
import numpy as np
import pytest
import safetensors.numpy
from support.weights import MERGES, TINY, seeded_viclip

from indexer.toyvideos import write_demo_videos
from vidsearch.encoders import load_encoder
from vidsearch.encoders._checkpoint import write_checkpoint

CLIPS = 8
REAL = Path(__file__).parents[2].parent / "shared" / "videos"
PROMPTS = """a photo of action {}|a picture of action {}|Human action of {}|{}, an action|{} this is an action|{}, a video of action|
Playing action of {}|{}|Playing a kind of action, {}|Doing a kind of action, {}|Look, the human is {}|Can you recognize the action of {}?|
Video classification of {}|A video of {}|The man is {}|The woman is {}""".replace("\n", "").split("|")


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    """Clips, and labels.csv with the caption of each as its class."""
    folder = tmp_path_factory.mktemp("toy")
    rows = list(write_demo_videos(folder / "clips", count=CLIPS, seed=8, size=64))
    (folder / "labels.jsonl").write_text("".join(json.dumps({"video": row["YoutubeID"], "label": row["Caption"]}) + "\n" for row in rows))
    return folder


@pytest.fixture
def evaluate(vidsearch, monkeypatch, tmp_path) -> Callable[..., tuple[int, str, str, dict]]:
    """Run the command with its cache in a folder of the test; return exit code, stdout, stderr and the report."""
    monkeypatch.setenv("VIDSEARCH_CACHE", str(tmp_path / "cache"))
    report = tmp_path / "report.json"

    def run(dataset: object, *arguments: object, model: object = "demo-viclip") -> tuple[int, str, str, dict]:
        fixed = ("--device", "cpu", "--precision", "float32", "--workers", 1, "--report", report)
        code, out, err = vidsearch("eval", "zeroshot", "--dataset", dataset, "--model", model, *fixed, *arguments)
        return code, out, err, json.loads(report.read_text(encoding="utf-8")) if code == 0 else {}

    return run


def values(report: dict) -> tuple[float, ...]:
    table = {row["measure"]: row["value"] for row in report["tables"][0]["rows"]}
    return table["top-1"], table["top-5"], table["AVG"]


def clean(text: str) -> str:
    """`pre_text`, written anew."""
    text = re.sub(r"[,.'!?\"()*#:;~]", "", text.lower()).replace("-", " ").replace("/", " ").replace("<person>", "person")
    return re.sub(r"\s{2,}", " ", text).strip()


def independently(videos: Sequence[Path], labels: Sequence[str], model: str, prompts: Sequence[str] = PROMPTS) -> tuple[float, ...]:
    """Return top-1, top-5 and AVG in percent: every frame decoded, and every cosine of every prompt taken by itself."""
    encoder = load_encoder(model, device="cpu", precision="float32")
    classes = sorted(set(labels))
    ranks = []
    for video, label in zip(videos, labels, strict=True):
        with av.open(str(video)) as container:
            frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        edges = np.linspace(0, len(frames), 9).astype(int)
        vector = encoder.encode_clips(frames[None, (edges[:-1] + edges[1:] - 1) // 2])[0]
        by_class = [np.mean([vector @ row for row in encoder.encode_texts([clean(p.format(name)) for p in prompts])]) for name in classes]
        ranks.append(sum(score > by_class[classes.index(label)] for score in by_class))
    top1, top5 = 100 * np.mean(np.array(ranks) < 1), 100 * np.mean(np.array(ranks) < 5)
    return float(top1), float(top5), float((top1 + top5) / 2)


def labelled(folder: Path) -> tuple[list[Path], list[str]]:
    rows = [json.loads(line) for line in (folder / "labels.jsonl").read_text().splitlines()]
    return [folder / "clips" / f"{row['video']}.mp4" for row in rows], [row["label"] for row in rows]


def test_accuracy_is_that_of_an_independent_computation_and_a_second_run_decodes_nothing(toy, evaluate, tmp_path):
    videos, labels = labelled(toy)
    copy = tmp_path / "clips"
    shutil.copytree(toy / "clips", copy)
    expected = independently(videos, labels, "demo-viclip")
    code, out, err, report = evaluate(toy / "labels.jsonl", "--videos", copy)
    assert (code, err.count("error")) == (0, 0)
    assert values(report) == pytest.approx(expected, abs=0.005)
    assert expected[0] > 100 / CLIPS  # the model knows something
    assert "AVG" in out
    assert max(map(len, out.splitlines())) <= 80
    assert len(report["tables"][-1]["rows"]) == CLIPS
    again = evaluate(toy / "labels.jsonl", "--videos", copy)[3]
    assert values(again) == values(report)


def test_prompts_of_ones_own_take_the_place_of_the_sixteen(toy, evaluate):
    videos, labels = labelled(toy)
    report = evaluate(toy / "labels.jsonl", "--videos", toy / "clips", "--prompt", "{}", "--prompt", "A video of {}!")[3]
    assert values(report) == pytest.approx(independently(videos, labels, "demo-viclip", ["{}", "A video of {}!"]), abs=0.005)
    assert report["settings"]["scores"] == "mean cosine of 2 prompts"


def test_one_frame_is_another_measurement(toy, evaluate):
    one = evaluate(toy / "labels.jsonl", "--videos", toy / "clips", "--frames", 1)[3]
    eight = evaluate(toy / "labels.jsonl", "--videos", toy / "clips", "--frames", 8)[3]
    assert (one["settings"]["preset"], eight["settings"]["preset"]) == ("eval, 1 frame", "eval, 8 frames")
    code, _, err, _ = evaluate(toy / "labels.jsonl", "--videos", toy / "clips", "--frames", 5)
    assert (code, "cannot take 5 frames of a clip; choose 1 or 8" in err) == (2, True)


def test_kinetics_is_read_by_cuts_with_published_numbers_beside(toy, evaluate, tmp_path):
    videos, _ = labelled(toy)
    classes = ["abseiling", "yoga", "zumba"]
    lines = ["label,youtube_id,time_start,time_end,split"]
    for number, video in enumerate(videos[:4]):
        name = classes[number % 3]
        (tmp_path / "val" / name).mkdir(parents=True, exist_ok=True)
        shutil.copy(video, tmp_path / "val" / name / f"{video.stem}_{number:06d}_{number + 10:06d}.mp4")
        lines.append(f"{name},{video.stem},{number},{number + 10},validate")
    (tmp_path / "validate.csv").write_text("\n".join([*lines, "yoga,goneawaynow,5,15,validate"]) + "\n")
    write_checkpoint(
        tmp_path / "ViCLIP-L_InternVid-FLT-10M.safetensors", seeded_viclip(TINY), model="ViCLIP-L_InternVid-FLT-10M", merges=MERGES
    )
    asked = ("kinetics400", "--annotation", tmp_path / "validate.csv", "--videos", tmp_path / "val")
    model = tmp_path / "ViCLIP-L_InternVid-FLT-10M.safetensors"
    code, _, err, _ = evaluate(*asked, model=model)
    assert (code, "1 of 5 videos are not below" in err, "goneawaynow_000005_000015" in err) == (2, True, True)
    report = evaluate(*asked, "--allow-missing", "--prompt", "{}", model=model)[3]
    assert report["settings"]["classes"] == "400 of kinetics400, 3 with clips"
    beside = {next(iter(row.values())): row["there"] for row in report["tables"][1]["rows"]}
    assert beside == {"top-1": 64.80, "top-5": 86.60, "AVG": 75.70}
    assert any("1 clip was not there" in note for note in report["notes"])
    assert "Not as published: 1 prompt of your own (published: 16)." in report["notes"]


def test_folders_are_classes_where_no_annotation_is_given(toy, evaluate, tmp_path):
    videos, _ = labelled(toy)
    for number, video in enumerate(videos[:4]):
        target = tmp_path / "val" / ("BrushingTeeth" if number % 2 else "YoYo") / f"{number % 2}{number}.mp4"
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(video, target)
    report = evaluate("ucf101", "--videos", tmp_path / "val")[3]
    assert (report["settings"]["clips"], report["settings"]["classes"]) == (4, "101 of ucf101, 2 with clips")
    assert evaluate(tmp_path / "val")[3]["settings"]["classes"] == "2 of val"


def test_a_fine_tuned_checkpoint_is_measured_by_its_head(toy, evaluate, tmp_path):
    """The head's rows are the features of the clips themselves, less their mean: so each clip is told apart, unless the order is wrong."""
    videos, labels = labelled(toy)
    towers = seeded_viclip(TINY)
    write_checkpoint(tmp_path / "towers.safetensors", towers, model="towers", merges=MERGES)
    encoder = load_encoder(tmp_path / "towers.safetensors", device="cpu", precision="float32")
    clips = []
    for video in videos:
        with av.open(str(video)) as container:
            frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])
        edges = np.linspace(0, len(frames), 9).astype(int)
        clips.append(encoder.encode_clips(frames[None, (edges[:-1] + edges[1:] - 1) // 2])[0])
    centred = np.stack(clips) - np.mean(clips, axis=0)
    order = np.argsort(labels)
    weight = (100 * centred / np.linalg.norm(centred, axis=1, keepdims=True))[order]
    head = {"head.weight": weight.astype(np.float32), "head.bias": (-weight @ np.mean(clips, axis=0)).astype(np.float32)}
    safetensors.numpy.save_file(towers | head, tmp_path / "tuned.safetensors")
    asked = (toy / "labels.jsonl", "--videos", toy / "clips")
    report = evaluate(*asked, "--head-features", "unit", model=tmp_path / "tuned.safetensors")[3]
    assert report["title"].startswith("Classification by a trained head")
    assert values(report) == (100, 100, 100)
    (tmp_path / "classes.txt").write_text("\n".join(sorted(labels)[::-1]) + "\n")
    other = evaluate(*asked, "--classes", tmp_path / "classes.txt", "--head-features", "unit", model=tmp_path / "tuned.safetensors")[3]
    assert values(other)[0] == 0
    code, _, err, _ = evaluate(
        "ucf101", "--annotation", toy / "labels.jsonl", "--videos", toy / "clips", model=tmp_path / "tuned.safetensors"
    )
    assert (code, "ucf101 does not know" in err) == (2, True)
    code, _, err, _ = evaluate(*asked, "--prompt", "{}", model=tmp_path / "tuned.safetensors")
    assert (code, "has a classification head, which takes no --prompt; leave it out" in err) == (2, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("kinetics500", "--videos", "CLIPS"), "unknown data set 'kinetics500'; choose from hmdb51, kinetics400"),
        (("kinetics400",), "needs --annotation FILE, or --videos DIR"),
        (("LABELS", "--annotation", "LABELS"), "without --annotation"),
        (("LABELS", "--videos", "CLIPS", "--classes", "ucf101"), "ucf101 does not know"),
        (("LABELS", "--videos", "CLIPS", "--prompt", "a video"), "has no place for the class"),
        (("LABELS", "--videos", "CLIPS", "--split", "val"), "has no split 'val'"),
        (("LABELS", "--videos", "CLIPS", "--head-features", "raw"), "has no classification head for --head-features"),
        (("LABELS", "--videos", "CLIPS", "--coefficient", "0.5"), "name that with --blend CLIP"),
        (("LABELS", "--videos", "CLIPS", "--blend", "gone.pt"), "no such checkpoint: gone.pt"),
        (("gone.csv",), "no annotation gone.csv"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(toy, evaluate, arguments, said):
    named = {"LABELS": toy / "labels.jsonl", "CLIPS": toy / "clips"}
    code, out, err, _ = evaluate(*(named.get(argument, argument) for argument in arguments))
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_the_same_file_cannot_have_two_classes(toy, evaluate, tmp_path):
    videos, _ = labelled(toy)
    (tmp_path / "val" / "run").mkdir(parents=True)
    shutil.copy(videos[0], tmp_path / "val" / "run" / "1.mp4")
    (tmp_path / "list.csv").write_text("video,label\nrun/1.mp4,run\nsit/1.mp4,sit\n")  # sit/1.mp4 is missing
    code, _, err, _ = evaluate(tmp_path / "list.csv", "--videos", tmp_path / "val", "--allow-missing")
    assert (code, "is labelled both 'run' and 'sit'" in err) == (2, True)


@pytest.mark.slow
@pytest.mark.skipif(not (REAL / "videos.jsonl").exists(), reason="no real clips beside the repository")
def test_real_clips_are_told_apart_by_the_offline_encoder(evaluate, tmp_path):
    """Of 26 clips in 20 classes; a label's source in brackets is not part of its name."""
    rows = [json.loads(line) for line in (REAL / "videos.jsonl").read_text().splitlines()]
    known = [(row["file"], re.sub(r" \(.*\)$", "", row["label"])) for row in rows if "label" in row]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps({"file": file, "label": label}) + "\n" for file, label in known))
    report = evaluate(tmp_path / "labels.jsonl", "--videos", REAL, model="conse")[3]
    expected = independently([REAL / file for file, _ in known], [label for _, label in known], "conse")
    assert values(report) == pytest.approx(expected, abs=0.005)
    assert expected[0] > 30  # chance is 5
