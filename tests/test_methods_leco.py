"""Laws of LECO, on a tiny real model: what its LoRA learns, and that the run's file is it."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from support.erased_runs import SHORT, UNET, apply, bits_equal, unet
from support.esd_by_hand import loss_by_hand, starts
from support.trainings import NUMBERS, make_sets, train, trained_methods
from torch import Tensor

from erase.export.lora.read import read_lora
from erase.models.bundle import Bundle
from erase.tensors.low_rank import Factors
from erase.training.low_rank import LowRank
from erase.training.masked_optimizer import MaskedOptimizer
from expunge.cli import main

LOW_RANK = LowRank(NUMBERS["leco"]["rank"], NUMBERS["leco"]["alpha"])


@torch.no_grad()
def merged(unet: Any, factors: dict[str, Factors]) -> Any:
    """A copy with what the factors stand for in its weights."""
    found = copy.deepcopy(unet)
    for name, factor in factors.items():
        found.get_parameter(name).add_(factor.product())
    return found


def kept(optimizer: MaskedOptimizer) -> dict[str, Factors]:
    """A copy of what it has learned so far."""
    return copy.deepcopy(LOW_RANK.factors(optimizer))


def test_a_product_by_hand() -> None:
    """alpha / r = 1/2 of up @ down: (1, 2)^T (3) + (1, 0)^T (1) is (4, 6), half of it (2, 3)."""
    up, down = torch.tensor([[1.0, 1.0], [2.0, 0.0]]), torch.tensor([[3.0], [1.0]])
    assert Factors(0.5 * up, down).product().tolist() == [[2.0], [3.0]]


def test_its_loss_is_esds_with_the_lora_in_the_model(tiny: Bundle, tmp_path: Path) -> None:
    """Of the second step: x_t by the model with the LoRA, the target by the one without."""
    sets, original, after = make_sets(tiny, tmp_path), copy.deepcopy(tiny.unet), []
    more: dict[str, Any] = {"progress": lambda _, o: after.append(kept(o)), "lr": 3e-2}
    rows, _ = train("leco", tiny, sets, **more)
    first, second, _ = starts(sets["prompts"], 3, first=1)
    found = loss_by_hand(original, original, original, tiny, first)
    assert rows[0].losses["forget"] == pytest.approx(found, rel=1e-5, abs=1e-6)
    student = merged(original, after[0])
    found = loss_by_hand(student, student, original, tiny, second)
    assert rows[1].losses["forget"] == pytest.approx(found, rel=1e-4, abs=1e-6)
    assert found != pytest.approx(loss_by_hand(student, original, original, tiny, second), rel=1e-3)


def test_the_lora_at_strength_1_is_the_model_that_was_trained(tiny: Bundle, tmp_path: Path) -> None:
    """And what was trained leaves the denoiser itself as it was, to the bit."""
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    told, original = tiny.encode(("a church", "a dog")).embeddings, copy.deepcopy(tiny.unet)

    @torch.no_grad()
    def says(unet: Any) -> Tensor:
        return unet(latents, torch.tensor([10, 500]), told).sample

    trained: list[Tensor] = []
    more: dict[str, Any] = {"progress": lambda *_: trained.append(says(tiny.unet)), "lr": 3e-2}
    _, optimizer = train("leco", tiny, make_sets(tiny, tmp_path), **more)
    assert (trained[-1] - says(original)).abs().max() > 1e-2
    torch.testing.assert_close(says(merged(original, kept(optimizer))), trained[-1])
    assert bits_equal(dict(tiny.unet.state_dict()), dict(original.state_dict()))
    assert torch.equal(says(tiny.unet), says(original))


def test_it_is_on_every_linear_and_convolution_layer_and_no_norm(tiny: Bundle) -> None:
    found = LOW_RANK.layers(tiny.unet, tiny.trainable("full"))
    kinds = {type(tiny.unet.get_submodule(n.removesuffix(".weight"))).__name__ for n in found}
    assert kinds == {"Linear", "Conv2d"}
    layers = [m for m in tiny.unet.modules() if type(m).__name__ in kinds]
    assert len(found) == len(layers)
    shapes = {name: tuple(t.shape) for name, t in LOW_RANK.empty(found).items()}
    assert shapes["conv_in.weight.down"] == (2, 4, 3, 3) and shapes["conv_in.weight.up"] == (
        8,
        2,
        1,
        1,
    )
    assert trained_methods()["leco"].low_rank(SimpleNamespace(rank=2, alpha=1.0)) == LOW_RANK


@pytest.fixture(scope="module")
def run(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run by LECO."""
    out = tmp_path_factory.mktemp("runs") / "leco"
    words = ["erase", "church", "--method", "leco", "--model", str(model_folder), *SHORT]
    assert main([*words, "--lr", "0.03", "--rank", "3", "--out", str(out)]) == 0
    return out


def export(run: Path, to: Path, *flags: str) -> Path:
    words = ["export", str(run), "--format", "lora", "--check", "no", "--to", str(to)]
    assert main([*words, *flags]) == 0
    return to


def test_the_run_s_file_is_a_lora_whose_sum_is_its_weights(
    run: Path, model_folder: Path, tmp_path: Path
) -> None:
    record = json.loads((run / "run.json").read_text())
    assert "lora.safetensors" in record["weights"]
    told = read_lora(run / "lora.safetensors").metadata
    assert told["expunge.method"] == "leco" and float(told["expunge.residual"]) < 1e-6
    assert apply(model_folder / "unet", tmp_path / "unet", run / "lora.safetensors") == 0
    applied = load_file(tmp_path / "unet" / Path(UNET).name)
    assert bits_equal(applied, unet(run))
    changed = {n for n, t in unet(run).items() if not torch.equal(t, unet(model_folder)[n])}
    assert changed and all(".attentions." in name and "norm" not in name for name in changed)
    assert record["mask"]["kept"] == sum(unet(run)[name].numel() for name in changed)


def test_an_export_takes_it_as_it_is(run: Path, tmp_path: Path) -> None:
    own = load_file(run / "lora.safetensors")
    assert {len(t) for n, t in own.items() if ".lora_A." in n} == {3}
    whole = load_file(export(run, tmp_path / "a.safetensors", "--dtype", "fp32"))
    assert bits_equal(whole, own)
    half = load_file(export(run, tmp_path / "b.safetensors"))
    assert all(torch.equal(half[name], tensor.half()) for name, tensor in own.items())


@pytest.mark.parametrize("naming", ["diffusers", "kohya"])
def test_a_strength_scales_its_product(
    run: Path, model_folder: Path, tmp_path: Path, naming: str
) -> None:
    flags = ("--dtype", "fp32", "--strength", "0.5", "--naming", naming)
    lora = export(run, tmp_path / "half.safetensors", *flags)
    assert apply(model_folder / "unet", tmp_path / "unet", lora) == 0
    applied = load_file(tmp_path / "unet" / Path(UNET).name)
    before, after = unet(model_folder), unet(run)
    for name, tensor in applied.items():
        wanted = before[name] + 0.5 * (after[name] - before[name])
        torch.testing.assert_close(tensor, wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("flags", [("--rank", "2"), ("--energy", "0.5")])
def test_what_was_trained_is_not_factorised_again(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, ...]
) -> None:
    words = ["export", str(run), "--format", "lora", "--to", str(tmp_path / "a.safetensors")]
    assert main([*words, *flags]) == 2
    assert f"{flags[0]} {flags[1]}: this run has trained its LoRA, of rank 3" in (
        capsys.readouterr().err
    )


def test_a_lora_that_was_altered_is_found(run: Path, tmp_path: Path) -> None:
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    assert main(["verify", str(copied)]) == 0
    file = copied / "lora.safetensors"
    metadata, tensors = read_lora(file).metadata, load_file(file)
    next(iter(tensors.values())).view(-1)[0] += 1
    save_file(tensors, file, metadata)
    assert main(["verify", str(copied)]) == 1


def test_one_that_was_taken_back_leaves_none(model_folder: Path, tmp_path: Path) -> None:
    words = ["erase", "church", "--method", "leco", "--model", str(model_folder), *SHORT]
    guarded = [word for word in words if word != "--no-guard"]
    out = tmp_path / "run"
    assert main([*guarded, "--lr", "100", "--out", str(out)]) == 1
    assert json.loads((out / "run.json").read_text())["stopped"]["kept_step"] == 0
    assert not (out / "lora.safetensors").exists() and main(["verify", str(out)]) == 0
