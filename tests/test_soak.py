"""Many erasures in one process: neither memory nor open files nor threads grow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.soak import WARM, Options, leaks, soak


def test_forty_erasures_leave_nothing_behind(model_folder: Path) -> None:
    usage = list(soak(Options(erasures=40, model=str(model_folder))))
    assert [each.erasures for each in usage] == list(range(1, 41))
    assert leaks(usage[WARM - 1], usage[-1]) == []


def test_a_leak_would_be_told(model_folder: Path) -> None:
    (one,) = soak(Options(erasures=1, model=str(model_folder)))
    more = replace(one, resident_mb=1.06 * one.resident_mb, open_files=one.open_files + 1)
    assert leaks(one, more) == ["memory", "open_files"]
    assert leaks(one, replace(one, resident_mb=1.04 * one.resident_mb)) == []
