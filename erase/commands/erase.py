"""`expunge erase`: concepts out of a model, weights and their story into a run folder."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from torch import nn
from tqdm import tqdm

from erase import prepare, provenance
from erase.checkpoint import StableDiffusion, load_checkpoint
from erase.config import Erase
from erase.datasets import ForgetSet, RetainSet
from erase.diffusion import NoiseSchedule, trainable_parameters
from erase.export.unet import WEIGHTS, write_unet
from erase.methods import salun
from erase.options import SalUnConfig
from erase.run import inspect_folder, prepare_folder, read_run, write_run
from erase.saliency import SaliencyMask
from erase.source import sha256_file

log = logging.getLogger(__name__)


def run(config: Erase) -> dict[str, Any]:
    """Erase, and print a small table, or one JSON object if `config.json`; returns the record."""
    record = erase_concepts(config)
    print(json.dumps(record) if config.json else _table(record))
    return record


def erase_concepts(config: Erase) -> dict[str, Any]:
    """Erase concepts into a run folder; returns the content of its run.json and the folder (`out`).

    A folder that holds this very run, finished, is left alone; unfinished, its cached sets and mask
    are used again. Bad input is a UsageError, raised before anything is written.
    """
    settled = config.resolve()
    settings = settled.salun
    if settled.model.model == "miniature":
        log.info("no --model given: using the shipped miniature")
    plan = prepare.make_plan("erase", settled, settings)
    state = inspect_folder(plan.out, plan.identity, overwrite=settled.overwrite)
    if state == "finished":
        log.info("%s: this very run is there, finished; --overwrite does it again", plan.out)
        return {"out": str(plan.out), **read_run(plan.out)}
    clock = provenance.Timings()
    sd = load_checkpoint(plan.source, device=settled.model.device, dtype="float32")
    NoiseSchedule.of(sd.scheduler)
    given = settings.mask and SaliencyMask.load(settings.mask)
    method = given.metadata.get("train_method", "full") if given else settings.train_method
    parameters = trainable_parameters(sd.unet, method or "full")
    if given and settings.mask:
        given.require(settings.mask, plan.source.digest, parameters)
    prepare_folder(plan.out, fresh=state == "new")
    asked = {k: v for k, v in asdict(config.salun).items() if v is not None}
    head = {**plan.identity, "method": "salun", "asked": {k: str(v) for k, v in asked.items()}}
    write_run(plan.out, {**head, "finished": None})
    clock.lap("load")

    relabel = settings.relabel or "random"
    forget = prepare.build_forget_set(sd, plan, relabel, settings.seed)
    retain = prepare.build_retain_set(sd, plan, settings.seed)
    clock.lap("sets")
    mask = given or _make_mask(sd, parameters, forget, plan, settings)
    mask.save(plan.out / "mask.safetensors")
    clock.lap("mask")
    rows = _train(sd, parameters, mask, forget, retain, plan, settings)
    _write_log(plan.out / "train_log.jsonl", rows)
    clock.lap("train")
    write_unet(sd.unet, plan.out / "unet", _weights_metadata(plan, settings))
    clock.lap("export")

    record = {
        **head,
        "mask": {"kept": mask.kept, "total": mask.total, **mask.metadata},
        "sets": {"forget": len(forget), "retain": len(retain)},
        "weights": {
            name: sha256_file(plan.out / name)
            for name in (f"unet/{WEIGHTS}", "unet/config.json", "mask.safetensors")
        },
        "versions": provenance.versions(),
        "seconds": clock.seconds,
        "peak_memory_mb": provenance.peak_memory_mb(),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    write_run(plan.out, record)
    return {"out": str(plan.out), **record}


def _make_mask(
    sd: StableDiffusion,
    parameters: Mapping[str, nn.Parameter],
    forget: ForgetSet,
    plan: prepare.Plan,
    settings: SalUnConfig,
) -> SaliencyMask:
    """The mask that an unfinished run left, or a new one."""
    left = plan.out / "mask.safetensors"
    if left.is_file():
        # The folder's run.json has this run's identity, which decides the mask.
        return SaliencyMask.load(left)
    return prepare.build_mask(sd, parameters, forget, plan, settings, settings.mask_kind)


def _train(
    sd: StableDiffusion,
    parameters: Mapping[str, nn.Parameter],
    mask: SaliencyMask,
    forget: ForgetSet,
    retain: RetainSet,
    plan: prepare.Plan,
    settings: SalUnConfig,
) -> list[salun.StepRow]:
    assert settings.steps
    assert settings.lr
    assert settings.batch_size
    assert settings.alpha is not None
    assert settings.noise_weight is not None
    with tqdm(total=settings.steps, desc="erasing", unit="step") as bar:

        def show(row: salun.StepRow) -> None:
            bar.set_postfix(forget=f"{row.forget_loss:.4f}", retain=f"{row.retain_loss:.4f}")
            bar.update()

        rows, _ = salun.erase(
            sd,
            parameters,
            mask.unpacked(),
            forget,
            retain,
            steps=settings.steps,
            lr=settings.lr,
            linear_decay=settings.lr_schedule == "linear",
            batch_size=settings.batch_size,
            alpha=settings.alpha,
            frozen_teacher=settings.teacher == "frozen",
            teach_retained=settings.retain_target == "teacher",
            noise_weight=settings.noise_weight,
            seed=settings.seed,
            dtype=plan.dtype,
            progress=show,
        )
        return rows


def _write_log(path: Path, rows: list[salun.StepRow]) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_text("".join(json.dumps(asdict(row)) + "\n" for row in rows), encoding="utf-8")
    os.replace(partial, path)


def _weights_metadata(plan: prepare.Plan, settings: SalUnConfig) -> dict[str, str]:
    return {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.title": f"{Path(plan.source.id).name} without {plan.concept.name}",
        "modelspec.architecture": "stable-diffusion-v1/unet",
        "modelspec.implementation": "diffusers",
        "modelspec.description": f"{plan.concept.name} erased with SalUn by expunge",
        "expunge.concept": plan.concept.name,
        "expunge.method": "salun",
        "expunge.base": plan.source.digest,
        "expunge.config": json.dumps(plan.identity["config"], sort_keys=True),
        "expunge.seed": str(settings.seed),
    }


def _table(record: Mapping[str, Any]) -> str:
    mask, seconds = record["mask"], record["seconds"]
    rows = {
        "erased": record["concept"]["name"],
        "from": record["base"]["id"],
        "weights changed": f"{mask['kept']:,} of {mask['total']:,}",
        "steps": f"{record['config']['steps']} in {seconds['train']:.0f} s",
        "all in all": f"{sum(seconds.values()):.0f} s, {record['peak_memory_mb']} MB at peak",
        "run folder": record["out"],
        "next": f"expunge evaluate concept {record['out']}",
    }
    return "\n".join(f"{name:>16}  {value}" for name, value in rows.items())
