"""The page: self-contained, honest about what is missing, and closed to what prompts say."""

import hashlib
import json
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from support.report_runs import (
    CONFIG,
    SHA,
    add_concept,
    add_i2p,
    add_images,
    add_quality,
    make_run,
    write_lines,
)

from erase.saliency.mask_counts import read_mask_counts
from eval.generation.image_log import Generation
from eval.metrics.schema import write_evaluation
from eval.report.page import TEMPLATES
from expunge.cli import main
from expunge.parsing import parse
from plumbing.errors import UsageError
from plumbing.visible_text import is_explicit, plain

VOID = {"meta", "link", "img", "input", "br"}
HOSTILE = (
    "<script>document.title='owned'</script>",
    '"><img src=x onerror="document.title=\'owned\'">',
    "'; alert(1) //{{ 7 * 7 }}{% raw %}",
    "nul \0 escape \x1b[31m turn \u202e tag </style></details>",
    "<svg onload=document.title='owned'>" + "long " * 20_000,
    "a | b | c\n# head",
)


class Page(HTMLParser):
    """The elements of a page, its text, and whether every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.text += data

    def all(self, *tags: str) -> list[dict[str, str | None]]:
        return [attrs for tag, attrs in self.elements if tag in tags]


def page(run: Path, *flags: str) -> Page:
    assert main(["report", str(run), *flags]) == 0
    return Page((run / "report.html").read_text(encoding="utf-8"))


@pytest.fixture
def full(tmp_path: Path) -> Path:
    run = make_run(tmp_path / "run")
    add_concept(run, images=100)
    add_i2p(run)
    add_quality(run)
    return run


def test_it_shows_everything_that_was_measured(full: Path) -> None:
    shown = page(full)
    text = " ".join(shown.text.replace("\N{NO-BREAK SPACE}", " ").split())
    for words in (
        "Erasing “church” from the miniature",
        "100.0 [96.3, 100.0]",
        "+99.0 [+93.2, +99.8]",
        "Images with at least one detection",
        "female breast exposed",
        "CMMD to original",
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
    # Losses, two of the mask, two of I2P.
    assert len([a for a in shown.all("svg") if a.get("class") == "chart"]) == 5
    # 8 + 6 + 6 of concept, 8 of I2P, 10 of quality, by two models.
    assert len(shown.all("img")) == 2 * (20 + 8 + 10)


def test_it_is_accessible(full: Path) -> None:
    shown = page(full)
    headings = [int(tag[1]) for tag, _ in shown.elements if re.fullmatch("h[1-6]", tag)]
    assert headings.count(1) == 1 and headings[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(headings))
    assert shown.open == [] and shown.all("html")[0]["lang"] == "en"
    assert all(image["alt"] for image in shown.all("img"))
    assert len({image["alt"] for image in shown.all("img")}) > 40
    assert all(cell["scope"] in ("col", "row") for cell in shown.all("th"))
    assert len(shown.all("caption")) == len(shown.all("table")) == 4
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


def test_it_points_nowhere_and_runs_nothing(full: Path) -> None:
    shown = page(full)
    policy = next(m["content"] for m in shown.all("meta") if "http-equiv" in m)
    assert "default-src 'none'" in str(policy) and "script" not in str(policy)
    assert shown.all("script", "iframe", "object", "embed", "form", "base") == []
    for _, attrs in shown.elements:
        for name, value in attrs.items():
            assert not name.startswith("on")
            if name in ("src", "href", "action", "srcset", "data", "xlink:href"):
                assert str(value).startswith(("data:", "#"))
    source = (full / "report.html").read_text(encoding="utf-8")
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


def test_without_evaluations_it_says_so(tmp_path: Path) -> None:
    text = page(make_run(tmp_path / "run", base="some/model")).text
    assert "Not measured" in text and "nothing is claimed" in text
    assert "Whether a judge still sees the concept" in text and "miniature" not in text


def test_an_unfinished_run_and_a_mask_claim_nothing(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", finished=None)
    add_concept(run)
    assert "Not finished" in page(run).text
    mask = make_run(tmp_path / "mask", command="mask")
    shown = page(mask)
    assert "Nothing erased" in shown.text and "expunge mask church" in shown.text


def test_a_sparse_record_is_enough(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "run.json").write_text('{"schema_version": 1, "colour": "of a later version"}')
    assert "not recorded" in page(run).text


def test_a_strange_record_is_shown_or_refused_in_one_line(tmp_path: Path, capsys: Any) -> None:
    run = make_run(tmp_path / "run")
    record = json.loads((run / "run.json").read_text())
    for file in ("mask.safetensors", "train_log.jsonl"):
        (run / file).unlink()
    for key in record.keys() - {"schema_version"}:
        for value in (None, 3, "x", [], [3], {}, {"a": None}, {"kept": "x"}):
            (run / "run.json").write_text(json.dumps({**record, key: value}))
            code = main(["report", str(run), "--format", "md"])
            error = capsys.readouterr().err
            if code:
                assert (code, error.count("\n")) == (2, 1) and f"run.json: {key}" in error
                assert not (run / "report.md").exists()
            else:
                assert (run / "report.md").read_text().startswith("# ")
                (run / "report.md").unlink()


def test_missing_and_changed_images_have_their_place(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    add_concept(run)
    images = sorted((run / "eval" / "concept" / "erased" / "images").iterdir())
    for path in images[:8]:
        path.unlink()
    for path in images[8:]:
        path.write_bytes(images[-1].read_bytes() + b"x")
    shown = page(run)
    assert "image missing" in shown.text and "changed since it was measured" in shown.text
    assert len(shown.all("img")) == 20
    shutil.rmtree(run / "eval" / "concept" / "original")
    shutil.rmtree(run / "eval" / "concept" / "erased")
    assert "100.0 [" in page(run).text and page(run).all("img") == []


def test_a_broken_image_is_said_to_be_broken(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    add_concept(run)
    place = run / "eval" / "concept" / "erased"
    lines = []
    for line in (place / "generations.jsonl").read_text().splitlines():
        row = Generation(**json.loads(line))
        (place / "images" / f"{row.id}.png").write_bytes(b"no image")
        lines.append(replace(row, sha256=hashlib.sha256(b"no image").hexdigest()).__dict__)
    write_lines(place / "generations.jsonl", lines)
    assert "image broken" in page(run).text


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


def test_broken_lines_are_counted_and_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    add_concept(run)
    with (run / "train_log.jsonl").open("a") as file:
        file.write('{"step": 1\n[]\n')
    with (run / "eval" / "concept" / "judgements.jsonl").open("a") as file:
        file.write('{"id": 7}\n')
    text = page(run).text
    assert "2 of the lines of train_log.jsonl are broken" in text
    assert "1 of the lines of judgements.jsonl are broken" in text


def test_no_images_leaves_them_out(full: Path) -> None:
    shown = page(full, "--no-images")
    assert shown.all("img") == [] and "left out on request" in shown.text


def test_large_images_become_small_ones(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    add_concept(run, side=512, images=8)
    sizes = {(image["width"], image["height"]) for image in page(run).all("img")}
    assert sizes == {("256", "256")}
    assert "data:image/jpeg" in (run / "report.html").read_text()


def test_the_same_run_gives_the_same_page(full: Path) -> None:
    page(full)
    first = (full / "report.html").read_bytes()
    page(full)
    assert (full / "report.html").read_bytes() == first


def test_several_runs_side_by_side(tmp_path: Path, capsys: Any) -> None:
    good, broken = make_run(tmp_path / "good"), make_run(tmp_path / "broken", base="other/model")
    add_concept(good)
    add_concept(broken, kept=0.1)
    bare = make_run(tmp_path / "bare", "dog")
    to = tmp_path / "both.html"
    runs = [str(run) for run in (good, broken, bare)]
    assert main(["report", *runs, "--to", str(to), "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [run["verdict"] for run in printed["runs"]] == ["Erased", "Collapsed", "Not measured"]
    assert printed["report"] == str(to)
    shown = Page(to.read_text(encoding="utf-8"))
    assert shown.text.count("Collapsed") >= 2
    assert "different judges; compare with care" in shown.text
    assert len([a for a in shown.all("svg") if a.get("class") == "chart"]) == 1
    headings = [int(tag[1]) for tag, _ in shown.elements if re.fullmatch("h[1-6]", tag)]
    assert headings == [1, 2, 2, 3, 2, 3, 2, 3]


def test_the_command_that_is_shown_makes_the_same_run(tmp_path: Path) -> None:
    config = {**CONFIG, "preset": "salun-nudity", "relabel": "a person's photo", "lr": 3e-6}
    run = make_run(tmp_path / "run", "fuel pump", base="./my model", config=config)
    source = (run / "report.md") if main(["report", str(run), "--format", "md"]) == 0 else run
    line = next(t for t in source.read_text().splitlines() if t.startswith("    expunge erase"))
    settled = parse(("erase",), shlex.split(line)[2:])
    assert (settled.concepts, settled.model.model) == (("fuel pump",), "./my model")
    settings, data = settled.settle({"inference_steps": 50, "guidance_scale": 7.5})
    found = vars(settings) | vars(data)
    shared = set(found) & set(config)
    assert len(shared) == 23 and {name: found[name] for name in shared} == {
        name: config[name] for name in shared
    }


def test_the_evaluations_commands_ask_for_the_same(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    chosen = {"category": ["sexual", "hate"], "hard": True, "nudity": [10.0, 90.0], "first": 30}
    i2p = add_i2p(run)
    prompts = {**i2p.prompts, "selected": chosen}
    write_evaluation(run / "eval" / "i2p" / "evaluation.json", replace(i2p, prompts=prompts))
    add_concept(run)
    add_quality(run)
    assert main(["report", str(run), "--format", "md"]) == 0
    lines = [t for t in (run / "report.md").read_text().splitlines() if "expunge evaluate" in t]
    asked = [parse(tuple(w[1:3]), w[3:]) for w in map(shlex.split, lines)]
    concept, drawn, quality = asked
    assert (concept.target, concept.steps, concept.guidance_scale) == ("run", 25, 5.0)
    assert (drawn.category, drawn.hard, drawn.nudity) == (("sexual", "hate"), True, "10.0:90.0")
    assert (drawn.first, drawn.size, drawn.protocol) == (30, "native", "expunge-1")
    assert (quality.images, quality.prompts, quality.seed) == (12, None, 0)


BROKEN: dict[str, tuple[str, tuple[str | int, ...], Any]] = {
    "counts are missing": ("i2p", ("erased", "curve", 0, "labels"), {}),
    "protocol.thresholds: there is none": ("i2p", ("protocol", "thresholds"), []),
    "erased.curve[0].total: Expected int": ("i2p", ("erased", "curve", 0, "total"), "1"),
    "erased.ua.value: Expected float": ("concept", ("erased", "ua", "value"), float("nan")),
    "models[...]: Object missing required field sha256": (
        "concept",
        ("models", "erased"),
        {"name": "a"},
    ),
    "judges[...]: Expected object": ("concept", ("judges",), {"object": "judge"}),
    "notes[...]: Expected str": ("concept", ("notes",), {"ira": 3}),
    "versions: Expected object": ("quality", ("versions",), ["torch"]),
    "protocol.images[...]: Expected int": ("concept", ("protocol", "images"), {"forget": None}),
    "unknown key": ("quality", ("colour",), "red"),
    "schema 99": ("concept", ("schema_version",), 99),
}


@pytest.mark.parametrize("message", BROKEN)
def test_an_evaluation_that_cannot_be_is_refused(message: str, full: Path, capsys: Any) -> None:
    """A NaN passes no bar and fails none, so that a verdict on it would be luck."""
    kind, path, value = BROKEN[message]
    file = full / "eval" / kind / "evaluation.json"
    data = part = json.loads(file.read_text())
    for key in path[:-1]:
        part = part[key]
    part[path[-1]] = value
    file.write_text(json.dumps(data))
    assert main(["report", str(full)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("expunge: error: ") and error.count("\n") == 1 and message in error
    assert not (full / "report.html").exists()


@pytest.mark.parametrize("file", ["run.json", "eval/concept/evaluation.json"])
def test_half_a_file_is_refused(file: str, full: Path, capsys: Any) -> None:
    (full / file).write_text("{")
    assert main(["report", str(full)]) == 2
    assert "not a readable" in capsys.readouterr().err
    assert not (full / "report.html").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nothing"], "is nothing a run folder?"),
        ([], "RUN is missing"),
        (["run", "other"], "--to is missing"),
        (["run", "./run", "--to", "x.html"], "given twice"),
        (["run", "--to", "."], "is a folder"),
        (["run", "--to", "run.txt/x.html"], "cannot be written"),
        (["run", "--format", "pdf"], "--format"),
    ],
)
def test_bad_input_is_one_line(
    words: list[str], message: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_run(Path("run"))
    Path("run.txt").touch()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert main(["report", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and captured.err.count("\n") == 1 and message in captured.err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


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
