"""What a time was measured on; apart, so that what is timed needs to import little."""

import platform
import re
from pathlib import Path

import torch


def device_name(device: torch.device) -> str:
    """The card's name, or the processor's."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else _processor()


def _processor() -> str:
    told = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    name = re.search(r"model name\s*: (.*)", told)
    return name[1] if name else platform.machine()


def machine() -> str:
    """Processor, what it has for bfloat16, threads and torch's version: a line above a table."""
    can = torch.cpu.get_capabilities()
    kinds = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16"}
    best = next((shown for flag, shown in kinds.items() if can.get(flag)), "no bfloat16")
    threads = f"{torch.get_num_threads()} threads"
    return f"{_processor()}, {best}, {threads}, torch {torch.__version__}"
