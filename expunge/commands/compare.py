"""`expunge compare`: several runs side by side, as one page, Markdown or JSON."""

from __future__ import annotations

import json
from typing import Any

from expunge.reports.write_comparison import compare_runs
from expunge.settings.compare import Compare


def run(settings: Compare) -> dict[str, Any]:
    """Write the comparison; print what is not alike, the frontier and the file, or one object."""
    result = compare_runs(settings)
    if settings.json:
        print(json.dumps(result))
        return result
    if result["differences"]:
        print("NOT THE SAME TEST, compare with care:")
        print("\n".join(f"  {line}" for line in result["differences"]) + "\n")
    print("\n".join(result["standing"]))
    print(f"\ncomparison: {result['compare']}")
    return result
