"""`expunge report`: what a run's files say, as one page or as Markdown."""

from __future__ import annotations

import json
from typing import Any

from expunge.reports.write_report import write_report
from expunge.settings.report import Report


def run(settings: Report) -> dict[str, Any]:
    """Write the report; print the verdict and the file's name, or one JSON object."""
    result = write_report(settings)
    if settings.json:
        print(json.dumps(result))
    else:
        print(f"{result['run']}: {result['verdict']}. {result['sentence']}")
        print(f"\nreport: {result['report']}")
    return result
