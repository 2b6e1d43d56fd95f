"""A file is read, or told, by its content, whatever its name says."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.contents import OTHERS, SUFFIXES, TENSORS, cut, weights

from erase.tensors.weight_files import Weights
from plumbing.errors import UsageError
from plumbing.file_content import CutOffError, NotWeightsError, weights_kind
from plumbing.visible_text import hidden


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", weights())
def test_weights_under_any_name_are_read(kind: str, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"Модель 1{suffix}"
    path.write_bytes(weights()[kind])
    found = Weights([path])
    assert dict(found).keys() == TENSORS.keys()
    assert all(torch.equal(found[name], TENSORS[name]) for name in TENSORS)
    assert {name: spec.dtype for name, spec in found.specs.items()} == {
        name: tensor.dtype for name, tensor in TENSORS.items()
    }


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", OTHERS)
def test_what_is_no_weights_is_told_by_name(kind: str, suffix: str, tmp_path: Path) -> None:
    content, told = OTHERS[kind]
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=told) as error:
        Weights([path])
    line = str(error.value)
    assert line.startswith(f"{path}: ") and "\n" not in line and "\x1b" not in line
    assert "get it anew" not in line


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", weights())
def test_a_download_that_did_not_finish_is_called_that(
    kind: str, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"x{suffix}"
    for content in cut(weights()[kind]):
        path.write_bytes(content)
        with pytest.raises(UsageError, match=r"it is cut off .* did not finish"):
            Weights([path])


@settings(max_examples=60)
@given(st.one_of(st.text(), st.binary()))
def test_whatever_the_bytes_it_is_one_line(content: str | bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x"
        path.write_bytes(
            content.encode("utf-8", "replace") if isinstance(content, str) else content
        )
        try:
            told = weights_kind(path)
        except (NotWeightsError, CutOffError) as error:
            told = str(error)
        assert told and not any(map(hidden, told))
