"""Time and memory of work on any device: before the clock is read, a GPU has done its work.

A GPU is told of work and goes on by itself, so that without waiting for it the telling is timed.
"""

import gc
import re
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch


def wait(device: torch.device) -> None:
    """Until the device has done all that it was told to."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Marks:
    """Points in time, each taken once the device is idle; called as a progress function is."""

    def __init__(self, device: torch.device) -> None:
        """None yet."""
        self._device = device
        self._times: list[float] = []

    def __call__(self, *_: object) -> None:
        """Take one."""
        wait(self._device)
        self._times.append(time.perf_counter())

    @property
    def seconds(self) -> list[float]:
        """From each to the next."""
        return [after - before for before, after in pairwise(self._times)]


def time_each(device: torch.device, work: Callable[[], object], times: int) -> list[float]:
    """Seconds that the work takes, each time that it is done."""
    marks = Marks(device)
    marks()
    for _ in range(times):
        work()
        marks()
    return marks.seconds


def forget_peak(device: torch.device) -> None:
    """Begin anew to watch for the most memory, where that can be done: on a GPU."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def peak_gb(device: torch.device) -> float:
    """Gigabytes at most: of tensors on a GPU, or resident, python and torch included."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 1e9
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1e6  # pyright: ignore
