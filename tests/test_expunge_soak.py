"""Many erasures in one process: neither memory nor open files nor threads grow."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.soak import WARM, Options, leaks, soak


def test_no_erasure_leaves_a_tensor_a_file_or_a_thread_behind(model_folder: Path) -> None:
    *_, third, _, fifth = soak(Options(erasures=5, model=str(model_folder)))
    assert [leak for leak in leaks(third, fifth) if leak != "memory"] == []


@pytest.mark.slow
def test_forty_erasures_leave_nothing_behind(model_folder: Path) -> None:
    usage = list(soak(Options(erasures=40, model=str(model_folder))))
    assert [each.erasures for each in usage] == list(range(1, 41))
    assert leaks(usage[WARM - 1], usage[-1]) == []


def test_a_leak_would_be_told(model_folder: Path) -> None:
    (one,) = soak(Options(erasures=1, model=str(model_folder)))
    more = {"open_files": one.open_files + 1, "tensors": one.tensors + 1}
    more = replace(one, resident_mb=1.06 * one.resident_mb, **more)
    assert leaks(one, more) == ["memory", "open_files", "tensors"]
    assert leaks(one, replace(one, resident_mb=1.04 * one.resident_mb)) == []
