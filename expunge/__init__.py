"""expunge: erase a concept from a Stable Diffusion model, and measure what became of it.

Every command is also one plain function, loaded when it is first used:

    from expunge import erase_concept, evaluate_concept, export_run

    run = erase_concept("church", out="runs/church")
    found = evaluate_concept(run["out"], protocol="demo")
    export_run(run["out"], format="single-file", to="church-free.safetensors")
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from expunge.api import apply_deltas as apply_deltas
    from expunge.api import build_mask as build_mask
    from expunge.api import compare_runs as compare_runs
    from expunge.api import erase_concept as erase_concept
    from expunge.api import evaluate_attack as evaluate_attack
    from expunge.api import evaluate_concept as evaluate_concept
    from expunge.api import evaluate_i2p as evaluate_i2p
    from expunge.api import evaluate_quality as evaluate_quality
    from expunge.api import export_run as export_run
    from expunge.api import undo_deltas as undo_deltas
    from expunge.api import verify as verify
    from expunge.api import write_report as write_report

FUNCTIONS = (
    *(
        "erase_concept",
        "build_mask",
        "evaluate_concept",
        "evaluate_attack",
        "evaluate_i2p",
        "evaluate_quality",
    ),
    *("write_report", "compare_runs", "export_run", "apply_deltas", "undo_deltas", "verify"),
)


def __getattr__(name: str) -> Any:
    """Load a function of the front door."""
    if name not in FUNCTIONS:
        raise AttributeError(f"module 'expunge' has no attribute {name!r}")
    return getattr(import_module("expunge.api"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*globals(), *FUNCTIONS])
