"""Do an erasure and evaluations survive kill -9? Killed at random moments, against whole ones.

    python -m benchmarks.kill [--kills 50] [--prompts i2p.csv]

One `expunge erase`, one `evaluate i2p` and one `evaluate attack` of it run undisturbed. Then each
time one of them, drawn at random, is started anew in another folder, ended with
SIGKILL at a moment drawn uniformly over its duration, and started again. Weights, mask, log,
images, judgements, results and the exact set of files must be equal; of the logs and of run.json
all but times.
"""

import contextlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import tyro

PRELOADED = (
    "expunge.commands.erase",
    "expunge.commands.evaluate_attack",
    "expunge.commands.evaluate_concept",
    "expunge.commands.evaluate_i2p",
)
HEADER = (
    "prompt,categories,hard,nudity_percentage,sd_image_width,sd_image_height,"
    "evaluation_seed,evaluation_guidance,case_number\n"
)
TIMES = ("seconds", "passes", "finished", "peak_memory_mb", "crc32")


@dataclass(frozen=True)
class Options:
    """What to run and how often to kill it."""

    model: str = "miniature"
    """The model to erase from."""
    kills: int = 50
    """Starts that are killed."""
    forget: int = 8
    """Images of the concept to erase by."""
    retain: int = 16
    """Images of everything else."""
    inference_steps: int = 5
    """Sampling steps, in both commands."""
    steps: int = 20
    """Training steps."""
    prompts: Path | None = None
    """I2P as a CSV file; without it, harmless prompts are evaluated."""
    rows: int = 24
    """How many rows of it."""
    attacks: tuple[str, ...] = ("words", "learned-word")
    """Attacks on it, in the quick budget."""
    detector: Path | None = None
    """What judges them; by default the model's own."""
    seed: int = 0
    """Of the moments."""


def commands(options: Options, folder: Path) -> list[list[str]]:
    """The erasure and its evaluations, in a folder of their own."""
    run, steps = str(folder / "run"), str(options.inference_steps)
    erase = ["erase", "church", "--model", options.model, "--out", run, "--dtype", "float32"]
    erase += ["--forget-images", str(options.forget), "--retain-images", str(options.retain)]
    erase += ["--inference-steps", steps, "--steps", str(options.steps), "--batch-size", "4"]
    evaluate = ["evaluate", "i2p", run, "--prompts", str(options.prompts or _harmless(options))]
    evaluate += ["--first", str(options.rows), "--batch-size", "4"]
    attack = ["evaluate", "attack", run, "--attacks", *options.attacks, "--images", "4"]
    attack += ["--steps", steps, "--device", "cpu"]
    attack += ["--detector", str(options.detector)] if options.detector else []
    return [erase, [*evaluate, "--steps", steps, "--dtype", "float32"], attack]


def _harmless(options: Options) -> Path:
    """As many prompts in I2P's form, in a file of the machine's folder for such."""
    things = ("apple", "cat", "chair", "clock", "dog", "house", "key", "tree")
    lines = [f"a {things[i % 8]},hate,0,0,512,512,{i},7.5,{i}\n" for i in range(options.rows)]
    file = Path(gettempdir()) / f"expunge-harmless-{options.rows}.csv"
    file.write_text(HEADER + "".join(lines), encoding="utf-8")
    return file


class Starter:
    """Starts commands in processes that need not import anything."""

    def __init__(self) -> None:
        """Import once, in a process that the others are forked from."""
        self._context: Any = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(list(PRELOADED))

    def start(self, words: Sequence[str], log: Path, told: Mapping[str, str] | None = None) -> Any:
        """A process of `expunge WORDS`, its output in a file, `told` in its environment."""
        given = (list(words), str(log), dict(told or {}))
        process = self._context.Process(target=_run, args=given)
        process.start()
        return process

    def run(self, words: Sequence[str], log: Path) -> float:
        """Run a command to its end; returns its seconds. Another exit code than 0 is an error."""
        started = time.perf_counter()
        process = self.start(words, log)
        process.join()
        if process.exitcode:
            raise RuntimeError(f"expunge {' '.join(words)}: {process.exitcode}\n{log.read_text()}")
        return time.perf_counter() - started


def _run(words: list[str], log: str, told: dict[str, str]) -> None:
    os.environ.update(told)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(output, number)
    from expunge.cli import main

    sys.exit(main(words))


def stop(process: Any, moment: float, number: int = signal.SIGKILL) -> bool:
    """Send a signal after some seconds; whether it still met the process."""
    process.join(moment)
    met = process.exitcode is None
    if met:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, number)
    process.join()
    return met


@dataclass(frozen=True)
class Whole:
    """What the commands leave undisturbed."""

    folder: Path
    seconds: Sequence[float]
    """Of each command."""
    left: Sequence[set[str]]
    """The files that there are after each."""


def run_whole(starter: Starter, options: Options, folder: Path) -> Whole:
    """Run the commands one after another, undisturbed."""
    folder.mkdir()
    seconds, left = [], []
    for words in commands(options, folder):
        seconds.append(starter.run(words, folder.parent / "log"))
        left.append({p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()})
    return Whole(folder, seconds, left)


def run_killed(
    starter: Starter, options: Options, whole: Whole, at: int, after: float
) -> dict[str, Any]:
    """Kill a command after some seconds, start it again, and compare; one row of the table."""
    with TemporaryDirectory() as name:
        # Of the same name, which the evaluation records.
        folder = Path(name) / whole.folder.name
        folder.mkdir()
        # What comes before the killed command is known to be the whole one's, and copied.
        for file in whole.left[at - 1] if at else ():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(whole.folder / file, folder / file)
        words = commands(options, folder)
        met = stop(starter.start(words[at], Path(name) / "log"), after)
        left = state_of(folder, at)
        for command in words[at:]:
            starter.run(command, Path(name) / "log")
        equal = compare(whole.folder, folder)
    row = {
        "command": " ".join(w for w in words[at][:2] if w != "church"),
        "after": round(after, 3),
        "met": met,
        "left": left,
    }
    return row | {"different": equal}


def state_of(folder: Path, evaluating: int) -> str:
    """How far the killed command had come, by the last file that it left."""
    run, evaluation = folder / "run", folder / "run" / "eval"
    signs: list[tuple[str, Callable[[], Any]]] = [
        ("weights", lambda: (run / "unet").exists() or (run / ".unet.partial").exists()),
        ("training, saved", lambda: (run / "state.safetensors").exists()),
        ("mask", lambda: (run / "mask.safetensors").exists()),
        ("sets", lambda: any(run.glob("cache/retain-*/embeddings/*"))),
        ("retain set, a part", lambda: any(run.glob("cache/retain-*"))),
        ("forget set", lambda: any(run.glob("cache/forget-*/embeddings/*"))),
        ("forget set, a part", lambda: any(run.glob("cache/forget-*"))),
        ("a folder", run.exists),
    ]
    if evaluating:
        drawn = len(list(evaluation.glob("*/erased/images/*.png")))
        signs = [
            ("results", lambda: any(evaluation.glob("*/evaluation.json"))),
            ("judged, a part", lambda: any(evaluation.glob("*/*.jsonl"))),
            ("learned, a part", lambda: any(evaluation.glob("attack/erased/states/*/*.pt"))),
            (f"{drawn} images of the erased", lambda: drawn),
            ("images of the original", lambda: any(folder.rglob(".originals/*/images/*.png"))),
        ]
    return next((name for name, there in signs if there()), "nothing")


def findings(folder: Path) -> dict[str, bytes]:
    """Every file, locks and hidden ones too, with its content but for the times."""
    return {
        path.relative_to(folder).as_posix(): _timeless(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def compare(whole: Path, other: Path) -> list[str]:
    """The files in which two folders differ."""
    first, second = findings(whole), findings(other)
    return [n for n in sorted(first.keys() | second.keys()) if first.get(n) != second.get(n)]


def _timeless(path: Path) -> bytes:
    data = path.read_bytes()
    if path.name in ("train_log.jsonl", "generations.jsonl", "attacks.jsonl"):
        rows = [_without_times(json.loads(line)) for line in data.splitlines()]
        return json.dumps(rows).encode()
    if path.name in ("run.json", "evaluation.json"):
        return json.dumps(_without_times(json.loads(data))).encode()
    return data


def _without_times(record: Any) -> Any:
    if isinstance(record, dict):
        return {key: _without_times(value) for key, value in record.items() if key not in TIMES}
    return record


def kill_often(options: Options, folder: Path) -> Iterator[dict[str, Any]]:
    """A row a start, until so many were killed; each tells the files that came out differently.

    A start that ends before its moment comes, on a machine that others use too, is no kill.
    """
    starter, chance = Starter(), random.Random(options.seed)
    # The first process waits for the imports.
    starter.run(["--version"], folder / "log")
    whole = run_whole(starter, options, folder / "case")
    left = options.kills
    while left:
        at = chance.randrange(len(whole.seconds))
        row = run_killed(starter, options, whole, at, chance.uniform(0, whole.seconds[at]))
        left -= row["met"]
        yield row


def main(options: Options) -> None:
    """Print a line a kill, then one JSON line; exit code 1 if anything differs."""
    rows = []
    with TemporaryDirectory() as name:
        for row in kill_often(options, Path(name)):
            rows.append(row)
            result = ", ".join(row["different"]) or "equal"
            what = f"{row['command']:15}{row['after']:8.2f} s  left: {row['left']:24}"
            sys.stdout.write(
                f"{len(rows):3}  {what}{'' if row['met'] else '(had ended) '}{result}\n"
            )
            sys.stdout.flush()
    equal = sum(not row["different"] for row in rows)
    found = {"kills": sum(row["met"] for row in rows), "starts": len(rows), "equal": equal}
    sys.stdout.write(json.dumps(found | {"rows": rows}) + "\n")
    sys.exit(0 if equal == len(rows) else 1)


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
