"""`expunge verify`: is a run what its run.json says, and did the mask's weights alone change?

What is no run is checked by `verify_file`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from expunge.settings.verify import Verify
from expunge.verification.verify_run import verify


def run(settings: Verify) -> dict[str, Any]:
    """Check, and print a line a check, or one JSON object; `passed` in the result tells of all."""
    result = verify(settings)
    print(json.dumps(result) if settings.json else _lines(result))
    return result


def _lines(result: Mapping[str, Any]) -> str:
    lines = [
        f"{check['state']:>7}  {check['name']}: {check['detail']}" for check in result["checks"]
    ]
    skipped = any(check["state"] == "skipped" for check in result["checks"])
    fine = "all that was checked is as recorded" if skipped else "all is as recorded"
    word = fine if result["passed"] else "NOT as recorded, see above"
    return "\n".join([*lines, "", f"{result['target']}: {word}"])
