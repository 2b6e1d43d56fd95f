"""Readers of the benchmark's images: IDX, CIFAR-10's batches, digits; and what they refuse."""

from __future__ import annotations

import gzip
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from expunge.classification_benchmark.data import CIFAR10, FASHION_MNIST, read_data
from plumbing.errors import UsageError


def packed(data: bytes) -> bytes:
    """Gzipped, the same whenever it is done: processes that share tests must name them alike."""
    return gzip.compress(data, mtime=0)


def idx(array: np.ndarray[Any, Any]) -> bytes:
    """The IDX file of an array of bytes, gzipped."""
    head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return packed(head + array.tobytes())


def write_fashion_mnist(folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """30 training and 10 test images of 28x28 at random."""
    generator = np.random.default_rng(0)
    made = {}
    for (split, (images, labels)), count in zip(FASHION_MNIST.items(), (30, 10), strict=True):
        pixels = generator.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        numbers = generator.integers(0, 10, count, dtype=np.uint8)
        (folder / images).write_bytes(idx(pixels))
        (folder / labels).write_bytes(idx(numbers))
        made[split] = (pixels, numbers)
    return made


def write_cifar(folder: Path, protocol: int = 2) -> dict[str, tuple[np.ndarray, list[int]]]:
    """Batches of eight images each, as Python pickles them for Python 2."""
    generator = np.random.default_rng(0)
    made = {}
    for name in (*CIFAR10["train"], *CIFAR10["test"]):
        pixels = generator.integers(0, 256, (8, 3072), dtype=np.uint8)
        numbers = generator.integers(0, 10, 8).tolist()
        batch = {b"data": pixels, b"labels": numbers, b"batch_label": b"one"}
        (folder / name).write_bytes(pickle.dumps(batch, protocol=protocol))
        made[name] = (pixels, numbers)
    return made


def test_idx_files_become_standardised_images(tmp_path: Path) -> None:
    """Mean 0 and deviation 1 in training; the test images by the same numbers."""
    made = write_fashion_mnist(tmp_path)
    data = read_data("fashion-mnist", tmp_path, None)
    for part, (pixels, labels) in ((data.train, made["train"]), (data.test, made["test"])):
        scaled = torch.from_numpy(pixels).float() / 255
        known = torch.from_numpy(made["train"][0]).float() / 255
        expected = (scaled - known.mean()) / known.std()
        torch.testing.assert_close(part.images[:, 0], expected)
        assert part.labels.tolist() == labels.tolist()
    assert data.sha256.keys() == {name for names in FASHION_MNIST.values() for name in names}
    some = read_data("fashion-mnist", tmp_path, 12)
    assert some.train.labels.tolist() == made["train"][1][:12].tolist()
    assert abs(float(some.train.images.mean())) < 1e-5


@pytest.mark.parametrize("protocol", [2, 4])
def test_cifar_batches_become_images_in_order(tmp_path: Path, protocol: int) -> None:
    """3,072 bytes an image: red, green, blue, each 32 rows of 32."""
    made = write_cifar(tmp_path, protocol)
    data = read_data("cifar10", tmp_path, None)
    assert data.train.images.shape == (40, 3, 32, 32) and data.test.images.shape == (8, 3, 32, 32)
    assert data.train.labels[8:16].tolist() == made["data_batch_2"][1]
    pixels = torch.from_numpy(made["data_batch_2"][0][3]).float()
    green = data.train.images[11, 1].flatten()
    assert torch.corrcoef(torch.stack([green, pixels[1024:2048]]))[0, 1] > 0.9999


class Evil:
    """What a pickle can do to its reader."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_would_run_something_is_refused_before_it_does(tmp_path: Path) -> None:
    write_cifar(tmp_path)
    touched = tmp_path / "touched"
    inner = np.empty(1, dtype=object)
    inner[0] = Evil(touched)
    for evil in (Evil(touched), {b"data": inner, b"labels": [1]}):
        (tmp_path / "data_batch_3").write_bytes(pickle.dumps(evil, protocol=2))
        with pytest.raises(UsageError, match=r"data_batch_3.*wants to run .*mkdir: refused"):
            read_data("cifar10", tmp_path, None)
        assert not touched.exists()
    pickle.loads(pickle.dumps(Evil(touched)))
    assert touched.exists()


@pytest.mark.parametrize("content", [b"", b"\x80\x02}.", pickle.dumps({b"data": 1}), b"(" * 9])
def test_other_files_are_no_batches(tmp_path: Path, content: bytes) -> None:
    write_cifar(tmp_path)
    (tmp_path / "test_batch").write_bytes(content)
    with pytest.raises(UsageError, match="test_batch: not a batch of CIFAR-10"):
        read_data("cifar10", tmp_path, None)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"", "not a whole IDX file"),
        (b"text", "cannot be read"),
        (idx(np.zeros((30, 28, 28), np.uint8))[:-20], "cannot be read"),
        (packed(b"\0\0\x08\x03" + struct.pack(">3I", 9, 28, 28)), "not a whole IDX file"),
        (packed(b"\0\0\x0d\x01" + struct.pack(">I", 0)), "not a whole IDX file"),
        (idx(np.zeros((29, 28, 28), np.uint8)), "do not belong together"),
        (idx(np.zeros(30, np.uint8)), "do not belong together"),
    ],
    ids=["missing", "empty", "text", "cut", "short", "of-floats", "more-images", "no-images"],
)
def test_a_damaged_idx_file_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    write_fashion_mnist(tmp_path)
    path = tmp_path / FASHION_MNIST["train"][0]
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        read_data("fashion-mnist", tmp_path, None)


def test_too_many_images_and_no_folder_are_refused(tmp_path: Path) -> None:
    write_fashion_mnist(tmp_path)
    with pytest.raises(UsageError, match="--train-images 31: fashion-mnist has 30"):
        read_data("fashion-mnist", tmp_path, 31)
    with pytest.raises(UsageError, match=r"--data .*none: no such folder; Debian's package"):
        read_data("fashion-mnist", tmp_path / "none", None)


def test_digits_are_whole_and_mixed() -> None:
    """1,797 images of the library, 497 of them for tests, every digit in both parts."""
    data = read_data("digits", None, None)
    assert (len(data.train), len(data.test)) == (1300, 497)
    assert data.train.images.shape[1:] == (1, 8, 8)
    assert all(min(part.labels.bincount()) > 30 for part in (data.train, data.test))
