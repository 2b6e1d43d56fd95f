"""What holds of every method that trains: ESD, concept ablation and LECO beside SalUn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support.downstream import everything_downstream
from support.erased_runs import SHORT, unet
from support.trainings import half, make_sets, train, trained_methods

from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from erase.saliency.mask import SaliencyMask
from erase.training import loop
from expunge.cli import main
from expunge.parsing import parse
from expunge.runs.plan import make_plan
from expunge.runs.record import Ledger, begin
from expunge.runs.roles import roles_of
from expunge.runs.sets import build_sets
from expunge.runs.trained import prepare
from expunge.settings.erase import Erase
from expunge.settings.methods import METHODS
from plumbing.errors import UsageError
from plumbing.processes import ALONE, Team

NAMES = tuple(trained_methods())
MASKED = tuple(name for name in NAMES if hasattr(METHODS[name].flags(), "density"))
PRESETS = [(name, preset) for name in NAMES for preset in METHODS[name].presets]
OWN_LR = 7e-4


def asked(name: str, model: Path, out: Path, *flags: str) -> list[str]:
    """`expunge erase church` by a method, in two steps; its words."""
    where = ["--model", str(model), "--out", str(out)]
    return ["erase", "church", "--method", name, *where, *SHORT, *flags]


@pytest.mark.parametrize("name", NAMES)
def test_it_is_verified_exported_reported_and_made_again(
    model_folder: Path, tmp_path: Path, name: str
) -> None:
    run = tmp_path / "run"
    words = asked(name, model_folder, run)
    assert main(words) == 0
    record = json.loads((run / "run.json").read_text())
    assert record["method"] == name and f"--method {name}" in everything_downstream(run, tmp_path)
    before, after = unet(model_folder), unet(run)
    assert any(not torch.equal(before[n], after[n]) for n in before)
    again = (run / "run.json").read_text()
    assert main(words) == 0 and (run / "run.json").read_text() == again
    assert main([*words, "--seed", "4"]) == 2


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("model", ["sdxl_folder", "other_model_folder"])
def test_it_takes_any_model(
    request: pytest.FixtureRequest, tmp_path: Path, name: str, model: str
) -> None:
    """SDXL, whose prompts have more than an embedding, and a model that predicts v."""
    run = tmp_path / "run"
    assert main(asked(name, request.getfixturevalue(model), run)) == 0
    assert main(["verify", str(run)]) == 0


@pytest.mark.parametrize("name", MASKED)
def test_saluns_mask_goes_with_it(model_folder: Path, tmp_path: Path, name: str) -> None:
    """A third of the cross-attention's weights; all others are the base's, to the bit."""
    run = tmp_path / "run"
    assert main(asked(name, model_folder, run, "--density", "0.3")) == 0
    mask, before, after = SaliencyMask.load(run / "mask.safetensors"), unet(model_folder), unet(run)
    assert mask.metadata["kind"] == "saliency" and mask.kept == round(0.3 * mask.total)
    for weight, tensor in before.items():
        free = mask.bits(weight) if weight in mask.shapes else torch.zeros_like(tensor).bool()
        assert torch.equal(tensor[~free], after[weight][~free]), weight
    assert main(["verify", str(run)]) == 0
    record = json.loads((run / "run.json").read_text())
    assert record["sets"]["forget"] == 3 and record["passes"]["mask"]["denoiser"] > 0


@pytest.mark.parametrize("name", MASKED)
def test_without_a_mask_no_saliency_is_computed(
    model_folder: Path, tmp_path: Path, name: str
) -> None:
    run = tmp_path / "run"
    assert main(asked(name, model_folder, run, "--density", "1")) == 0
    record = json.loads((run / "run.json").read_text())
    assert record["mask"]["kept"] == record["mask"]["total"]
    assert record["passes"]["mask"]["denoiser"] == 0


@pytest.mark.parametrize("name", MASKED)
def test_unselected_weights_stay_whatever_the_method(
    tiny: Bundle, tmp_path: Path, name: str
) -> None:
    before, mask = {n: t.clone() for n, t in tiny.unet.state_dict().items()}, half(tiny)
    train(name, tiny, make_sets(tiny, tmp_path), mask)
    changed = 0
    for weight, tensor in tiny.unet.state_dict().items():
        differs = tensor != before[weight]
        assert not (differs & ~mask[weight]).any(), weight
        changed += int(differs.sum())
    assert changed > 0.8 * sum(int(bits.sum()) for bits in mask.values())


@pytest.mark.parametrize(("name", "preset"), PRESETS)
def test_a_preset_is_what_was_published(name: str, preset: str) -> None:
    """Whatever rate the model recommends for itself; what is not published has our default."""
    entry = METHODS[name]
    flags: Any = entry.flags(preset=preset)
    own = {"sampler": "dpm++", "inference_steps": 20, "guidance_scale": 7.5, "lr": OWN_LR}
    settings, data = Erase(("church",), method=name, settings=flags).settle(lambda _: own)
    for number, value in entry.presets[preset].items():
        found = settings if hasattr(settings, number) else data
        assert getattr(found, number) == value, number
    assert settings.preset == preset


@pytest.mark.parametrize("name", NAMES)
def test_a_small_model_s_own_rate_is_taken_times_the_method_s(name: str) -> None:
    """Without one it is that of a model of full size; a flag wins over both."""
    entry = METHODS[name]

    def rate(own: dict[str, Any], **flags: Any) -> float:
        own = {"sampler": "ddim", "inference_steps": 2, "guidance_scale": 5.0} | own
        return (
            Erase(("church",), method=name, settings=entry.flags(**flags))
            .settle(lambda _: own)[0]
            .lr
        )

    assert rate({"lr": OWN_LR}) == pytest.approx(entry.rate * OWN_LR)
    assert rate({}) == entry.defaults["lr"] and rate({"lr": OWN_LR}, lr=0.5) == 0.5


def test_published_numbers() -> None:
    """As read in the authors' code: ESD's of 2025, concept ablation's on two processes; LECO's
    example.
    """
    esd = {
        "steps": 200,
        "lr": 5e-5,
        "batch_size": 1,
        "eta": 1.0,
        "trajectory": "original",
        "trajectory_steps": 50,
        "trajectory_guidance": 3.0,
        "prompts": "name",
        "density": 1.0,
    }
    for preset, method in (("esd-x", "xattn"), ("esd-u", "noxattn-layers")):
        found = METHODS["esd"].presets[preset]
        assert {key: found[key] for key in esd} == esd and found["train_method"] == method
    ca = {
        "steps": 100,
        "lr": 2e-6 * 2 * 4,
        "batch_size": 2 * 4,
        "train_method": "kv",
        "weight_decay": 0.01,
        "teacher": "current",
        "forget_images": 1000,
        "prior": 0.0,
    }
    assert {key: METHODS["ca"].presets["ca"][key] for key in ca} == ca
    leco = {
        "steps": 500,
        "lr": 1e-4,
        "batch_size": 2,
        "rank": 4,
        "alpha": 1.0,
        "eta": 1.0,
        "weight_decay": 0.01,
        "trajectory_steps": 50,
        "trajectory_guidance": 3.0,
        "train_method": "transformers",
        "prompts": "name",
    }
    assert {key: METHODS["leco"].presets["leco"][key] for key in leco} == leco


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--method", "esd", "--preset", "ca"), "'ca' for argument '--preset'"),
        (("--method", "esd", "--eta", "-1"), "--eta must be at least 0"),
        (("--method", "esd", "--trajectory-steps", "1"), "--trajectory-steps must be at least 2"),
        (("--method", "esd", "--trajectory-guidance", "0.5"), "--trajectory-guidance must be at"),
        (("--method", "esd", "--relabel", "fixed"), "--relabel: no such flag"),
        (("--method", "esd", "--trajectory-steps", "1000"), "--trajectory-steps 1000: this model"),
        (("--method", "ca", "--anchor", " "), "--anchor is empty"),
        (("--method", "ca", "--anchor", "a chapel"), "--anchor 'a chapel' is church itself"),
        (("--method", "ca", "--prior", "-1"), "--prior must be at least 0"),
        (("--method", "salun", "--anchor", "a house"), "--anchor: no such flag"),
        (("--method", "leco", "--density", "0.5"), "--density: no such flag"),
        (("--method", "leco", "--rank", "0"), "--rank must be at least 1"),
        (("--method", "leco", "--alpha", "0"), "--alpha must be above 0"),
    ],
)
def test_what_cannot_be_meant_is_one_line(
    model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    flags: tuple[str, ...],
    message: str,
) -> None:
    words = ["erase", "church", "--model", str(model_folder), "--out", str(tmp_path / "run")]
    assert main([*words, *SHORT, *flags]) == 2
    error = capsys.readouterr().err
    assert message in error.splitlines()[-1] and not (tmp_path / "run").exists()


@pytest.mark.parametrize(("name", "role"), [("esd", "forget"), ("ca", "forget"), ("esd", "retain")])
def test_images_that_nothing_looks_at_are_refused(
    model_folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
    role: str,
) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    words = asked(name, model_folder, tmp_path / "run", f"--{role}-data", str(folder))
    assert main([w for w in words if w not in ("--forget-images", "3")]) == 2
    told = capsys.readouterr().err.splitlines()[-1]
    assert f"--{role}-data {folder}: --method {name} looks at no such images" in told


@pytest.mark.parametrize("name", NAMES)
def test_a_run_has_the_sets_that_it_needs(name: str) -> None:
    """The method's; one for the mask, if one is built; and a few images for the guard."""
    method = trained_methods()[name]

    def roles(**flags: Any) -> tuple[str, ...]:
        own: dict[str, Any] = {"sampler": "ddim", "inference_steps": 2, "guidance_scale": 5.0}
        command = Erase(("church",), method=name, settings=METHODS[name].flags(**flags))
        return roles_of(method, command.settle(lambda _: own)[0])

    own = {"salun": ("forget", "retain"), "ca": ("anchor",)}.get(name, ())
    assert set(roles(no_guard=True, **({"density": 1.0} if name in MASKED else {}))) == {*own}
    assert set(roles()) >= {*own, "retain"}
    if name in MASKED:
        assert set(roles(density=0.5)) == {*own, "forget", "retain"}
        assert set(roles(density=0.5, mask_kind="random")) == {*own, "retain"}


@pytest.mark.parametrize(
    ("flags", "wanted"),
    [((), ("church", "dog")), (("--prompts", "forget"), None)],
)
def test_several_concepts_are_asked_for_by_their_names_or_by_all_their_prompts(
    tiny: Bundle,
    model_folder: Path,
    tmp_path: Path,
    flags: tuple[str, ...],
    wanted: tuple[str, ...] | None,
) -> None:
    words = asked("esd", model_folder, tmp_path / "run", *flags)
    plan = make_plan("erase", parse(("erase",), ["dog", *words[1:]]))
    prompts = build_sets(tiny, plan, trained_methods()["esd"], ALONE)["prompts"]
    assert sorted(prompts.prompts) == sorted(wanted or plan.concept.forget_prompts)
    assert len(prompts.conditioning) == len(prompts.prompts) and len(prompts.nothing) == 1


def test_more_processes_than_a_batch_has_images_are_refused(
    model_folder: Path, tmp_path: Path
) -> None:
    words = asked("esd", model_folder, tmp_path / "run", "--batch-size", "1")
    plan = make_plan("erase", parse(("erase",), words[1:]))
    sd = load_checkpoint(plan.source, device="cpu")
    ledger = Ledger(plan.out, begin(plan.identity))
    with pytest.raises(UsageError, match="--batch-size 1: fewer images than the 2 processes"):
        prepare(trained_methods()["esd"], sd, plan, Team(0, 2), ledger)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "salun"])
def test_compiled_passes_train_the_same(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Seen by the compiler, a LoRA's hooks too."""
    seen: list[Any] = []

    def compiled(unet: Any) -> Any:
        seen.append(unet)
        return torch.compile(unet, dynamic=False, backend="eager")

    monkeypatch.setattr(loop, "compiled", compiled)
    logs = []
    for by_compiler in (False, True):
        sd = load_checkpoint(str(model_folder), device="cpu")
        rows, _ = train(name, sd, make_sets(sd, tmp_path), compiled=by_compiler)
        logs.append([row.losses["forget"] for row in rows])
    assert len(seen) == 1 and logs[1] == pytest.approx(logs[0], rel=1e-3)
