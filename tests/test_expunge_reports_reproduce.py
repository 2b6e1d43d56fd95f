"""The commands that a report shows make the same run and ask for the same evaluations."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from support.report_runs import (
    CONFIG,
    add_concept,
    add_i2p,
    add_quality,
    make_run,
)

from erase.run_folder.folder import inspect_folder, read_run
from eval.metrics.schema import write_evaluation
from expunge.cli import main
from expunge.parsing import parse
from expunge.reports.reproduce import run_command
from expunge.runs.plan import make_plan


def test_the_command_that_is_shown_makes_the_same_run(tmp_path: Path) -> None:
    config = {**CONFIG, "preset": "salun-nudity", "relabel": "a person's photo", "lr": 3e-6}
    run = make_run(tmp_path / "run", "fuel pump", base="./my model", config=config)
    source = (run / "report.md") if main(["report", str(run), "--format", "md"]) == 0 else run
    line = next(t for t in source.read_text().splitlines() if t.startswith("    expunge erase"))
    settled = parse(("erase",), shlex.split(line)[2:])
    assert (settled.concepts, settled.model.model) == (("fuel pump",), "./my model")
    settings, data = settled.settle(
        lambda sampler: {"sampler": sampler, "inference_steps": 50, "guidance_scale": 7.5}
    )
    found = vars(settings) | vars(data)
    shared = set(found) & set(config)
    assert len(shared) == 23 and {name: found[name] for name in shared} == {
        name: config[name] for name in shared
    }


def test_the_command_of_a_real_run_has_its_identity(finished: Path) -> None:
    """Run again it would find the very same run, finished."""
    record = read_run(finished)
    words = shlex.split(run_command(record) or "")
    plan = make_plan("erase", parse(("erase",), words[2:]))
    assert inspect_folder(finished, plan.identity, overwrite=False) == "finished"
    assert {"--no-guard", "--method"} <= set(words) and "False" not in words


def test_an_older_runs_sets_are_drawn_as_they_were(finished: Path) -> None:
    record = read_run(finished)
    older = {k: v for k, v in record.config.items() if k != "guided_share"} | {"sampler": "ddim"}
    words = shlex.split(run_command(replace(record, config=older)) or "")
    assert parse(("erase",), words[2:]).data.guided_share == 1.0 and "ddim" in words


def test_an_older_run_is_relabelled_as_it_was(finished: Path) -> None:
    """What was drawn for each sample was called `random`; a run that records more means today's."""
    record = read_run(finished)
    new = ("relabel_share", "adversaries", "mix")
    older = {k: v for k, v in record.config.items() if k not in new} | {"relabel": "random"}

    def shown(config: dict[str, Any]) -> Any:
        words = shlex.split(run_command(replace(record, config=config)) or "")
        return parse(("erase",), words[2:]).settings

    assert (shown(older).relabel, shown(older).relabel_share) == ("mixed", 0)
    assert shown(older | {"relabel": "a dog"}).relabel == "a dog"
    assert shown({**record.config, "relabel": "random", "mix": 0.5}).relabel == "random"


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
