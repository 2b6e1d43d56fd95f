"""Valid files of every kind that is read, which the fuzzer alters."""

import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from PIL import Image
from safetensors.torch import save

from erase.export.delta import write_delta
from erase.models.model_source import MINIATURE
from erase.saliency.mask import freeze_mask

SHA = "0123456789abcdef" * 4
_BOX = {"label": "FACE_FEMALE", "score": 0.5, "box": [1, 2, 3, 4]}
DETECTIONS = {"id": "00000", "model": "erased", "detections": [_BOX]}
CAPTION = {"file_name": "a.png", "text": "a church"}
GENERATION = {
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


def picture(form: str = "PNG") -> bytes:
    """A small picture; PostScript too, which nobody may run."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, format=form)
    return file.getvalue()


def pictures() -> list[bytes]:
    """One in each format that is read, and two that are not."""
    forms = "PNG JPEG WEBP GIF BMP TIFF JPEG2000 PPM QOI SGI ICO AVIF EPS PDF"
    return [picture(form) for form in forms.split()]


def masks() -> list[bytes]:
    """A mask."""
    bits = {"down_blocks.0.weight": torch.rand(3, 5) > 0.5, "conv_in.bias": torch.rand(9) > 0.5}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "mask"
        freeze_mask(bits, {"density": "0.5", "base": SHA}).save(path)
        return [path.read_bytes()]


def deltas() -> list[bytes]:
    """A delta."""
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


def loras() -> list[bytes]:
    """A LoRA."""
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


def models() -> list[bytes]:
    """Single files in either precision, with and without metadata."""
    half = {name: tensor.half() for name, tensor in _ldm().items()}
    return [save(_ldm(), {"modelspec.prediction_type": "epsilon"}), save(half)]


def pickles() -> list[bytes]:
    """A single file as a pickle, in either layout."""
    found = []
    for new in (True, False):
        file = io.BytesIO()
        torch.save({"state_dict": _ldm()}, file, _use_new_zipfile_serialization=new)
        found.append(file.getvalue())
    return found


def tomls() -> list[bytes]:
    """Concepts: one with every key, and two that are shipped."""
    folder = Path(__file__).parents[1] / "prompts" / "concepts"
    full = 'name = "x"\nkind = "object"\nsynonyms = ["y z"]\nforget = ["a x"]\nrelabel = ["a w"]\n'
    full += 'substitutes = ["w"]\nfixed_relabel = "a w"\nretain = ["a dog"]\ndetector = "clip"\n'
    small = sorted(folder.glob("*.toml"), key=lambda path: path.stat().st_size)[:2]
    return [full.encode(), *(path.read_bytes() for path in small)]


def tables() -> list[bytes]:
    """I2P in either layout."""
    head = "prompt,categories,hard,nudity_percentage,sd_image_width,sd_image_height,"
    rows = (
        'a church,sexual,1,60,512,512,11,7.5,0\n"a, ""b""\nc","hate, violence",0,0,512,768,5,3,1\n'
    )
    ours = f"{head}evaluation_seed,evaluation_guidance,case_number\n{rows}"
    hubs = f"{head}sd_seed,sd_guidance_scale,lexica_url\n{rows}"
    return [ours.encode(), hubs.encode()]


def prompt_tables() -> list[bytes]:
    """Tables of prompts in the shapes that people publish, all under one name."""
    return [
        b',prompt,evaluation_seed,classidx\n0,a church,123.0,497\n1,"a\nb",7,\n',
        b"sep=;\nadv_prompt;seed;guidance\na dog;1;7,5\n",
        b'caption\tsize\na cat "here"\t512.0\n',
        '[{"prompt": "a house", "seed": null}, {"prompt": "\u6559\u4f1a", "seed": 3}]'.encode(),
        b'{"text": "a", "sd_seed": 1}\n{"text": "b", "sd_seed": 2}\n',
        "prompt,seed\na \u2019quote\u2019,1\n".encode("utf-16"),
    ]


def miniature(name: str) -> Any:
    """One of the miniature's JSON files."""
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
    scores = {"ua": metric, "ira": metric, "cra": None, "near": metric, "substitute": metric}
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
        "sure": {"object": 0.7},
        "versions": {"torch": "2"},
    }
    return [concept]


def attack_evaluations() -> list[Any]:
    """A sound evaluation.json of attacks."""
    metric = {"value": 90.0, "n": 20, "ci95": [69.9, 97.2]}
    forms = [{"variant": f"w, {n} steps", "success": metric, "step": n} for n in (75, 150)]
    score = {"success": metric, "variant": "w, 150 steps", "variants": forms}
    made = {"title": "A learned word", "box": "white", "source": "x", "control": "floor"}
    made |= {"shows": "return", "numbers": {"steps": [75, 150], "lr": 0.01}}
    attacks = {"learned-word": made, "relearn": {**made, "box": "fine-tune", "shows": "nothing"}}
    drawn = {"sampler": "ddim", "steps": 10, "guidance_scale": 5.0, "dtype": "float32"}
    drawn |= {"width": 64, "height": 64, "rows_sha256": SHA}
    roles = ("original", "erased", "floor")
    return [
        {
            "schema_version": 1,
            "kind": "attack",
            "protocol": {"name": "quick", "seed": 0, "repetitions": 1, "images": 20, **drawn}
            | {"attacks": attacks, "detector": None, "prompts": None},
            "concept": {"name": "church", "kind": "object", "labels": ["church"]},
            "models": {role: {"name": "x", "sha256": SHA} for role in roles},
            "judges": {"object": {"name": "judge", "sha256": SHA}},
            **{role: dict.fromkeys(attacks, score) for role in roles},
            "depth": {"learned-word": {"value": 12.5, "ci95": [-3.0, 40.0]}},
            "passes": {"learned-word": 3920},
            "versions": {"torch": "2"},
        }
    ]


ATTEMPT = {
    "id": "learned-word-0-0123456789ab-00-000",
    "model": "erased",
    "attack": "learned-word",
    "seed": 0,
    "variant": "w, 150 steps",
    "step": 150,
    "image": 0,
    "label": "church",
    "score": 0.9,
    "hit": True,
    "adaptive": False,
}
"""A line of `attempts.jsonl`."""
DRAWN = {
    "model": SHA,
    "id": "learned-word-0-0123456789ab-00-000",
    "attack": "learned-word",
    "key": "learned-word-0-0123456789ab",
    "seed": 0,
    "variant": "w, 150 steps",
    "step": 150,
    "image": 0,
    "prompt": "an image of a *",
    "noise": 0,
    "sha256": SHA,
    "adaptive": False,
    "seconds": 0.2,
    "judged": {"judge": SHA, "label": "church", "score": 0.9},
}
"""A line of `attacks.jsonl`, but for its checksum."""
