"""Every scheduler of diffusers is understood as its betas say, or refused with its reason."""

from __future__ import annotations

import ast
import inspect
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import diffusers.schedulers
import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.utils.import_utils import DummyObject
from support.strangers import change

from erase.diffusion.noise_schedule import NoiseSchedule
from erase.diffusion.scheduler_config import other_kind
from erase.models.locate import locate
from erase.models.sampler import SAMPLERS, build_sampler
from erase.models.scheduler import _ALIKE, load_scheduler
from expunge.cli import main
from plumbing.errors import UsageError

PACKAGE = Path(diffusers.schedulers.__file__).parent
CONFIG = "scheduler/scheduler_config.json"
STABLE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def defaults_of_all() -> dict[str, dict[str, Any]]:
    """Every scheduler's own defaults, read from the source: some cannot be imported here."""
    found: dict[str, dict[str, Any]] = {}
    for path in PACKAGE.rglob("scheduling_*.py"):
        for kind in ast.parse(path.read_text()).body:
            if isinstance(kind, ast.ClassDef) and kind.name.endswith("Scheduler"):
                init = next(
                    (
                        n
                        for n in kind.body
                        if isinstance(n, ast.FunctionDef) and n.name == "__init__"
                    ),
                    None,
                )
                found[kind.name] = _defaults(init) if init else {}
    return found


def _defaults(init: ast.FunctionDef) -> dict[str, Any]:
    names = [argument.arg for argument in init.args.args]
    values = init.args.defaults
    pairs = zip(names[len(names) - len(values) :], values, strict=True)
    return {n: v.value for n, v in pairs if isinstance(v, ast.Constant)}


ALL = defaults_of_all()
SUPPORTED = sorted(name for name in ALL if not other_kind({"_class_name": name}))


def schedule(folder: Path, *, drop: bool = False, **values: Any) -> NoiseSchedule:
    """Of the model in `folder`, its scheduler's config changed or written anew."""
    return NoiseSchedule.of(load(folder, drop=drop, **values))


def load(folder: Path, *, drop: bool = False, **values: Any) -> Any:
    if drop:
        (folder / CONFIG).write_text("{}")
    change(folder / CONFIG, **values)
    return load_scheduler(locate(str(folder)))


def refused(folder: Path, **values: Any) -> str:
    with pytest.raises((UsageError, ValueError, NotImplementedError)) as error:
        schedule(folder, **values)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_there_are_many_of_both_kinds() -> None:
    """So that no test below is of nothing."""
    assert len(SUPPORTED) > 15 and len(ALL) - len(SUPPORTED) > 15


@pytest.mark.parametrize("name", SUPPORTED)
def test_noise_is_as_the_class_has_it_whatever_package_it_needs(
    name: str, model_copy: Path
) -> None:
    """What a config leaves out is the class's own: of LCM 0.00085, of DDIM 0.0001."""
    own = {key: value for key, value in ALL[name].items() if key.startswith(("beta_", "num_train"))}
    assert set(own) == {"beta_start", "beta_end", "beta_schedule", "num_train_timesteps"}
    theirs = DDPMScheduler(**own)
    ours = load(model_copy, drop=True, _class_name=name)
    assert torch.equal(NoiseSchedule.of(ours).alphas_cumprod, theirs.alphas_cumprod)
    for sampler in SAMPLERS:
        drawn = build_sampler(sampler, ours.config)
        assert torch.equal(drawn.alphas_cumprod, theirs.alphas_cumprod), sampler
    theirs = DDPMScheduler(**STABLE, num_train_timesteps=500)
    ours = schedule(model_copy, _class_name=name, **STABLE, num_train_timesteps=500)
    assert torch.equal(ours.alphas_cumprod, theirs.alphas_cumprod) and len(ours) == 500
    assert ours.draw(1000, torch.Generator().manual_seed(0)).max() == 499


@pytest.mark.parametrize("name", sorted(_ALIKE))
def test_what_needs_a_package_has_the_noise_of_its_stand_in(name: str) -> None:
    for key in ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"):
        assert ALL[name][key] == ALL[_ALIKE[name]][key]


def test_no_other_needs_a_package() -> None:
    kinds = ((name, getattr(diffusers.schedulers, name, None)) for name in SUPPORTED)
    assert {name for name, kind in kinds if isinstance(kind, DummyObject)} <= {*_ALIKE}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        *[(name, "flow-matching") for name in ALL if "Flow" in name],
        *[(name, "an EDM model") for name in ALL if "EDM" in name],
        ("HeliosScheduler", "flow-matching"),
        ("CosineDPMSolverMultistepScheduler", "an EDM model"),
        ("SCMScheduler", "a consistency model"),
        ("CMStochasticIterativeScheduler", "a consistency model"),
        ("ScoreSdeVeScheduler", "a score-SDE model"),
        ("KarrasVeScheduler", "a score-SDE model"),
        ("VQDiffusionScheduler", "a model of tokens"),
        ("CogVideoXDDIMScheduler", "a video model"),
    ],
)
def test_other_kinds_of_models_are_refused_by_their_name(
    name: str, told: str, model_copy: Path
) -> None:
    error = refused(model_copy, _class_name=name)
    assert f"its scheduler ({name}) is of {told}" in error.replace("a flow-m", "flow-m")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"use_flow_sigmas": True}, "use_flow_sigmas is of a flow-matching model"),
        ({"prediction_type": "flow_prediction"}, "prediction_type is of a flow-matching model"),
        ({"prediction_type": "sample"}, "predicts 'sample'"),
        ({"rescale_betas_zero_snr": True}, "set prediction_type to v_prediction"),
        ({"trained_betas": [1.0] * 1000}, "pure noise"),
        ({"trained_betas": [0.1, 0.2], "num_train_timesteps": 1000}, "2 trained_betas for 1000"),
        ({"trained_betas": [-0.1] * 1000}, "not shares of noise"),
        ({"beta_end": 2.0}, "not shares of noise"),
        ({"beta_schedule": "spiral"}, "spiral"),
        ({"beta_start": "0.1"}, "its beta_start is '0.1'"),
        ({"num_train_timesteps": 10.5}, "its num_train_timesteps is '10.5'"),
        ({"num_train_timesteps": 0}, "no timesteps"),
        ({"trained_betas": "many"}, "its trained_betas is 'many'"),
        ({"_class_name": "os"}, "is not a scheduler of diffusers"),
        ({"_class_name": ["a"]}, "is not a scheduler of diffusers"),
    ],
)
def test_what_has_no_such_noise_is_refused(
    values: dict[str, Any], told: str, model_copy: Path
) -> None:
    assert told in refused(model_copy, **values)


@pytest.mark.parametrize(
    "values",
    [
        {"trained_betas": None, "prediction_type": None, "rescale_betas_zero_snr": None},
        {"use_karras_sigmas": True},
        {"use_karras_sigmas": None, "use_exponential_sigmas": True},
        {
            "_class_name": "DEISMultistepScheduler",
            "algorithm_type": "deis",
            "solver_type": "logrho",
        },
        {"_class_name": "SASolverScheduler", "algorithm_type": "data_prediction"},
        {"_class_name": "UniPCMultistepScheduler", "solver_type": "bh2", "predict_x0": True},
        {"_class_name": None},
        {"steps_offset": 0, "clip_sample": True, "unheard_of": 1},
    ],
)
def test_how_the_model_is_drawn_with_does_not_change_its_noise(
    values: dict[str, Any], model_copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = schedule(model_copy)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ours = load(model_copy, **values)
        drawn = [build_sampler(name, ours.config) for name in SAMPLERS]
    assert torch.equal(NoiseSchedule.of(ours).alphas_cumprod, before.alphas_cumprod)
    assert NoiseSchedule.of(ours).prediction_type == "epsilon"
    assert all(torch.equal(each.alphas_cumprod, ours.alphas_cumprod) for each in drawn)
    assert not caplog.records
    euler = drawn[list(SAMPLERS).index("euler")]
    assert euler.config.use_karras_sigmas == bool(values.get("use_karras_sigmas"))


@pytest.mark.parametrize("name", ["sigmoid", "laplace", "squaredcos_cap_v2"])
def test_a_schedule_that_a_sampler_does_not_know_is_drawn_all_the_same(
    name: str, model_copy: Path
) -> None:
    ours = load(model_copy, _class_name="DDPMScheduler", beta_schedule=name)
    theirs = DDPMScheduler(**{**STABLE, "beta_schedule": name}).alphas_cumprod
    assert torch.equal(NoiseSchedule.of(ours).alphas_cumprod, theirs)
    for sampler in SAMPLERS:
        assert torch.equal(build_sampler(sampler, ours.config).alphas_cumprod, theirs)


def test_betas_as_a_list_are_the_schedule(model_copy: Path) -> None:
    betas = DDPMScheduler(**STABLE, num_train_timesteps=30).betas
    (model_copy / CONFIG).write_text("{}")
    ours = load(model_copy, _class_name="DDIMScheduler", trained_betas=betas.tolist())
    assert torch.equal(NoiseSchedule.of(ours).alphas_cumprod, (1 - betas).cumprod(0))
    sampler = build_sampler("ddim", ours.config)
    sampler.set_timesteps(10)
    assert sampler.timesteps.max() < 30


# Of numpy 2, in diffusers' own code.
@pytest.mark.filterwarnings("ignore:__array__")
def test_at_pure_noise_errors_weigh_the_limit_and_v_is_learned(model_copy: Path) -> None:
    """abar_T = 0: v is -x_0, and 1 / SNR infinite, cut at the limit."""
    values = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    ours = load(model_copy, **values, timestep_spacing="trailing")
    last = torch.tensor([999])
    noise = NoiseSchedule.of(ours)
    assert noise.alphas_cumprod[-1] == 0
    assert noise.noise_weight(last, 5).item() == 5
    latents = torch.randn(1, 4, 2, 2)
    assert torch.equal(noise.prediction_target(latents, torch.randn_like(latents), last), -latents)
    for name in ("ddim", "euler", "dpm++"):
        sampler = build_sampler(name, ours.config)
        sampler.set_timesteps(4)
        assert sampler.timesteps[0] == 999
        drawn = torch.randn(1, 4, 2, 2) * sampler.init_noise_sigma
        for t in sampler.timesteps:
            drawn = sampler.step(sampler.scale_model_input(drawn, t) * 0.1, t, drawn).prev_sample
        assert drawn.isfinite().all(), name
    with pytest.raises(UsageError, match="--sampler pndm: cannot begin at pure noise"):
        build_sampler("pndm", ours.config)


def test_a_package_that_a_sampler_needs_is_named(
    model_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = inspect.getmodule(diffusers.schedulers.EulerDiscreteScheduler)
    monkeypatch.setattr(module, "is_scipy_available", lambda: False)
    config = load(model_copy, use_beta_sigmas=True).config
    assert build_sampler("ddim", config)
    with pytest.raises(UsageError, match=r"--sampler euler: .* install scipy .*; choose another"):
        build_sampler("euler", config)


def test_a_class_that_the_index_alone_names_is_known(model_copy: Path) -> None:
    change(model_copy / "model_index.json", scheduler=["diffusers", "LCMScheduler"])
    ours = schedule(model_copy, drop=True)
    assert ours.alphas_cumprod[0] == pytest.approx(1 - 0.00085)
    source = locate(str(model_copy))
    told = load_scheduler(replace(source, prediction_type="v_prediction"))
    assert NoiseSchedule.of(told).prediction_type == "v_prediction"


def test_more_steps_than_timesteps_are_refused_before_anything_is_written(
    model_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change(model_copy / CONFIG, num_train_timesteps=50)
    words = ["erase", "church", "--model", str(model_copy), "--out", str(tmp_path / "run")]
    assert main([*words, "--inference-steps", "50"]) == 2
    assert "was taught 50 timesteps; give 49 or fewer" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    sampler = build_sampler("ddim", load_scheduler(locate(str(model_copy))).config)
    sampler.set_timesteps(49)
    assert sampler.timesteps.max() <= 49
