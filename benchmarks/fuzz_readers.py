"""The readers of strangers' files, each with valid files to start from."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from hypothesis import strategies as st

from benchmarks import fuzz_files as valid
from benchmarks.fuzz_inputs import (
    everything,
    json_bytes,
    metadata_bytes,
    safetensors_bytes,
)
from erase.export.delta import read_delta
from erase.export.lora.read import bind_lora, read_lora
from erase.image_sets.captioned_folder import read_captions, read_pixels
from erase.models.folder_check import check_index, check_part
from erase.models.single_file.recognise import recognise, told_prediction
from erase.run_folder.folder import read_run
from erase.saliency.mask import SaliencyMask
from erase.saliency.mask_chart import summarise
from erase.saliency.mask_counts import read_mask_counts
from erase.tensors.weight_files import Spec, Weights
from erase.verify.exported_checks import check_delta_alone
from eval.compare.compared import compare, to_data
from eval.compare.page import render_html as render_comparison
from eval.compare.page import render_markdown as render_table
from eval.compare.row import Row
from eval.depth.attack_log import read_drawn
from eval.generation.image_log import read_generations
from eval.i2p.counts import read_detections
from eval.i2p.judge_and_remove import read_judged
from eval.kinds import KINDS
from eval.report.data import RunData, read_run_data
from eval.report.markdown import render_markdown
from eval.report.page import render_html, verdict_of
from expunge.reports.evaluated_model import read_evaluated
from expunge.reports.write_report import describe, published
from plumbing.errors import UsageError
from plumbing.image_file import read_rgb
from prompts.concept import load_concept
from prompts.i2p import read_i2p, select_listed
from prompts.prompt_file import read_prompt_file
from prompts.prompt_list import read_prompts


@dataclass(frozen=True)
class Reader:
    """How a file is read, where it lies, and what inputs are made for it."""

    name: str
    read: Callable[[Path], object]
    inputs: st.SearchStrategy[bytes]
    beside: Mapping[str, bytes] = field(default_factory=dict)
    """Files that must be there too."""


def readers() -> dict[str, Reader]:
    """All readers, by what they read."""
    runs, indexes = [valid.run_record()], [valid.miniature("model_index.json")]
    sound, attacks = valid.evaluations(), valid.attack_evaluations()
    run_beside = {"../../run.json": json.dumps(valid.run_record()).encode()}
    configs = [valid.miniature(f"{part}/config.json") for part in ("unet", "vae", "text_encoder")]
    lists = [b"a church\n# a comment\n\na dog in neon style\n", "\u6559\u4f1a\n\u0643\n".encode()]
    found = [
        Reader("mask.safetensors", _read_mask, _tensors(valid.masks())),
        Reader("delta.safetensors", _read_delta, _tensors(valid.deltas())),
        Reader("lora.safetensors", _read_lora, _tensors(valid.loras())),
        Reader("model.safetensors", _read_model, _tensors(valid.models())),
        Reader("model.ckpt", _read_model, everything(valid.pickles())),
        Reader("concept.toml", lambda path: load_concept(str(path)), everything(valid.tomls())),
        Reader("i2p.csv", _read_i2p, everything(valid.tables())),
        Reader("prompts.csv", _read_table, everything(valid.prompt_tables())),
        Reader("prompts.txt", read_prompts, everything(lists)),
        Reader("run.json", _read_run, everything(_texts(runs), json_bytes(runs))),
        Reader("model_index.json", _read_index, everything(_texts(indexes), json_bytes(indexes))),
        Reader("config.json", _read_config, everything(_texts(configs), json_bytes(configs))),
        Reader("detections.jsonl", read_detections, everything(*_lines(valid.DETECTIONS))),
        Reader("generations.jsonl", _read_generations, everything(*_lines(valid.GENERATION))),
        Reader(
            "metadata.jsonl",
            _read_captions,
            everything(*_lines(valid.CAPTION)),
            {"a.png": valid.picture()},
        ),
        Reader("photo.png", lambda path: read_rgb(path), everything(valid.pictures())),
        Reader(
            "evaluation.json",
            _report,
            everything(_texts(sound), json_bytes(sound)),
            run_beside,
        ),
        Reader(
            "../attack/evaluation.json",
            _report,
            everything(_texts(attacks), json_bytes(attacks)),
            run_beside,
        ),
        Reader(
            "../attack/attempts.jsonl",
            _report,
            everything(*_lines(valid.ATTEMPT)),
            {**run_beside, "evaluation.json": _texts(attacks)[0]},
        ),
        Reader(
            "compared/evaluation.json",
            _compare,
            everything(_texts(sound + attacks), json_bytes(sound + attacks)),
            {"../../../run.json": _texts(runs)[0], "../evaluation.json": _texts(sound)[0]},
        ),
        Reader("attacks.jsonl", _read_drawn, everything(*_lines(valid.DRAWN))),
    ]
    return {reader.name: reader for reader in found}


def _tensors(seeds: list[bytes]) -> st.SearchStrategy[bytes]:
    return everything(seeds, safetensors_bytes(seeds), metadata_bytes(seeds))


def _read_mask(path: Path) -> None:
    """Both readers, the one with torch and the report's."""
    _both(lambda: SaliencyMask.load(path).unpacked(), lambda: summarise(read_mask_counts(path)))


def _read_delta(path: Path) -> None:
    check_delta_alone(read_delta(path))


def _read_lora(path: Path) -> None:
    lora = bind_lora(path, read_lora(path), {"a.weight": Spec(torch.float32, (6, 4))}, {})
    lora.change("a.weight")


def _read_model(path: Path) -> None:
    tensors = Weights([path])
    for name in tensors:
        tensors[name].sum()
    recognise(path, tensors.specs)
    told_prediction(path, tensors.specs, tensors.metadata)


def _read_i2p(path: Path) -> None:
    rows = read_i2p(path)
    select_listed(rows, path)


def _read_run(path: Path) -> None:
    """The strict reader, and the report, which shows what there is."""
    _both(lambda: read_run(path.parent, "base", "concepts"), lambda: _page(path.parent))


def _read_generations(path: Path) -> None:
    read_generations(path.parent)
    read_judged(path.parent, "generations")


def _read_drawn(path: Path) -> None:
    read_drawn(path.parent, valid.SHA, valid.SHA)


def _read_captions(path: Path) -> None:
    for image in read_captions(path.parent, "--retain-data"):
        read_pixels(image, "--retain-data", 8)


def _lines(line: Any) -> tuple[list[bytes], st.SearchStrategy[bytes]]:
    """Two lines of JSON as a file, and one of them altered."""
    sound = json.dumps(line).encode() + b"\n"
    return [sound, 2 * sound], json_bytes([line]).map(lambda text: text + b"\n" + sound)


def _read_index(path: Path) -> None:
    from erase.models.locate import _check_family, _read_json

    index = _read_json(path, "a model")
    _check_family("a model", index)
    check_index("a model", index)


def _read_config(path: Path) -> None:
    check_part("a model", path.parent)


def _report(path: Path) -> None:
    """As if it were each kind of evaluation's."""
    _page(path.resolve().parents[2])


def _page(run: Path) -> None:
    data = _read_data(run)
    render_markdown(data, verdict_of(data)), render_html(data)


def _compare(path: Path) -> None:
    """A sound run beside a stranger's evaluation."""
    read = (_read_data(path.resolve().parents[3]), read_evaluated(path.parent, KINDS))
    found = compare([Row(n, data, verdict_of(data)) for n, data in enumerate(read, 1)])
    json.dumps(to_data(found), allow_nan=False)
    render_table(found), render_comparison(found)


def _read_data(run: Path) -> RunData:
    return read_run_data(describe(run, published(read_run(run))))


def _read_table(path: Path) -> None:
    read_prompt_file(path, "--prompts")


def _both(*reads: Callable[[], object]) -> None:
    """Call all, whatever the first refuses; then refuse what it refused."""
    refused = None
    for read in reads:
        try:
            read()
        except UsageError as error:
            refused = error
    if refused:
        raise refused


def _texts(values: list[Any]) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]
