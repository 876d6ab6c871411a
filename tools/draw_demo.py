"""Draw what `vidsearch demo` found as one picture: for each query the best clips, five frames of each.

uv run vidsearch demo && uv run python tools/draw_demo.py vidsearch-demo docs/demo.png
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import vidsearch
from indexer.demo import QUERIES
from vidsearch.config import Preset
from vidsearch.decoders.base import Span
from vidsearch.registry import plugin
from vidsearch.sampling import choose_frames

FRAMES, SIDE, GAP, CLIPS = 5, 72, 2, 3
MARGIN, LABEL, CLIP_GAP = 24, 30, 22
DRAWN = QUERIES[:4]  # Pillow's own font has no umlauts for the fifth
INK, FAINT, PAPER = (24, 24, 27), (113, 113, 122), (255, 255, 255)


def strip(video: Path, span: Span) -> Image.Image:
    """Return frames of a clip side by side."""
    preset = Preset("picture", size=SIDE, frames=FRAMES, antialias=True)
    (clip,) = (
        plugin("vidsearch.decoders", "pyav")
        .open_decoder()
        .read_clips(video, [span], choose=lambda available: choose_frames(available, preset), transform=lambda frame: frame)
    )
    picture = Image.new("RGB", (FRAMES * (SIDE + GAP) - GAP, SIDE), PAPER)
    for number, frame in enumerate(clip.frames):
        picture.paste(Image.fromarray(np.asarray(frame)).resize((SIDE, SIDE), Image.Resampling.LANCZOS), (number * (SIDE + GAP), 0))
    return picture


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    index = vidsearch.open_index(arguments.folder)
    title, small = ImageFont.load_default(17), ImageFont.load_default(12)
    strip_width = FRAMES * (SIDE + GAP) - GAP
    row_height = LABEL + SIDE + 44
    sheet = Image.new("RGB", (2 * MARGIN + CLIPS * strip_width + (CLIPS - 1) * CLIP_GAP, 2 * MARGIN + len(DRAWN) * row_height - 20), PAPER)
    draw = ImageDraw.Draw(sheet)
    for row, (text, where) in enumerate(DRAWN):
        top = MARGIN + row * row_height
        draw.text((MARGIN, top), f"“{text}”", fill=INK, font=title)
        if where:
            draw.text((MARGIN + draw.textlength(f"“{text}”", font=title) + 14, top + 4), f"where {where}", fill=FAINT, font=small)
        for column, hit in enumerate(index.search(text, k=CLIPS, where=where)):
            left = MARGIN + column * (strip_width + CLIP_GAP)
            sheet.paste(strip(arguments.folder / hit.video, Span(hit.start_s, hit.end_s)), (left, top + LABEL))
            caption = f"{hit.score:.3f}   {hit.caption}"
            while draw.textlength(caption, font=small) > strip_width:
                caption = caption[:-2].rstrip("…") + "…"
            draw.text((left, top + LABEL + SIDE + 5), caption, fill=FAINT, font=small)
    sheet.save(arguments.picture, optimize=True)


if __name__ == "__main__":
    main()
