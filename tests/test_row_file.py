"""Rows in a file: nothing but a batch in memory, whole or gone on with, damage told."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from erase.tensors.row_file import open_rows, write_rows
from plumbing.whole_files import partial_path

ALL = torch.randn(10, 2, 3, generator=torch.Generator().manual_seed(0))


def batches(start: int) -> Iterator[torch.Tensor]:
    """Three at a time."""
    yield from ALL[start:].split(3)


def everything(rows: object) -> torch.Tensor:
    return rows[torch.arange(10)]  # type: ignore[index]


def test_rows_come_back_in_any_order_and_the_file_is_plain_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "rows.safetensors"
    rows = write_rows(path, "k", 10, 3, batches)
    assert rows.shape == (10, 2, 3) and len(rows) == 10
    assert torch.equal(rows[torch.tensor([7, 0, 7])], ALL[[7, 0, 7]])
    assert torch.equal(load_file(path)["rows"], ALL)
    again = open_rows(path, "k")
    assert again is not None and torch.equal(everything(again), ALL)
    assert open_rows(path, "another") is None
    assert [p.name for p in tmp_path.iterdir()] == ["rows.safetensors"]


@pytest.mark.parametrize(("torn", "goes_on"), [(0, 6), (5, 3), (30, 0)])
def test_a_writing_that_was_cut_off_goes_on_after_its_last_whole_batch(
    tmp_path: Path, torn: int, goes_on: int
) -> None:
    path = tmp_path / "rows.safetensors"

    def killed(start: int) -> Iterator[torch.Tensor]:
        for i, batch in enumerate(batches(start)):
            if i == 2:
                raise KeyboardInterrupt
            yield batch

    with pytest.raises(KeyboardInterrupt):
        write_rows(path, "k", 10, 3, killed)
    partial = partial_path(path)
    data = partial.read_bytes()
    partial.write_bytes(data[: len(data) - torn])
    assert open_rows(path, "k") is None
    started = []

    def rest(start: int) -> Iterator[torch.Tensor]:
        started.append(start)
        return batches(start)

    rows = write_rows(path, "k", 10, 3, rest)
    assert started == [goes_on]
    assert torch.equal(everything(rows), ALL)
    whole = write_rows(tmp_path / "whole.safetensors", "k", 10, 3, batches)
    assert whole.path.read_bytes() == path.read_bytes()


def test_what_another_key_left_is_not_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "rows.safetensors"
    with pytest.raises(ValueError, match="6 rows came, not 10"):
        write_rows(path, "old", 10, 3, lambda start: iter(ALL[:6].split(3)))
    rows = write_rows(path, "new", 10, 3, batches)
    assert torch.equal(everything(rows), ALL)


@pytest.mark.parametrize("place", [0, 9, 20, 250, -1])
def test_every_flipped_bit_is_found(tmp_path: Path, place: int) -> None:
    """In the length, the header, the rows or the checksums."""
    path = tmp_path / "rows.safetensors"
    write_rows(path, "k", 10, 3, batches)
    data = bytearray(path.read_bytes())
    data[place] ^= 4
    path.write_bytes(bytes(data))
    assert open_rows(path, "k") is None
