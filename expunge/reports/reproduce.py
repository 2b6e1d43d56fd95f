"""The command lines that make a run anew, from its run.json; imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from erase.run_folder.record import RunRecord
from expunge.parsing import settings_of
from expunge.settings.given import check_names, made_of
from expunge.words import command_of
from plumbing.errors import UsageError

BEFORE: dict[str, float] = {"guided_share": 1.0}
"""What older runs, which do not record it, had."""
RELABELLED: dict[str, float] = {"relabel_share": 0.0, "adversaries": 0, "mix": 0.0}
"""The same of SalUn's."""


def run_command(record: RunRecord) -> str | None:
    """The `expunge erase` or `expunge mask` of a run, every setting given.

    None if they are not recorded, or if the command would be refused: a run of another version may
    have been told what this one does not know.
    """
    if record.command not in ("erase", "mask") or record.missing(("config", "base")):
        return None
    base, name = record.base, (record.command,)
    given = {"concepts": record.concepts, "model": base.id, "revision": base.revision}
    given |= {"variant": base.variant, "config": base.config}
    given |= {"prediction_type": base.prediction_type}
    given |= {"method": record.method} if record.command == "erase" else {}
    try:
        settings = settings_of(name, ("--method", record.method or "salun"))
        flags = given | BEFORE | _as_now(record.config)
        check_names(settings, flags, {})
        return command_of(name, made_of(settings, flags))
    except UsageError:
        return None


def _as_now(config: Mapping[str, Any]) -> dict[str, Any]:
    """A run's settings in today's words: `mixed` was called `random`, which is another way now."""
    told = dict(config)
    if "relabel" in told and not RELABELLED.keys() & told.keys():
        told |= RELABELLED | ({"relabel": "mixed"} if told["relabel"] == "random" else {})
    return told
