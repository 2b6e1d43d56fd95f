"""`expunge classification`: SalUn and its rivals on a classifier, against Retrain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from expunge.classification_benchmark.compare import RESULTS, TABLES, compare
from expunge.classification_benchmark.results import to_markdown
from expunge.settings.classification import Classification


def run(settings: Classification) -> dict[str, Any]:
    """Run the benchmark; print its tables, or one JSON object; returns the record."""
    record = compare(settings)
    if settings.json:
        print(json.dumps(record))
    else:
        out = Path(record["out"])
        print(to_markdown(record["cells"]))
        print(f"{record['description']}\n\nthe figures:  {out / RESULTS}, {out / TABLES}")
        print(f"the pictures: {', '.join(str(out / name) for name in record['pictures'])}")
    return record
