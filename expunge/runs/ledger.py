"""run.json while its run goes on: what is known so far, written whole each time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from erase.run_folder.folder import write_run
from erase.run_folder.record import RunRecord
from erase.saliency.mask import SaliencyMask
from expunge.runs.provenance import Timings
from expunge.runs.record import finish
from plumbing.processes import ALONE, Team


class Ledger:
    """What a run's record says so far; only the leading process writes it."""

    def __init__(self, out: Path, record: RunRecord, team: Team = ALONE) -> None:
        """Start the clock; nothing is written yet."""
        self.out, self.record, self.team = out, record, team
        self.clock = Timings()

    def note(self, **facts: Any) -> None:
        """Add what has become known, and write the record."""
        self.record = replace(self.record, **facts)
        if self.team.leads:
            write_run(self.out, self.record)

    def finish(self, mask: SaliencyMask, facts: Mapping[str, Any]) -> RunRecord:
        """Write the record of a finished run, and return it."""
        self.record = finish(self.record, mask, self.clock.seconds, **facts)
        write_run(self.out, self.record)
        return self.record
