"""The command lines that make a run anew, from its run.json; imports no torch."""

from __future__ import annotations

from erase.run_folder.record import RunRecord
from eval.kind.command_line import command_line


def run_command(record: RunRecord) -> str | None:
    """The `expunge erase` or `expunge mask` of a run, every setting given; None if not recorded."""
    if record.command not in ("erase", "mask") or record.missing(("config", "base")):
        return None
    base = record.base
    flags = {"model": base.id, "revision": base.revision, "variant": base.variant}
    flags |= {"config": base.config, "prediction_type": base.prediction_type}
    flags |= {"method": record.method if record.command == "erase" else None}
    return command_line(("expunge", record.command, *record.concepts), {**flags, **record.config})
