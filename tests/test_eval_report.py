"""The page: complete, self-contained, readable by all, and the same for the same run."""

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from support.pages import page
from support.report_runs import (
    SHA,
    add_concept,
    make_run,
)

from erase.saliency.mask_counts import read_mask_counts
from eval.report.page import TEMPLATES
from plumbing.errors import UsageError
from plumbing.visible_text import plain


def test_it_shows_everything_that_was_measured(measured_run: Path) -> None:
    shown = page(measured_run)
    text = " ".join(shown.text.replace("\N{NO-BREAK SPACE}", " ").split())
    for words in (
        "Erasing “church” from the miniature",
        "100.0 [96.3, 100.0]",
        "+99.0 [+93.2, +99.8]",
        "Images with at least one detection",
        "female breast exposed",
        "CMMD to original",
        "Can it be brought back?",
        "Hidden, not removed",
        "90.0 [69.9, 97.2]",
        "erased, attacked",
        "16 of 24 weights were allowed to change: a density of 66.7 %",
        "3 min 20 s",
        "1,234 MB",
        "expunge evaluate concept run",
        "salun",
        SHA,
        "the safety checker is off while measuring",
        "rests on the miniature alone",
        "2.11.0",
        "unet/diffusion_pytorch_model.safetensors",
    ):
        assert words in text, words
    # Losses, two of the mask, two of I2P, two of attacks.
    assert len([a for a in shown.all("svg") if a.get("class") == "chart"]) == 7
    # 8 + 6 + 6 of concept, 8 of I2P, 10 of quality, by two models; 6 of each of two attacks,
    # with the prompt alone and attacked.
    assert len(shown.all("img")) == 2 * (20 + 8 + 10 + 2 * 6 * 2)


def test_it_is_accessible(measured_run: Path) -> None:
    shown = page(measured_run)
    headings = [int(tag[1]) for tag, _ in shown.elements if re.fullmatch("h[1-6]", tag)]
    assert headings.count(1) == 1 and headings[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(headings))
    assert shown.open == [] and shown.all("html")[0]["lang"] == "en"
    assert all(image["alt"] for image in shown.all("img"))
    assert len({image["alt"] for image in shown.all("img")}) > 40
    assert all(cell["scope"] in ("col", "row") for cell in shown.all("th"))
    assert len(shown.all("caption")) == len(shown.all("table")) == 7
    ids = [attrs["id"] for _, attrs in shown.elements if "id" in attrs]
    assert len(ids) == len(set(ids))


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_is_enough_in_light_dark_and_print() -> None:
    """WCAG 2: black on white is 21 to 1; text needs 4.5, the lines of charts 3."""
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    css = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    themes = [
        {name: v * 2 if len(v) == 3 else v for name, v in re.findall(r"--([\w-]+): #(\w+);", block)}
        for block in re.findall(r":root \{(.*?)\}", css, re.DOTALL)
    ]
    assert len(themes) == 3
    for theme in themes:
        colours = {name: f"#{value}" for name, value in theme.items()}
        for ground in ("page", "paper"):
            for ink in ("ink", "soft"):
                assert contrast(colours[ink], colours[ground]) >= 4.5
            for line in ("original", "erased"):
                assert contrast(colours[line], colours[ground]) >= 3
        for level in ("good", "caution", "bad", "none"):
            assert contrast(colours[level], colours[f"{level}-paper"]) >= 4.5
            assert contrast(colours["ink"], colours[f"{level}-paper"]) >= 4.5


def test_no_images_leaves_them_out(measured_run: Path) -> None:
    shown = page(measured_run, "--no-images")
    assert shown.all("img") == [] and "left out on request" in shown.text


def test_large_images_become_small_ones(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    add_concept(run, side=512, images=8)
    sizes = {(image["width"], image["height"]) for image in page(run).all("img")}
    assert sizes == {("256", "256")}
    assert "data:image/jpeg" in (run / "report.html").read_text()


def test_the_same_run_gives_the_same_page(measured_run: Path) -> None:
    page(measured_run)
    first = (measured_run / "report.html").read_bytes()
    page(measured_run)
    assert (measured_run / "report.html").read_bytes() == first


def test_counts_of_a_mask_need_no_torch_and_are_exact(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    counts = read_mask_counts(run / "mask.safetensors")
    assert counts.by_name == {
        "down_blocks.0.attn1.weight": (12, 16),
        "mid_block.conv.weight": (4, 8),
    }
    assert (counts.kept, counts.total) == (16, 24)
    (run / "mask.safetensors").write_bytes(b"no mask")
    with pytest.raises(UsageError, match="not a readable mask"):
        read_mask_counts(run / "mask.safetensors")
    assert "weights were allowed to change" not in page(run).text


def test_the_report_needs_no_torch(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    add_concept(run)
    code = (
        "import sys; from expunge.cli import main; assert main(['report', sys.argv[1]]) == 0;"
        "assert not {'torch', 'diffusers', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(run)], check=True, capture_output=True)


def test_text_is_one_line_of_visible_characters() -> None:
    assert plain("a\n b\t\0c\u202e") == "a b \ufffdc\ufffd"
    assert plain("x" * 10_000_000) == "x" * 299 + "…"
    assert plain("\u0645\u200c\u0646") == "\u0645\u200c\u0646"
