"""The configs of a model's parts, each value in all the forms that diffusers takes it in.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Any

from plumbing.errors import UsageError


class PartConfig(dict[str, Any]):
    """The content of a config.json; `[key]` of what it leaves out is its class's own default."""

    def __init__(self, told: Mapping[str, Any], kind: Callable[[], Any]) -> None:
        """`kind` imports the class, which takes seconds: it is asked for what is missing alone."""
        super().__init__(told)
        self._kind = kind

    def __missing__(self, key: str) -> Any:
        """The default of the class's parameter; a KeyError if it has none."""
        known = signature(self._kind().__init__).parameters.get(key)
        if known is None or known.default is Parameter.empty:
            raise KeyError(key)
        return known.default


def build(kind: Any, config: Mapping[str, Any]) -> Any:
    """A diffusers model of a config, without weights of its own; unknown keys are passed over."""
    known = signature(kind.__init__).parameters
    told = {key: value for key, value in config.items() if key in known or key.startswith("_")}
    return kind.from_config(told)


def sample_size(config: Mapping[str, Any]) -> tuple[int, int]:
    """(height, width) of a `sample_size`, one number or a pair; a UsageError if it has none."""
    told = config.get("sample_size")
    pair = (told, told) if isinstance(told, int) else told
    if not isinstance(pair, list | tuple) or [type(n) for n in pair] != [int, int] or min(pair) < 1:
        raise UsageError(
            f"--model: its denoiser's config.json has sample_size {str(told)[:40]}, which does not "
            "tell for what size it was made; write it there in latents, a number or [height, "
            "width]: 64 for 512 pixels, as most of Stable Diffusion 1, 128 for 1024, as XL"
        )
    return pair[0], pair[1]


def first(value: Any) -> Any:
    """What a config gives once for all blocks, or for each in a list: that of the first."""
    return value[0] if isinstance(value, list | tuple) else value
