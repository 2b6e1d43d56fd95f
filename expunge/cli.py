"""The command line: finds the command, parses its flags, runs it, turns errors to exit codes."""

import contextlib
import difflib
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any

from expunge.console import Visible, cut, first_sentence, set_up_logging
from plumbing.disk_space import explain
from plumbing.errors import UsageError
from plumbing.signals import end_on_sigterm
from plumbing.visible_text import discreet


@dataclass(frozen=True)
class Command:
    """One command of the table below."""

    summary: str
    """What `expunge --help` says of it."""
    settings: str
    """`module:class` of its flags in expunge.settings, or a function of its words that gives it."""
    run: str
    """`module:function` in expunge.commands that takes the settings and does the work."""


COMMANDS: dict[tuple[str, ...], Command] = {
    ("erase",): Command(
        "erase concepts from a model, write a run folder",
        "erase:erase_command",
        "erase:run",
    ),
    ("mask",): Command(
        "build the saliency mask alone, show where it lies",
        "erase:Mask",
        "mask:run",
    ),
    ("evaluate", "concept"): Command(
        "does the model still draw it, and what else changed?",
        "evaluate:EvaluateConcept",
        "evaluate_concept:run_concept",
    ),
    ("evaluate", "i2p"): Command(
        "how much nudity do images of I2P's prompts show?",
        "evaluate_i2p:EvaluateI2P",
        "evaluate_i2p:run",
    ),
    ("evaluate", "quality"): Command(
        "are other prompts still drawn as well as before?",
        "evaluate:EvaluateQuality",
        "evaluate_quality:run",
    ),
    ("report",): Command(
        "one page on a run: verdict, images, figures, origin",
        "report:Report",
        "report:run",
    ),
    ("export",): Command(
        "write the erased model as other tools take it, or what changed as one small file",
        "export:Export",
        "export:run",
    ),
    ("apply",): Command(
        "make the erased model of a base and a delta or LoRA",
        "apply:Apply",
        "apply:run",
    ),
    ("undo",): Command(
        "take a delta back: the base again, bit for bit",
        "apply:Undo",
        "undo:run",
    ),
    ("verify",): Command(
        "check a run's hashes, and that nothing changed but the mask's weights",
        "verify:Verify",
        "verify:run",
    ),
    ("classification",): Command(
        "SalUn and its rivals on a classifier, against training anew",
        "classification:Classification",
        "classification:run",
    ),
    ("demo",): Command(
        "erase church from the shipped miniature, in minutes",
        "erase:Demo",
        "demo:run",
    ),
}
HELP = ("-h", "--help")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 2 bad input or disk, 130 or 143 interrupted.

    It is 1 if a command's result says that what it checked has not `passed`.
    """
    words = list(sys.argv[1:] if argv is None else argv)
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
        print(f"\nexpunge: interrupted; {note}", file=sys.stderr)
        return 128 + getattr(interruption, "number", 2)
    return 1 if isinstance(result, dict) and result.get("passed") is False else 0


def _unheard() -> int:
    """End as programs do whose reader has gone, as `head` goes when it has its lines."""
    with contextlib.suppress(OSError, ValueError):
        # What is still buffered would be written at the end of the process, and fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 141  # 128 + SIGPIPE, which not every system has


def _refuse(reason: str) -> int:
    print(cut(f"expunge: error: {' '.join(discreet(reason).split())}"), file=sys.stderr)
    return 2


def settings_of(name: tuple[str, ...], words: Sequence[str] = ()) -> type:
    """The dataclass of a command's flags, which may depend on its words."""
    found = _named("settings", COMMANDS[name].settings)
    return found if isinstance(found, type) else found(words)


def parse(name: tuple[str, ...], words: Sequence[str]) -> Any:
    """Parse a command's flags into its dataclass.

    Raises UsageError for bad flags, and SystemExit(0) once `--help` is printed.
    """
    import tyro

    settings = settings_of(name, words)
    prog = " ".join(("expunge", *name))
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(settings, prog=prog, args=words, config=(tyro.conf.FlagCreatePairsOff,))
    except SystemExit as exit_:
        if not exit_.code:
            raise
        # Our own checks already speak one clear line; tyro wraps them in a box.
        cause = exit_.__context__
        while cause is not None:
            if isinstance(cause, UsageError):
                raise cause from None
            cause = cause.__context__
        raise UsageError(f"{first_sentence(complaint.getvalue())} (see {prog} --help)") from None


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
    end_on_sigterm()
    if os.environ.get("WORLD_SIZE", "1") != "1" and name[0] not in ("erase", "evaluate"):
        raise UsageError(
            f"expunge {name[0]} runs in one process: start it without `accelerate launch`, "
            "which shares out the work of `expunge erase` and `evaluate` alone"
        )
    return _named("commands", COMMANDS[name].run)(settings)


def _named(room: str, place: str) -> Any:
    module, name = place.split(":")
    return getattr(import_module(f"expunge.{room}.{module}"), name)


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
