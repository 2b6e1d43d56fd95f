"""May a model's config.json, which a stranger wrote, be acted on? Asked before it is."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

LARGEST = 1 << 20
"""No width, vocabulary or number of steps in a config of the models read here comes near it."""
_LIMITS = (
    (r"layers|depth|num_\w*blocks", 128),
    (r"sample_size|image_size|^(height|width|\w+_edge)$", 8192),
)
_LONGEST = ((r"block|channels|depths|layers|sizes", 32),)
_ITEMS = 200_000
_CODE = ("auto_map", "custom_pipelines", "custom_generate", "kernel_config")
_KERNELS = re.compile(r"_?(attn|experts)_implementation\w*")
_OWN_KERNELS = (None, "eager", "sdpa", "flex_attention", "flash_attention_2")


def problem_of(config: Mapping[str, Any]) -> str | None:
    """What is wrong with a config: code that it asks for, or a size beyond all sense; or None."""
    return next(_problems(config), None)


def _problems(config: Mapping[str, Any]) -> Iterator[str]:
    for items, (key, value) in enumerate(_walk(config)):
        if items > _ITEMS:
            yield "it has more entries than a config can have"
            return
        if key in _CODE and value:
            yield f"{key} asks for code that is not run here"
        if key == "quantization_config" and value:
            yield "quantization_config tells of quantised weights, which are not read here"
        if key == "transformers_weights" and value:
            yield "transformers_weights names a file to read in the place of the usual weights"
        if _KERNELS.fullmatch(key) and not isinstance(value, dict) and value not in _OWN_KERNELS:
            yield f"{key} asks for code that is not run here"
        if isinstance(value, int) and abs(value) > _limit(key, _LIMITS, LARGEST):
            yield f"{key} is beyond all sense"
        if isinstance(value, list) and len(value) > _limit(key, _LONGEST, _ITEMS):
            yield f"{key} has {len(value)} entries"


def _walk(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    """Every value and the key it stands under; of a list's items the list's own."""
    yield key, value
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield from _walk(item, str(name))
    elif isinstance(value, list):
        for item in value:
            yield from _walk(item, key)


def _limit(key: str, limits: tuple[tuple[str, int], ...], otherwise: int) -> int:
    return next((limit for words, limit in limits if re.search(words, key)), otherwise)
