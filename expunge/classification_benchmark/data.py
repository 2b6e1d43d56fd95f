"""The benchmark's images: Fashion-MNIST, CIFAR-10, scikit-learn's digits."""

from __future__ import annotations

import gzip
import hashlib
import math
import pickle
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from erase.classification.examples import Examples
from expunge.classification_benchmark.sklearn_door import sklearn
from expunge.settings.classification import DatasetName
from plumbing.errors import UsageError

FASHION_MNIST = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
CIFAR10 = {"train": tuple(f"data_batch_{i}" for i in range(1, 6)), "test": ("test_batch",)}
_DIGITS_TEST = 497
_SAFE = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    # How Python 3 writes bytes for Python 2.
    ("_codecs", "encode"),
}


@dataclass(frozen=True)
class Data:
    """Training and test images of a dataset, each channel of mean 0 and deviation 1 in training."""

    train: Examples
    test: Examples
    classes: int
    sha256: Mapping[str, str]
    """Of each file that was read, by name; of the arrays for digits."""


def read_data(name: DatasetName, folder: Path | None, train_images: int | None) -> Data:
    """Read a dataset, of its training images the first `train_images` (None: all).

    A folder that is missing or holds something else, or too few images, is a UsageError.
    """
    if name == "digits":
        parts, sums = _read_digits()
    else:
        if folder is None or not folder.is_dir():
            raise UsageError(f"--data {folder}: no such folder; {_WHERE[name]}")
        reader, files = _FORMATS[name]
        parts = {split: reader(folder, names) for split, names in files.items()}
        sums = {n: _sha256(folder / n) for names in files.values() for n in names}
    images, labels = parts["train"]
    if train_images is not None and train_images > len(labels):
        raise UsageError(f"--train-images {train_images}: {name} has {len(labels)}")
    images, labels = images[:train_images], labels[:train_images]
    mean = images.mean((0, 2, 3), keepdim=True)
    deviation = images.std((0, 2, 3), keepdim=True)
    test_images, test_labels = parts["test"]
    return Data(
        Examples((images - mean) / deviation, labels),
        Examples((test_images - mean) / deviation, test_labels),
        classes=10,
        sha256=sums,
    )


def _read_digits() -> tuple[dict[str, tuple[Tensor, Tensor]], dict[str, str]]:
    """8x8 images, in an order drawn once: the file has its writers one after the other."""
    bunch: Any = sklearn("datasets").load_digits()
    order = torch.randperm(len(bunch.target), generator=torch.Generator().manual_seed(0))
    images = torch.from_numpy(bunch.images).float().unsqueeze(1)[order] / 16
    labels = torch.from_numpy(bunch.target).long()[order]
    total = hashlib.sha256(bunch.images.tobytes() + bunch.target.tobytes()).hexdigest()
    cut = len(labels) - _DIGITS_TEST
    parts = {"train": (images[:cut], labels[:cut]), "test": (images[cut:], labels[cut:])}
    return parts, {"digits": total}


def _read_idx_pair(folder: Path, names: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """One file of images and one of labels, gzipped IDX."""
    images, labels = (_read_idx(folder / name) for name in names)
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or labels.max() > 9:
        raise UsageError(f"--data {folder}: {' and '.join(names)} do not belong together")
    return torch.from_numpy(images).unsqueeze(1).float() / 255, torch.from_numpy(labels).long()


def _read_idx(path: Path) -> np.ndarray[Any, Any]:
    """An array of bytes from an IDX file: 0, 0, 8, its dimensions; their sizes; the bytes."""
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(
            f"--data {path}: cannot be read ({error}); {_WHERE['fashion-mnist']}"
        ) from error
    dims = content[3] if content[:3] == b"\0\0\x08" and len(content) > 3 else 0
    start = 4 + 4 * dims
    shape = np.frombuffer(content[4:start], ">u4").tolist() if len(content) >= start else []
    if not shape or len(content) != start + math.prod(shape):
        raise UsageError(f"--data {path}: not a whole IDX file of bytes; {_WHERE['fashion-mnist']}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape).copy()


def _read_cifar(folder: Path, names: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """CIFAR-10's batches: pickled dicts of `data`, uint8 [N, 3072], and `labels`, a list."""
    images, labels = [], []
    for name in names:
        path = folder / name
        try:
            with path.open("rb") as file:
                batch = _ArraysOnly(file, encoding="bytes").load()
            pixels, numbers = np.asarray(batch[b"data"]), np.asarray(batch[b"labels"])
            images.append(torch.from_numpy(pixels.reshape(-1, 3, 32, 32).astype(np.uint8)))
            labels.append(torch.from_numpy(numbers.astype(np.int64)))
            if len(images[-1]) != len(labels[-1]) or not 0 <= min(numbers) <= max(numbers) <= 9:
                raise ValueError("images and labels do not fit")
        except Exception as error:
            # A damaged pickle raises whatever its opcodes happen to mean.
            raise UsageError(
                f"--data {path}: not a batch of CIFAR-10 ({error}); {_WHERE['cifar10']}"
            ) from error
    return torch.cat(images).float() / 255, torch.cat(labels)


class _ArraysOnly(pickle.Unpickler):
    """Builds numpy arrays and plain values, and refuses to call anything else."""

    def __init__(self, file: IO[bytes], *, encoding: str) -> None:
        """Reads from an open file."""
        super().__init__(file, encoding=encoding)

    def find_class(self, module_name: str, global_name: str, /) -> Any:
        """Only what an array is made of."""
        if (module_name, global_name) not in _SAFE:
            raise pickle.UnpicklingError(f"it wants to run {module_name}.{global_name}: refused")
        return super().find_class(module_name, global_name)


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


_WHERE = {
    "fashion-mnist": "Debian's package dataset-fashion-mnist puts its four .gz files in "
    "/usr/share/datasets/fashion-mnist",
    "cifar10": "give the folder cifar-10-batches-py of cifar-10-python.tar.gz",
}
_FORMATS = {"fashion-mnist": (_read_idx_pair, FASHION_MNIST), "cifar10": (_read_cifar, CIFAR10)}
