"""An architecture is added by its own file and one entry in the list, and no others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, StableDiffusion3Pipeline
from safetensors.torch import load_file
from support.erased_runs import erase
from support.example_sd3 import SD3, save_sd3
from support.files import tree

from erase.diffusion.latents import encode_images, sample_latents
from erase.models.architectures import known
from erase.models.checkpoint import load_checkpoint
from erase.models.locate import locate, native_size
from erase.saliency.mask import SaliencyMask
from expunge.cli import main
from plumbing.errors import UsageError

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """The one line that names it."""
    monkeypatch.setattr(known, "ARCHITECTURES", [*known.ARCHITECTURES, SD3])


@pytest.fixture(scope="module")
def sd3(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny model."""
    folder = tmp_path_factory.mktemp("models") / "sd3"
    save_sd3(folder)
    return folder


@pytest.fixture
def run(sd3: Path, tmp_path: Path) -> Path:
    """An erasure of it by the command line."""
    return erase(sd3, tmp_path / "run", "--device", "cpu", "--dtype", "float32")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_is_erased_from_the_way_any_model_is(sd3: Path, tmp_path: Path, dtype: str) -> None:
    run = erase(sd3, tmp_path / "run", "--device", "cpu", "--dtype", dtype)
    assert {"transformer", "mask.safetensors", "train_log.jsonl"} <= {p.name for p in run.iterdir()}
    assert not (run / "unet").exists()
    record = json.loads((run / "run.json").read_text())
    assert {WEIGHTS, "transformer/config.json", "mask.safetensors"} == {*record["weights"]}
    mask = SaliencyMask.load(run / "mask.safetensors")
    before, after = load_file(sd3 / WEIGHTS), load_file(run / WEIGHTS)
    assert mask.shapes and all(map(SD3.groups["xattn"], mask.shapes))
    for name, weight in before.items():
        own = mask.bits(name) if name in mask.shapes else torch.zeros_like(weight).bool()
        assert torch.equal(weight[~own], after[name][~own]), name
    assert any(not torch.equal(before[name], after[name]) for name in mask.shapes)


def test_it_is_verified_measured_and_reported(run: Path) -> None:
    assert main(["verify", str(run)]) == 0
    words = ["evaluate", "concept", str(run), "--protocol", "demo", "--steps", "2"]
    assert main([*words, "--device", "cpu"]) == 0
    evaluation = json.loads((run / "eval" / "concept" / "evaluation.json").read_text())
    assert evaluation["original"]["ua"]["n"] == evaluation["erased"]["ua"]["n"] > 0
    assert main(["report", str(run)]) == 0
    assert "church" in (run / "report.html").read_text()


def test_exports_open_in_plain_diffusers_and_make_the_model_again(
    sd3: Path, run: Path, tmp_path: Path
) -> None:
    for kind in ("pipeline", "unet", "delta"):
        place = tmp_path / f"it{'.safetensors' if kind == 'delta' else f'-{kind}'}"
        assert main(["export", str(run), "--format", kind, "--to", str(place)]) == 0
        assert main(["verify", str(place), "--run", str(run)]) == 0
    theirs = StableDiffusion3Pipeline.from_pretrained(
        tmp_path / "it-pipeline", text_encoder_3=None, tokenizer_3=None
    )
    erased = load_checkpoint(str(run), device="cpu").denoiser.state_dict()
    weights = theirs.transformer.state_dict()
    assert all(torch.equal(weights[name], tensor) for name, tensor in erased.items())
    words = [str(tmp_path / "it.safetensors"), "--model", str(sd3), "--to", str(tmp_path / "on")]
    assert main(["apply", *words]) == 0
    assert (tmp_path / "on" / "transformer").is_dir() and not (tmp_path / "on" / "unet").exists()
    assert locate(str(tmp_path / "on")).architecture is SD3


def test_a_lora_has_the_names_of_diffusers_alone(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["export", str(run), "--format", "lora", "--to", str(tmp_path / "it.safetensors")]
    before = tree(tmp_path)
    assert main([*words, "--naming", "kohya"]) == 2
    assert "--naming kohya: there are no such names for SD3" in capsys.readouterr().err
    assert tree(tmp_path) == before
    assert main([*words, "--naming", "diffusers"]) == 0
    names = load_file(tmp_path / "it.safetensors")
    assert names and all(name.startswith("transformer.") for name in names)


def test_a_single_file_is_refused(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "one.safetensors"
    assert main(["export", str(run), "--format", "single-file", "--to", str(place)]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert "--format single-file: there is none for SD3; use --format pipeline" in error
    assert not place.exists()


def test_its_latents_are_shifted_before_they_are_scaled(sd3: Path) -> None:
    """As its pipeline has them, (z - 0.1) * 0.5."""
    vae = load_checkpoint(str(sd3), device="cpu").vae
    pixels = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    mean, logvar = encode_images(vae, pixels)
    latents = sample_latents(mean, logvar, torch.zeros_like(mean), vae.config["scaling_factor"])
    with torch.no_grad():
        mode = vae.encode(pixels).latent_dist.mode()
    torch.testing.assert_close(latents, (mode - 0.1) * 0.5)


def test_its_groups_part_the_weights(sd3: Path) -> None:
    model = load_checkpoint(str(sd3), device="cpu")
    groups = {name: {*model.trainable(name)} for name in SD3.groups}
    assert groups["xattn"] | groups["noxattn"] == groups["full"]
    with pytest.raises(UsageError, match=r"--train-method selfattn: selects no .* transformer; ch"):
        model.trainable("selfattn")
    assert native_size(locate(str(sd3))) == model.native_size == (16, 16)


def test_its_noise_is_that_of_diffusers(sd3: Path) -> None:
    schedule = load_checkpoint(str(sd3), device="cpu").schedule
    latents, noise = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    timesteps = schedule.draw(3, torch.Generator().manual_seed(1))
    theirs = FlowMatchEulerDiscreteScheduler().scale_noise(latents, timesteps, noise)
    torch.testing.assert_close(schedule.add_noise(latents, noise, timesteps), theirs)


def test_without_its_line_it_is_refused(
    sd3: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(known, "ARCHITECTURES", known.ARCHITECTURES[:-1])
    assert main(["erase", "church", "--model", str(sd3), "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "a StableDiffusion3Pipeline is not supported; expunge erases from" in error
    assert error.count("\n") == 1 and not (tmp_path / "run").exists()
