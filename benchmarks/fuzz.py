"""Does any file make a reader fall? Valid files altered and free bytes, for every reader.

    python -m benchmarks.fuzz [--inputs 100000] [--readers run.json mask.safetensors]

A reader may return or refuse (a UsageError, one line). What counts as a failure: any other error,
an input that takes longer than the limit, a file written outside the folder of the input, a
process or a connection. Exit code 1 if there was any; the inputs are then in the folder `--out`.
"""

import hashlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tyro
from hypothesis import HealthCheck, Phase, given, seed, settings

from benchmarks.common import table
from benchmarks.fuzz_readers import Reader, readers
from plumbing.errors import UsageError

_TIMES_UP = (signal.SIGALRM, signal.SIGPROF)
_CHANGES = ("os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod")
_FORBIDDEN = ("os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.Popen")
_FORBIDDEN += ("socket.connect", "pty.spawn", "ctypes.dlopen")


@dataclass(frozen=True)
class Options:
    """How much to try."""

    inputs: int = 100_000
    """In all, shared out evenly over the readers."""
    limit: float = 5.0
    """Seconds of computing that one input may take."""
    seed: int = 0
    """Of the inputs."""
    readers: tuple[str, ...] = ()
    """Only these."""
    out: Path = Path("runs/fuzz")
    """Folder for the inputs that failed."""


@dataclass
class Result:
    """What became of one reader's inputs."""

    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    failures: dict[str, bytes] = field(default_factory=dict)
    """An input for each kind of failure."""


class Guard:
    """Sees, through an audit hook, what is written outside a folder, started or connected to."""

    def __init__(self) -> None:
        """Add the hook, which stays as long as the process and is idle outside `watch`."""
        self.inside: str | None = None
        self.seen: list[str] = []
        sys.addaudithook(self._hook)

    @contextmanager
    def watch(self, folder: Path) -> Iterator[None]:
        """Look while something is read in `folder`."""
        self.inside, self.seen = os.path.realpath(folder), []
        try:
            yield
        finally:
            self.inside = None

    def _hook(self, event: str, told: tuple[Any, ...]) -> None:
        if self.inside is None:
            return
        if event in _FORBIDDEN:
            self.seen.append(f"{event} {told!r}"[:200])
        elif (event == "open" and _writes(told)) or event in _CHANGES:
            for place in told[: 2 if event in ("os.rename", "os.link", "os.symlink") else 1]:
                if isinstance(place, str | bytes | os.PathLike) and not self._is_inside(place):
                    self.seen.append(f"{event} {os.fsdecode(place)}"[:200])

    def _is_inside(self, place: Any) -> bool:
        return os.path.realpath(os.fsdecode(place)).startswith(str(self.inside))


def _writes(told: tuple[Any, ...]) -> bool:
    mode, flags = told[1], told[2] if len(told) > 2 else 0
    if isinstance(mode, str):
        return any(letter in mode for letter in "wax+")
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


_guards: list[Guard] = []


def guard() -> Guard:
    """The one guard of the process, since no hook can be taken away."""
    if not _guards:
        _guards.append(Guard())
    return _guards[0]


def try_input(reader: Reader, content: bytes, result: Result, limit: float) -> None:
    """Give a reader one file, and add what became of it."""
    with TemporaryDirectory() as outside:
        path = Path(outside) / "run" / "eval" / "concept" / reader.name
        path.parent.mkdir(parents=True)
        for name, text in reader.beside.items():
            (path.parent / name).write_bytes(text)
        path.write_bytes(content)
        problem = None
        # Of computing: on a busy machine a moment of waiting may last longer.
        began = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, 2 * limit)
        signal.setitimer(signal.ITIMER_REAL, 20 * limit)
        with guard().watch(path.parent):
            try:
                reader.read(path)
            except UsageError:
                result.refused += 1
            except BaseException as error:
                if isinstance(error, KeyboardInterrupt):
                    raise
                frame = traceback.extract_tb(error.__traceback__)[-1]
                problem = f"{type(error).__name__} in {frame.name}: {str(error)[:80]}"
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        taken = time.process_time() - began
        for seen in guard().seen:
            problem = f"outside: {seen}"
        if taken > limit:
            problem = f"took {taken:.1f} s"
        result.inputs += 1
        result.seconds += taken
        result.slowest = max(result.slowest, taken)
        if problem:
            result.failures.setdefault(problem.replace(outside, "…"), content)


def fuzz(reader: Reader, inputs: int, *, limit: float = 5.0, number: int = 0) -> Result:
    """Give a reader so many inputs, the same for the same `number`."""
    result = Result()

    def ring(*_: object) -> None:
        raise TimeoutError("the limit")

    before = [signal.signal(each, ring) for each in _TIMES_UP]

    @seed(number)
    @settings(
        max_examples=inputs,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(reader.inputs)
    def run(content: bytes) -> None:
        try_input(reader, content, result, limit)

    try:
        while result.inputs < inputs:
            run()
            number += 1
            run = seed(number)(run)
    finally:
        for each, handler in zip(_TIMES_UP, before, strict=True):
            signal.signal(each, handler)
    return result


def main(options: Options) -> int:
    """Print the table; the exit code."""
    chosen = {n: r for n, r in readers().items() if not options.readers or n in options.readers}
    share = -(-options.inputs // len(chosen))
    rows, failed = [], {}
    for name, reader in chosen.items():
        result = fuzz(reader, share, limit=options.limit, number=options.seed)
        failed |= {(name, problem): text for problem, text in result.failures.items()}
        cells = [f"{result.inputs:,}", f"{result.refused:,}", str(len(result.failures))]
        rows.append([name, *cells, f"{result.seconds:.0f}", f"{1000 * result.slowest:.0f}"])
        print(f"{name}: {result.inputs:,} inputs, {len(result.failures)} failures", file=sys.stderr)
    total = sum(int(row[1].replace(",", "")) for row in rows)
    rows.append(["**all**", f"{total:,}", "", str(len(failed)), "", ""])
    print(table(["reader", "inputs", "refused", "failures", "seconds", "slowest, ms"], rows))
    for (name, problem), content in failed.items():
        place = options.out / f"{hashlib.sha256(content).hexdigest()[:12]}-{name}"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
        print(f"{name}: {problem}\n    {place}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
