"""Which device and which arithmetic a flag means on this machine."""

from __future__ import annotations

import os

import torch

from plumbing.errors import UsageError

_DTYPES = {name: getattr(torch, name) for name in ("float32", "bfloat16", "float16")}


def resolve_device(device: str) -> torch.device:
    """`auto` is a CUDA device where there is one, then Apple's, then the CPU.

    What a CUDA device rounds is settled as soon as one is named: see `settle_cuda`.
    """
    found = _find(device)
    if found.type == "cuda":
        settle_cuda()
    return found


def settle_cuda() -> None:
    """Float32 is float32, and convolutions add up in one order, for this whole process.

    Torch's own choice is TF32, of ten bits, for convolutions in float32, and whatever kernels cuDNN
    finds quick.
    """
    # Not the newer `fp32_precision`: torch.compile asks for these, and fails where both were set.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def _find(device: str) -> torch.device:
    if device != "auto":
        try:
            return torch.empty(0, device=device).device
        except (RuntimeError, AssertionError) as error:
            raise UsageError(f"--device {device}: not usable here; try --device cpu") from error
    if torch.cuda.is_available():
        # The own one of each process of `accelerate launch`.
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The torch type of a `--dtype`; `auto` is bfloat16 where there are instructions for it."""
    if dtype == "auto":
        cpu = torch.cpu.get_capabilities()
        made_for_it = device.type != "cpu" or cpu.get("amx_bf16") or cpu.get("avx512_bf16")
        return torch.bfloat16 if made_for_it else torch.float32
    if dtype not in _DTYPES:
        raise UsageError(f"--dtype {dtype}: unknown; choose one of auto, {', '.join(_DTYPES)}")
    return _DTYPES[dtype]
