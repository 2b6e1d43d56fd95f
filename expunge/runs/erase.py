"""Erase concepts from a model into a run folder."""

from __future__ import annotations

import json
import logging
import math
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from erase.methods.method import ClosedForm
from erase.models.checkpoint import load_checkpoint
from erase.run_folder.folder import FolderState, inspect_folder, prepare_folder, read_run
from erase.training.step_log import StepRow
from expunge.runs import closed_form, trained
from expunge.runs.concept_probe import drawn_before
from expunge.runs.estimate import estimate
from expunge.runs.lesson import drop_unread
from expunge.runs.outcome import write_lora, write_weights
from expunge.runs.plan import Plan, make_plan, require_images
from expunge.runs.record import Ledger, begin, hash_outputs, told
from expunge.runs.roles import load_method
from expunge.runs.train import STATE
from expunge.settings.erase import Erase
from plumbing.lock import locked
from plumbing.processes import Team, current_team
from plumbing.whole_files import replace_file

log = logging.getLogger(__name__)


def erase_concepts(command: Erase) -> dict[str, Any]:
    """Erase concepts into a run folder; returns the content of its run.json and the folder (`out`).

    A folder that holds this very run, finished, is left alone; unfinished, its cached sets and mask
    are used again. A `dry_run` gives its estimated bill instead. Bad input is a UsageError, raised
    before anything is written.
    """
    if command.dry_run:
        return estimate(command)
    if command.model.model == "miniature":
        log.info("no --model given: using the shipped miniature")
    plan, team = make_plan("erase", command), current_team()
    with locked(plan.out) if team.leads else nullcontext():
        state = inspect_folder(plan.out, plan.identity, overwrite=command.overwrite)
        if state == "finished":
            log.info("%s: this very run is there, finished; --overwrite does it again", plan.out)
            return told(plan.out, read_run(plan.out))
        if state == "new":
            require_images(plan)
        return _erase(command, plan, team, state)


def _erase(command: Erase, plan: Plan, team: Team, state: FolderState) -> dict[str, Any]:
    """Do the run in its folder, which is this process's alone, or its team's."""
    before = read_run(plan.out) if state == "unfinished" else None
    ledger = Ledger(plan.out, begin(plan.identity, asdict(command.settings), before), team)
    method = load_method(plan.method)
    sd = load_checkpoint(plan.source, device=command.model.device, dtype="float32")
    ledger.watch(sd)
    plan = drop_unread(sd, plan)
    steps: Any = closed_form if isinstance(method, ClosedForm) else trained
    prepared = steps.prepare(method, sd, plan, team, ledger)
    # Every process has seen what was there before the leader changes it.
    team.wait()
    with team.leader_first():
        if team.leads:
            prepare_folder(plan.out, fresh=state == "new")
            ledger.note()
    ledger.lap("load")
    if team.leads and ledger.record.drawn is None:
        ledger.note(drawn=drawn_before(sd, plan))
    ledger.lap("probe")
    outcome = steps.run(prepared, ledger)
    ledger.add_up(sd.denoiser.device)
    if not team.leads:
        team.wait()
        return {"out": str(plan.out)}
    if outcome.rows:
        _write_log(plan.out / "train_log.jsonl", outcome.rows)
    write_weights(outcome, sd, plan, method.title)
    write_lora(outcome, ledger.record, plan)
    ledger.lap("export")
    hashes = hash_outputs(plan.out, sd.architecture.denoiser)
    facts = {**outcome.facts, "stopped": outcome.stopped, "weights": hashes}
    record = ledger.finish(outcome.mask, facts)
    (plan.out / STATE).unlink(missing_ok=True)
    team.wait()
    if outcome.stopped:
        log.warning(outcome.stopped.describe())
    return told(plan.out, record)


def _write_log(path: Path, rows: list[StepRow]) -> None:
    lines = []
    for row in rows:
        # JSON has no word for what a training that diverged ends with.
        losses = {name: v if math.isfinite(v) else None for name, v in row.losses.items()}
        lines.append(json.dumps(asdict(row) | {"losses": losses}) + "\n")
    replace_file(path, "".join(lines).encode())
