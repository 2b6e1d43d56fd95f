"""A UNet's weights, read from their files one tensor at a time, compared and hashed by the bit."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from erase.tensors.header import check_header
from erase.tensors.pickles import payload_told, read_pickle
from erase.tensors.quantised import strange_type
from plumbing.errors import UsageError
from plumbing.file_content import CutOffError, NotWeightsError, weights_kind

_NAMES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U16": torch.uint16,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
CODES = {dtype: name for name, dtype in _NAMES.items()}
"""safetensors' name of each torch type."""


@dataclass(frozen=True)
class Spec:
    """What is known of a tensor before it is read."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many weights it has."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """Its size in memory and on disk."""
        return self.count * self.dtype.itemsize


class Weights(Mapping[str, Tensor]):
    """The tensors of some weight files by name, each read when it is asked for.

    A safetensors file is mapped, so that no more than the tensors in use take memory; a pickle is
    read with `weights_only`. Which of them a file is its content tells, not its name. What is
    neither, or cannot be read, is a UsageError.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        """Open the files, the shards of one model; no tensor at all is a UsageError."""
        self.files = tuple(files)
        self.metadata: dict[str, str] = {}
        self.specs: dict[str, Spec] = {}
        self._read: dict[str, Callable[[], Tensor]] = {}
        for path in files:
            try:
                self._open(path)
            except (NotWeightsError, CutOffError) as error:
                raise UsageError(f"{path}: {error}") from None
            except pickle.UnpicklingError as error:
                raise UsageError(f"{path}: {payload_told(error)}") from None
            except FileNotFoundError:
                raise UsageError(f"{path}: no such file") from None
            except OSError as error:
                raise UsageError(f"{path}: cannot be read ({error.strerror or error})") from None
            # A stranger's pickle can be wrong in more ways than torch has names for.
            except Exception as error:
                reason = " ".join(str(error).split())[:200]
                raise UsageError(f"{path}: no readable weights ({reason}); get it anew") from error
        if not self.specs:
            place = self.files[0] if files else "a part without files"
            raise UsageError(f"{place}: holds no weights; get it anew")

    def _open(self, path: Path) -> None:
        if weights_kind(path) == "pickle":
            self._open_pickle(path)
            return
        check_header(path)
        file = safe_open(path, framework="pt")
        self.metadata |= file.metadata() or {}
        for name in file.keys():  # noqa: SIM118 - the file is no mapping
            part = file.get_slice(name)
            if part.get_dtype() not in _NAMES:
                raise strange_type(part.get_dtype(), file.keys())
            self._add(name, Spec(_NAMES[part.get_dtype()], tuple(part.get_shape())))
            self._read[name] = lambda name=name, file=file: file.get_tensor(name)

    def _open_pickle(self, path: Path) -> None:
        found = read_pickle(path)
        for name, tensor in found.items():
            if tensor.dtype not in CODES:
                raise strange_type(str(tensor.dtype)[6:], found)
            self._add(name, Spec(tensor.dtype, tuple(tensor.shape)))
            self._read[name] = lambda tensor=tensor: tensor

    def _add(self, name: str, spec: Spec) -> None:
        if name in self.specs:
            raise ValueError(f"has {name}, as another of the shards has")
        self.specs[name] = spec

    def __getitem__(self, name: str) -> Tensor:
        """Read one tensor; KeyError for a name that is not there."""
        read = self._read[name]
        try:
            return read()
        except (OSError, SafetensorError) as error:
            raise UsageError(f"{name} cannot be read ({error}); get its file anew") from error

    def __iter__(self) -> Iterator[str]:
        """Go through the names in order."""
        return iter(sorted(self.specs))

    def __len__(self) -> int:
        """How many tensors there are."""
        return len(self.specs)


def one_dtype(specs: Mapping[str, Spec], place: object) -> torch.dtype:
    """The one type of all tensors; a mixture or a type that is no float is a UsageError."""
    kinds = {spec.dtype for spec in specs.values()}
    if len(kinds) != 1 or not next(iter(kinds)).is_floating_point:
        shown = ", ".join(sorted(str(kind)[6:] for kind in kinds))
        raise UsageError(f"{place}: its UNet's weights are {shown or 'none'}, not of one type")
    return next(iter(kinds))


def require_alike(first: Mapping[str, Spec], second: Mapping[str, Spec], place: Path) -> None:
    """Refuse, as a UsageError, tensors of other names or shapes than the base's."""
    for name in sorted(first.keys() | second.keys()):
        shapes = [specs[name].shape if name in specs else None for specs in (first, second)]
        if shapes[0] != shapes[1]:
            raise UsageError(f"{place}: {name} is {shapes[1]}, the base's {shapes[0]}; get it anew")


class Computed(Mapping[str, Tensor]):
    """Tensors that are computed when asked for, from the names' specs and a function."""

    def __init__(self, specs: Mapping[str, Spec], compute: Callable[[str], Tensor]) -> None:
        """`compute` must return the tensor that the name's spec tells of."""
        self.specs = specs
        self._compute = compute

    def __getitem__(self, name: str) -> Tensor:
        """Compute one tensor."""
        return self._compute(name)

    def __iter__(self) -> Iterator[str]:
        """Go through the names in order."""
        return iter(sorted(self.specs))

    def __len__(self) -> int:
        """How many tensors there are."""
        return len(self.specs)
