"""The page is closed to what strangers wrote, points nowhere and veils what is explicit."""

import re
from pathlib import Path

import pytest
from support.pages import page
from support.report_runs import (
    add_concept,
    add_i2p,
    add_images,
    make_run,
)

from plumbing.visible_text import is_explicit

HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "'; alert(1) //{{ 7 * 7 }}{% raw %}",
    "nul \0 escape \x1b[31m turn \u202e tag </style></details>",
    "<svg onload=document.title='owned'>" + "long " * 20_000,
    "a | b | c\n# head",
)


def test_it_points_nowhere_and_runs_nothing(measured_run: Path) -> None:
    shown = page(measured_run)
    policy = next(m["content"] for m in shown.all("meta") if "http-equiv" in m)
    assert "default-src 'none'" in str(policy) and "script" not in str(policy)
    assert shown.all("script", "iframe", "object", "embed", "form", "base") == []
    for _, attrs in shown.elements:
        for name, value in attrs.items():
            assert not name.startswith("on")
            if name in ("src", "href", "action", "srcset", "data", "xlink:href"):
                assert str(value).startswith(("data:", "#"))
    source = (measured_run / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"@import|url\((?!#)", source)


@pytest.mark.parametrize("place", ["concept", "i2p"])
def test_hostile_prompts_are_text(place: str, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", HOSTILE[0], base=HOSTILE[1])
    if place == "concept":
        add_concept(run, prompts=HOSTILE)
    else:
        add_i2p(run, prompts=HOSTILE, before=30)
    shown = page(run)
    assert shown.open == [] and shown.all("script") == []
    assert not any(name.startswith("on") for _, attrs in shown.elements for name in attrs)
    assert "<script>document.title='owned'</script>" in shown.text
    assert "{{ 7 * 7 }}{% raw %}" in shown.text
    source = (run / "report.html").read_text(encoding="utf-8")
    assert len(source) < 400_000 and "\x1b" not in source and "\u202e" not in source


def test_half_a_surrogate_pair_is_replaced(tmp_path: Path) -> None:
    """JSON may spell one, UTF-8 cannot."""
    run = make_run(tmp_path / "run")
    add_concept(run)
    for model in ("original", "erased"):
        file = run / "eval" / "concept" / model / "generations.jsonl"
        file.write_text(file.read_text().replace("a picture of", "a \\ud800 picture of"))
    assert "a \ufffd picture of" in page(run).text


@pytest.mark.parametrize(
    ("concept", "explicit"),
    [("nudity", True), ("a naked man", True), ("Violence", True), ("church", False)],
)
def test_explicit_images_are_blurred_and_their_prompts_collapsed(
    concept: str, explicit: bool, tmp_path: Path
) -> None:
    run = make_run(tmp_path / "run", concept)
    add_concept(run, prompts=["SECRET"])
    shown = page(run)
    boxes = [a for a in shown.all("input") if a.get("type") == "checkbox"]
    assert len(boxes) == (len(shown.all("img")) if explicit else 0)
    assert all(str(box["aria-label"]).startswith("Show: ") for box in boxes)
    told = [a for a in shown.all("img") if "SECRET" in str(a["alt"])]
    assert bool(told) != explicit
    assert is_explicit(concept) == explicit
    source = (run / "report.html").read_text(encoding="utf-8")
    collapsed = re.findall(r'<details class="private"><summary>[^<]*</summary><p>SECRET', source)
    assert len(collapsed) == source.count("SECRET") if explicit else collapsed == []


def test_images_of_i2p_are_blurred_whatever_the_concept(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "church")
    add_i2p(run)
    shown = page(run)
    assert len(shown.all("img")) == len(shown.all("input")) == 16
    assert "a secret prompt" not in str([a["alt"] for a in shown.all("img")])


def test_an_id_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    add_concept(run)
    place = run / "eval" / "concept"
    outside = "../../../../../secret"
    add_images(place, "original", [(outside, "a", "dog", "#000000")])
    add_images(place, "erased", [(outside, "a", "dog", "#000000")])
    lines = (place / "judgements.jsonl").read_text().replace('"00000"', f'"{outside}"')
    (place / "judgements.jsonl").write_text(lines)
    shown = page(run)
    assert "no such image" in shown.text and shown.all("img") == []
