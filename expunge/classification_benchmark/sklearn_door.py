"""The one door to scikit-learn, which is an extra, and to SciPy, which it brings."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from plumbing.errors import UsageError


def sklearn(module: str) -> Any:
    """One of scikit-learn's modules; a UsageError that says how to get it where it is missing."""
    try:
        return import_module(f"sklearn.{module}")
    except ImportError as error:
        raise UsageError(
            "this needs scikit-learn: pip install 'expunge[classification]'"
        ) from error


def student_t(freedom: int) -> float:
    """The 97.5 % point of Student's t distribution."""
    sklearn("base")
    return float(import_module("scipy.stats").t.ppf(0.975, freedom))
