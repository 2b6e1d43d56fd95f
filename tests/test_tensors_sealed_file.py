"""A file with checksums gives back what was written, or says that it is damaged."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from erase.tensors.sealed_file import Damaged, open_sealed, write_sealed

TENSORS = {
    "a": torch.randn(2, 3, generator=torch.Generator().manual_seed(0)),
    "b.none": torch.empty(0, 4),
    "c": torch.tensor(7),
    "d": torch.tensor([True, False]),
    "e": torch.ones(3, 2, dtype=torch.bfloat16).T,
}
METADATA = {"key": "k", "rows": "[1]"}


def read(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with open_sealed(path) as file:
        return {name: file[name] for name in file.names}, dict(file.metadata)


def test_every_type_and_shape_comes_back_and_the_file_is_plain_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_sealed(path, TENSORS, METADATA)
    tensors, metadata = read(path)
    assert metadata == METADATA and tensors.keys() == TENSORS.keys()
    with safe_open(path, framework="pt") as file:
        for name, tensor in TENSORS.items():
            for found in (tensors[name], file.get_tensor(name)):
                assert found.dtype == tensor.dtype and torch.equal(found, tensor)
    assert list(tmp_path.iterdir()) == [path]


def test_every_flipped_bit_and_every_cut_is_found(tmp_path: Path) -> None:
    """In the length, the header, the metadata, the checksums, the numbers; blanks say nothing."""
    path = tmp_path / "x.safetensors"
    write_sealed(path, TENSORS, METADATA)
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bit in range(8):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
            with suppress(Damaged):
                tensors, metadata = read(path)
                assert whole[place : place + 1].isspace(), (place, bit)
                assert metadata == METADATA and tensors.keys() == TENSORS.keys()
                assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        with pytest.raises(Damaged):
            read(path)


def test_what_the_block_cannot_use_is_damaged_too(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    write_sealed(path, TENSORS, METADATA)
    with pytest.raises(Damaged, match=r"/x\.safetensors is damaged"), open_sealed(path) as file:
        file.metadata["absent"]
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "absent")


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="tells of mappings on Linux only")
def test_nothing_is_mapped(tmp_path: Path) -> None:
    """Pages of a mapping would count as this process's memory."""
    path = tmp_path / "x.safetensors"
    write_sealed(path, TENSORS, METADATA)
    with safe_open(path, framework="pt"):
        assert str(path) in Path("/proc/self/maps").read_text()
    with open_sealed(path) as file:
        kept = file["a"]
        assert str(path) not in Path("/proc/self/maps").read_text()
    assert torch.equal(kept, TENSORS["a"])
