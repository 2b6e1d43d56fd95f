"""Several processes draw what one would have drawn, each row once."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from diffusers import StableDiffusionPipeline
from hypothesis import given
from hypothesis import strategies as st
from support.drawn_rows import DRAWING, ROWS
from support.erased_runs import MakeRun
from support.files import pixels

from erase.models.bundle import Bundle
from erase.models.checkpoint import load_checkpoint
from eval.generation.generate import generate
from expunge.cli import main
from plumbing.processes import Team


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_the_shares_are_the_whole_and_differ_by_one_at_most(count: int) -> None:
    shares = [Team(rank, count).part(range(7)) for rank in range(count)]
    assert sorted(i for share in shares for i in share) == list(range(7))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(st.lists(st.integers(0, 50), max_size=12), st.integers(1, 5))
def test_what_costs_more_is_shared_so_that_nobody_has_much_more(
    costs: list[int], count: int
) -> None:
    """8, 7, 6, 5, 4 by two: 8; 7; 7 + 6; 8 + 5; 8 + 5 + 4, for of two alike the first takes it.

    But for its last, which is its least, nobody has more than anybody.
    """
    assert [Team(rank, 2).share([8, 7, 6, 5, 4]) for rank in (0, 1)] == [[0, 3, 4], [1, 2]]
    shares = [Team(rank, count).share(costs) for rank in range(count)]
    assert sorted(i for share in shares for i in share) == list(range(len(costs)))
    sums = [sum(costs[i] for i in share) for share in shares]
    for share, own in zip(shares, sums, strict=True):
        assert not share or own - min(costs[i] for i in share) <= min(sums)


def test_sharers_draw_each_row_once_and_leave_one_log(
    tiny: Bundle, model_folder: Path, tmp_path: Path
) -> None:
    """Two threads for two processes; one of seven rows is there before they begin."""
    alone, out = tmp_path / "alone", tmp_path / "shared"
    generate(tiny.pipeline("ddim"), ROWS, alone, DRAWING, model_hash="m")
    pipelines: list[StableDiffusionPipeline] = [
        # Each its own, for a tokenizer is not made for two threads.
        load_checkpoint(str(model_folder), device="cpu").pipeline("ddim")
        for _ in range(2)
    ]
    generate(pipelines[0], ROWS[2:3], out, DRAWING, model_hash="m")
    barrier = threading.Barrier(2, timeout=60)
    drawn: dict[int, list[int]] = {0: [], 1: []}

    class Threads(Team):
        def wait(self) -> None:
            barrier.wait()

    def work(rank: int) -> None:
        team = Threads(rank, 2)
        count = drawn[rank].append
        generate(pipelines[rank], ROWS, out, DRAWING, model_hash="m", progress=count, team=team)

    threads = [threading.Thread(target=work, args=(rank,)) for rank in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {rank: sum(counts) for rank, counts in drawn.items()} == {0: 3, 1: 3}
    assert sorted(p.name for p in out.iterdir()) == ["generations.jsonl", "images"]
    lines = [json.loads(x) for x in (out / "generations.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [row.id for row in ROWS]
    for row in ROWS:
        a, b = (pixels(folder / "images" / f"{row.id}.png") for folder in (alone, out))
        assert np.abs(a - b).max() <= 1


def test_two_processes_end_with_what_one_finds(make_run: MakeRun) -> None:
    """By `torchrun`, which is what `accelerate launch` starts on several GPUs, but not on a CPU."""
    run = make_run()
    flags = ["--protocol", "demo", "--steps", "1", "--batch-size", "32", "--device", "cpu"]
    flags += ["--dtype", "float32"]
    alone = ["evaluate", "concept", str(run), *flags, "--out", str(run / "alone" / "x")]
    assert main(alone) == 0
    launch = ["-m", "torch.distributed.run", "--nproc_per_node", "2", "-m"]
    command = [sys.executable, *launch, "expunge", "evaluate", "concept", str(run)]
    done = subprocess.run(
        [*command, *flags, "--originals", str(run / "o2")],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("figures:") == 1
    alone, both = (
        json.loads((run / folder / "evaluation.json").read_text())
        for folder in ("alone/x", "eval/concept")
    )
    costs = [[c | {"seconds": 0} for c in each.pop("cost").values()] for each in (alone, both)]
    assert alone == both and costs[0] == costs[1]


TWO_EVALUATIONS = """
import os, sys
from pathlib import Path
from expunge.evaluations.concept import evaluate_concept
from expunge.evaluations.i2p import evaluate_i2p
from expunge.settings.evaluate import EvaluateConcept
from expunge.settings.evaluate_i2p import EvaluateI2P

run, how = sys.argv[1], {"steps": 1, "batch_size": 32, "device": "cpu"}
nudity = evaluate_i2p(EvaluateI2P(run, prompts=Path(sys.argv[2]), no_images=True, **how))
concept = evaluate_concept(EvaluateConcept(run, protocol="demo", **how))
print("process", os.environ["RANK"], nudity is None, concept is None)
"""


def test_a_script_goes_on_in_all_processes(
    make_run: MakeRun, prompts: Path, tmp_path: Path
) -> None:
    """Those that do not lead are told so, and end where the script ends, not in the library."""
    run = make_run()
    (tmp_path / "script.py").write_text(TWO_EVALUATIONS)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2"]
    done = subprocess.run(
        [*launch, str(tmp_path / "script.py"), str(run), str(prompts)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["process 0 False False", "process 1 True True"]
    assert all((run / "eval" / kind / "evaluation.json").exists() for kind in ("i2p", "concept"))


def test_a_command_that_is_not_shared_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert main(["mask", "church"]) == 2
    assert "runs in one process" in capsys.readouterr().err
