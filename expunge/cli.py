"""The command line: finds the command, parses its flags, runs it, turns errors to exit codes."""

import contextlib
import difflib
import gc
import os
import sys
from collections.abc import Callable, Sequence
from importlib import metadata
from typing import Any

from expunge.command_table import COMMANDS
from expunge.console import Visible, cut, open_streams, set_up_logging, tell, widen
from expunge.parsing import named, parse
from plumbing.disk_space import explain
from plumbing.errors import UsageError
from plumbing.home import require_home
from plumbing.signals import end_on_sigterm
from plumbing.threads import share_processors
from plumbing.visible_text import discreet

HELP = ("-h", "--help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 2 bad input or disk, 130 or 143 interrupted.

    It is 1 if a command's result says that what it checked has not `passed`.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    open_streams()
    widen()
    # Of the processes of `accelerate launch` the first alone reports.
    first = os.environ.get("RANK", "0") == "0"
    try:
        with contextlib.redirect_stdout(Visible(sys.stdout) if first else None):
            result = _dispatch(words)
        sys.stdout.flush()
    except UsageError as error:
        return _refuse(str(error))
    except BrokenPipeError:
        return _unheard()
    except OSError as error:
        return _refuse(explain(error))
    except KeyboardInterrupt as interruption:
        note = str(interruption) or "the same command goes on from what is finished"
        tell(f"\nexpunge: interrupted; {note}")
        return 128 + getattr(interruption, "number", 2)
    return 1 if isinstance(result, dict) and result.get("passed") is False else 0


def _unheard() -> int:
    """End as programs do whose reader has gone, as `head` goes when it has its lines."""
    with contextlib.suppress(OSError, ValueError):
        # What is still buffered would be written at the end of the process, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141  # 128 + SIGPIPE, which not every system has


def _refuse(reason: str) -> int:
    tell(cut(f"expunge: error: {' '.join(discreet(reason).split())}"))
    return 2


def _dispatch(words: Sequence[str]) -> Any:
    """Run what the words ask for; returns the command's result, None for help."""
    if not words or words[0] in HELP:
        print(_overview(list(COMMANDS)))
        return None
    if words[0] == "--version":
        print(f"expunge {metadata.version('expunge')}")
        return None
    name = _find_command(words)
    if name is None:
        print(_overview([n for n in COMMANDS if n[0] == words[0]]))
        return None
    try:
        settings = parse(name, words[len(name) :])
    except SystemExit:
        return None
    set_up_logging()
    share_processors()
    require_home()
    end_on_sigterm()
    if os.environ.get("WORLD_SIZE", "1") != "1" and name[0] not in ("erase", "evaluate"):
        raise UsageError(
            f"expunge {name[0]} runs in one process: start it without `accelerate launch`, "
            "which shares out the work of `expunge erase` and `evaluate` alone"
        )
    return _load(COMMANDS[name].run)(settings)


def _load(place: str) -> Callable[[Any], Any]:
    """A command's function, imported without looking for garbage.

    Imports make half a million objects that stay, and to look through them again and again takes a
    fifth of the time. Not to be done twice in a process: what is garbage by then would stay, too.
    """
    if f"expunge.commands.{place.split(':')[0]}" in sys.modules or not gc.isenabled():
        return named("commands", place)
    gc.disable()
    try:
        return named("commands", place)
    finally:
        gc.freeze()
        gc.enable()


def _find_command(words: Sequence[str]) -> tuple[str, ...] | None:
    """Return the command that the words start with, or None if help on a group is asked for."""
    for name in COMMANDS:
        if tuple(words[: len(name)]) == name:
            return name
    depth = 1 if any(name[0] == words[0] for name in COMMANDS) else 0
    choices = sorted({n[depth] for n in COMMANDS if n[:depth] == tuple(words[:depth])})
    before = " ".join(("expunge", *words[:depth]))
    if len(words) <= depth:
        raise UsageError(f"{before}: what? one of {', '.join(choices)}")
    if words[depth] in HELP:
        return None
    near = difflib.get_close_matches(words[depth], choices, 1)
    hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(choices)}"
    raise UsageError(f"{before}: no command {words[depth]!r}; {hint}")


def _overview(names: Sequence[tuple[str, ...]]) -> str:
    """Return the help on all the commands, or on a group of them."""
    rows = [f"  expunge {' '.join(name):<18}{COMMANDS[name].summary}" for name in names]
    return "\n".join(
        [
            "usage: expunge COMMAND ...",
            "",
            "Erase a concept from a Stable Diffusion model, and measure what became of it.",
            "",
            *rows,
            "",
            "expunge COMMAND --help lists a command's flags; expunge --version tells the version.",
            "Try: expunge demo",
        ]
    )
