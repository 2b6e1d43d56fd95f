"""Weights in types that hold too little to be erased from, told by type or by name; no torch."""

from __future__ import annotations

import re
from collections.abc import Iterable

from plumbing.file_content import GET_PLAIN, NotWeightsError

_MARKS = (
    (r"quant_state\.bitsandbytes__nf4", "quantised to NF4 by bitsandbytes"),
    (r"quant_state\.bitsandbytes__", "quantised to 4 bits by bitsandbytes"),
    (r"\.SCB", "quantised to int8 by bitsandbytes"),
    (r"\.(absmax|quant_map|nested_absmax)", "quantised by bitsandbytes"),
    (r"\.wscales", "quantised to 4 bits by SVDQuant"),
    (r"\.(qweight|qzeros)", "quantised (GPTQ or AWQ)"),
    (r"\.(weight_packed|weight_zero_point)", "quantised"),
    (r"\._data", "quantised by quanto"),
    (r"(^|\.)(scaled_fp8|scale_weight)|\.comfy_quant", "fp8 with scales"),
    (r"\.weight_scale", "quantised with scales"),
)
_BITS = {"F8": "fp8", "FLOAT8": "fp8", "F4": "fp4", "FLOAT4": "fp4", "F6": "fp6"}


def strange_type(name: str, names: Iterable[str]) -> NotWeightsError:
    """What is said of a file with a tensor of this type, which is not read here.

    `name` is safetensors' (F8_E4M3) or torch's (float8_e4m3fn); `names` are those of its tensors.
    """
    bits = next((bits for code, bits in _BITS.items() if name.upper().startswith(code)), None)
    if bits is None:
        told = f"a file of weights of the type {name}, which is not read here"
        return NotWeightsError(told, GET_PLAIN)
    scaled = " with scales" if quantised(names) else ""
    return too_coarse(f"{bits} ({name}){scaled}")


def too_coarse(how: str) -> NotWeightsError:
    """What is said of weights that are rounded to a few bits."""
    return NotWeightsError(f"a file of weights in {how}, too coarse to be erased from", GET_PLAIN)


def quantised(names: Iterable[str]) -> str | None:
    """How a model was quantised, by the names that this adds to a file; None if it was not."""
    every = "\n".join(names)
    return next((how for mark, how in _MARKS if re.search(mark, every, re.MULTILINE)), None)
