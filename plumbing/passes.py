"""What work costs on any machine: rows that went through a model's parts, counted as they go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from plumbing.record import Count

Part = Literal["denoiser", "text_encoder", "image_encoder", "image_decoder"]
PARTS: tuple[Part, ...] = get_args(Part)
BACKWARD = 2
"""A backward pass in forward passes, the usual reckoning: gradients of inputs and of weights."""


@dataclass(frozen=True)
class Passes:
    """Passes of one row each: a forward pass is 1, a backward pass 2 more."""

    denoiser: Count = 0
    text_encoder: Count = 0
    image_encoder: Count = 0
    image_decoder: Count = 0

    def __add__(self, other: Passes) -> Passes:
        """Both together."""
        return Passes(*(getattr(self, part) + getattr(other, part) for part in PARTS))

    def __bool__(self) -> bool:
        """Whether there were any."""
        return any(getattr(self, part) for part in PARTS)


class PassCounter:
    """Counts the rows of every call of the modules that it watches, and of their copies."""

    def __init__(self) -> None:
        """Nothing is counted yet."""
        self._rows: Counter[Part] = Counter()
        self._hooks: list[Any] = []

    def __enter__(self) -> PassCounter:
        """Count as long as a `with` lasts."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the modules as they were; their copies count on."""
        for hook in self._hooks:
            hook.remove()

    def watch(self, part: Part, module: Any) -> None:
        """Count a torch module's calls as passes of `part`.

        A call whose output wants a gradient is taken to be followed by its backward pass; where
        activations are computed twice, by another forward pass, too.
        """
        rows = self._rows

        # A plain function: a copy of the module shares it.
        @_untraced
        def count(module: Any, inputs: tuple, named: dict[str, Any], output: Any) -> None:
            taken = 1
            if _first_tensor(output).requires_grad:
                taken += BACKWARD + bool(getattr(module, "is_gradient_checkpointing", False))
            rows[part] += taken * len(_first_tensor((*inputs, *named.values())))

        self._hooks.append(module.register_forward_hook(count, with_kwargs=True))

    def take(self) -> Passes:
        """What was counted since this was last asked."""
        found = Passes(**self._rows)
        self._rows.clear()
        return found


def _untraced(hook: Any) -> Any:
    """A hook that torch.compile leaves alone, instead of compiling for each count anew."""
    import torch

    return torch.compiler.disable(hook)


def _first_tensor(values: Any) -> Any:
    """The first tensor of a call's arguments or output; a ValueError if there is none."""
    found = next(_tensors(values), None)
    if found is None:
        raise ValueError("a call without a tensor")
    return found


def _tensors(values: Any) -> Iterator[Any]:
    if hasattr(values, "requires_grad"):
        yield values
    elif isinstance(values, Mapping):
        yield from _tensors(tuple(values.values()))
    elif isinstance(values, tuple | list):
        for value in values:
            yield from _tensors(value)
