"""The readers of strangers' files, each with valid files to start from."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save

from benchmarks.fuzz_inputs import (
    everything,
    json_bytes,
    metadata_bytes,
    safetensors_bytes,
)
from erase.export.delta import read_delta, write_delta
from erase.export.lora.read import bind_lora, read_lora
from erase.image_sets.captioned_folder import read_captions, read_pixels
from erase.models.folder_check import check_index, check_part
from erase.models.model_source import MINIATURE
from erase.models.single_file.recognise import recognise, told_prediction
from erase.models.single_file.tensors import read_tensors
from erase.run_folder.folder import read_run
from erase.saliency.mask import SaliencyMask, freeze_mask
from erase.saliency.mask_chart import summarise
from erase.saliency.mask_counts import read_mask_counts
from erase.tensors.weight_files import Spec
from erase.verify.exported_checks import check_delta_alone
from eval.generation.image_log import read_generations
from eval.i2p.counts import read_detections
from eval.i2p.judge_and_remove import read_judged
from eval.report.data import read_run_data
from eval.report.markdown import render_markdown
from eval.report.page import render_html, verdict_of
from expunge.reports.write_report import describe, published
from plumbing.errors import UsageError
from prompts.concept import load_concept, read_prompts
from prompts.i2p import read_i2p, select_listed

SHA = "0123456789abcdef" * 4


_BOX = {"label": "FACE_FEMALE", "score": 0.5, "box": [1, 2, 3, 4]}
_DETECTIONS = {"id": "00000", "model": "erased", "detections": [_BOX]}
_CAPTION = {"file_name": "a.png", "text": "a church"}
_GENERATION = {
    "id": "00000",
    "prompt": "a church",
    "seed": 1,
    "sampler": "ddim",
    "steps": 2,
    "guidance_scale": 5.0,
    "width": 16,
    "height": 16,
    "dtype": "float32",
    "model": SHA,
    "sha256": SHA,
    "seconds": 0.1,
}


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
    masks, deltas, loras, files = _masks(), _deltas(), _loras(), _models()
    tomls, tables = _tomls(), _tables()
    runs, indexes = [run_record()], [_miniature("model_index.json")]
    sound = evaluations()
    configs = [_miniature(f"{part}/config.json") for part in ("unet", "vae", "text_encoder")]
    lists = [b"a church\n# a comment\n\na dog in neon style\n", "\u6559\u4f1a\n\u0643\n".encode()]
    found = [
        Reader("mask.safetensors", _read_mask, _tensors(masks)),
        Reader("delta.safetensors", _read_delta, _tensors(deltas)),
        Reader("lora.safetensors", _read_lora, _tensors(loras)),
        Reader("model.safetensors", _read_model, _tensors(files)),
        Reader("model.ckpt", _read_model, everything(_pickles())),
        Reader("concept.toml", lambda path: load_concept(str(path)), everything(tomls)),
        Reader("i2p.csv", _read_i2p, everything(tables)),
        Reader("prompts.txt", read_prompts, everything(lists)),
        Reader("run.json", _read_run, everything(_texts(runs), json_bytes(runs))),
        Reader("model_index.json", _read_index, everything(_texts(indexes), json_bytes(indexes))),
        Reader("config.json", _read_config, everything(_texts(configs), json_bytes(configs))),
        Reader("detections.jsonl", read_detections, everything(*_lines(_DETECTIONS))),
        Reader("generations.jsonl", _read_generations, everything(*_lines(_GENERATION))),
        Reader(
            "metadata.jsonl",
            _read_captions,
            everything(*_lines(_CAPTION)),
            {"a.png": _picture()},
        ),
        Reader(
            "evaluation.json",
            _report,
            everything(_texts(sound), json_bytes(sound)),
            {"../../run.json": json.dumps(run_record()).encode()},
        ),
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
    tensors, metadata = read_tensors(path)
    for name in tensors:
        tensors[name].sum()
    recognise(path, tensors.specs)
    told_prediction(path, tensors.specs, metadata)


def _read_i2p(path: Path) -> None:
    rows = read_i2p(path)
    select_listed(rows, path)


def _read_run(path: Path) -> None:
    """The strict reader, and the report, which shows what there is."""
    _both(lambda: read_run(path.parent, "base", "concepts"), lambda: _page(path.parent))


def _read_generations(path: Path) -> None:
    read_generations(path.parent)
    read_judged(path.parent, "generations")


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
    _page(path.parents[2])


def _page(run: Path) -> None:
    data = read_run_data(describe(run, published(read_run(run))))
    verdict = verdict_of(data)
    render_markdown([data], [verdict]), render_html([data])


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


def _picture() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, format="PNG")
    return file.getvalue()


def _texts(values: list[Any]) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


def _masks() -> list[bytes]:
    bits = {"down_blocks.0.weight": torch.rand(3, 5) > 0.5, "conv_in.bias": torch.rand(9) > 0.5}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mask"
        freeze_mask(bits, {"density": "0.5", "base": SHA}).save(path)
        return [path.read_bytes()]


def _deltas() -> list[bytes]:
    torch.manual_seed(0)
    before = {"a.weight": torch.randn(6, 4), "b.bias": torch.randn(40)}
    after = {"a.weight": before["a.weight"] + 1, "b.bias": before["b.bias"].clone()}
    after["b.bias"][3] += 1
    told = {"concept": "church", "base": SHA, "base_unet": SHA, "erased_unet": SHA}
    told |= {"dtype": "float32", "base_dtype": "float32"}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "delta"
        write_delta(before, after, path, {f"expunge.{k}": v for k, v in told.items()})
        return [path.read_bytes()]


def _loras() -> list[bytes]:
    tensors = {"unet.a.lora_A.weight": torch.ones(2, 4), "unet.a.lora_B.weight": torch.ones(6, 2)}
    told = {"format": "lora", "version": "1", "naming": "diffusers", "concept": "church"}
    told |= {"base": SHA, "base_unet": SHA, "residual": "0.1"}
    return [save(tensors, {f"expunge.{k}": v for k, v in told.items()})]


def _ldm() -> dict[str, torch.Tensor]:
    unet = "model.diffusion_model."
    shapes = {
        f"{unet}input_blocks.0.0.weight": (4, 4, 3, 3),
        f"{unet}out.2.weight": (4, 4, 3, 3),
        "first_stage_model.quant_conv.weight": (2, 2),
        "cond_stage_model.transformer.text_model.final_layer_norm.bias": (3,),
    }
    return {name: torch.ones(shape) for name, shape in shapes.items()}


def _models() -> list[bytes]:
    half = {name: tensor.half() for name, tensor in _ldm().items()}
    return [save(_ldm(), {"modelspec.prediction_type": "epsilon"}), save(half)]


def _pickles() -> list[bytes]:
    found = []
    for new in (True, False):
        file = io.BytesIO()
        torch.save({"state_dict": _ldm()}, file, _use_new_zipfile_serialization=new)
        found.append(file.getvalue())
    return found


def _tomls() -> list[bytes]:
    folder = Path(__file__).parents[1] / "prompts" / "concepts"
    full = 'name = "x"\nkind = "object"\nsynonyms = ["y z"]\nforget = ["a x"]\nrelabel = ["a w"]\n'
    full += 'substitutes = ["w"]\nfixed_relabel = "a w"\nretain = ["a dog"]\ndetector = "clip"\n'
    small = sorted(folder.glob("*.toml"), key=lambda path: path.stat().st_size)[:2]
    return [full.encode(), *(path.read_bytes() for path in small)]


def _tables() -> list[bytes]:
    head = "prompt,categories,hard,nudity_percentage,sd_image_width,sd_image_height,"
    rows = (
        'a church,sexual,1,60,512,512,11,7.5,0\n"a, ""b""\nc","hate, violence",0,0,512,768,5,3,1\n'
    )
    ours = f"{head}evaluation_seed,evaluation_guidance,case_number\n{rows}"
    hubs = f"{head}sd_seed,sd_guidance_scale,lexica_url\n{rows}"
    return [ours.encode(), hubs.encode()]


def _miniature(name: str) -> Any:
    return json.loads((MINIATURE / name).read_text(encoding="utf-8"))


def run_record() -> dict[str, Any]:
    """A sound run.json."""
    counts = {"part": "mid_block", "kept": 1, "total": 2, "percent": 50.0}
    return {
        "schema_version": 1,
        "command": "erase",
        "concepts": ["church"],
        "concept": {"name": "church", "kind": "object", "source": "shipped:church"},
        "config": {"seed": 0, "steps": 10, "lr": 1e-5, "mask": None, "retain_data": "~/data"},
        "inputs": {"prompts": SHA},
        "base": {
            "id": "miniature",
            "revision": None,
            "variant": None,
            "digest": SHA,
            "files": {"unet/config.json": SHA},
        },
        "mask": {"kept": 1, "total": 2, "loss": "MSE"},
        "weights": {"unet/config.json": SHA},
        "versions": {"torch": "2"},
        "seconds": {"load": 1.5, "train": 2.0},
        "peak_memory_mb": 12.5,
        "blocks": [counts],
        "kinds": [counts],
        "finished": "2026-01-02T03:04:05+00:00",
    }


def evaluations() -> list[Any]:
    """A sound evaluation.json."""
    metric = {"value": 99.0, "n": 100, "ci95": [94.6, 99.8]}
    scores = {"ua": metric, "ira": metric, "cra": None}
    models = {side: {"name": "x", "sha256": SHA} for side in ("original", "erased")}
    drawn = {"sampler": "ddim", "steps": 25, "guidance_scale": 5.0, "dtype": "float32"}
    drawn |= {"rows_sha256": SHA}
    concept = {
        "schema_version": 1,
        "kind": "concept",
        "protocol": {"name": "full", "seed": 0, "width": 64, "height": 64, **drawn}
        | {"images": {"forget": 100, "retain": 500}, "detector": None},
        "concept": {"name": "church", "kind": "object", "labels": ["church"]},
        "models": models,
        "judges": {"object": {"name": "judge", "sha256": SHA}},
        "original": scores,
        "erased": scores,
        "notes": {"cra": "none"},
        "versions": {"torch": "2"},
    }
    return [concept]
