"""What a file is by its first bytes, whatever its name says; weights, or what people get instead.

A download gives many things that are called `model.safetensors`. Nothing in a file is run here.
"""

from __future__ import annotations

import codecs
import io
import json
import pickletools
import re
import zipfile
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from plumbing.visible_text import visible

Kind = Literal["safetensors", "pickle"]
GET_PLAIN = "get the model's fp16 (or fp32) .safetensors"
_HEAD = 4096
_LARGEST_JSON = 8 << 20
_LARGEST_HEADER = 1 << 48
"""Bytes; eight of text that happen to stand before a `{` say more."""
_FILE_ITSELF = "download the file itself"
_UNPACK = "unpack it and give what is in it"
_POINTER = f"run `git lfs pull` in its folder, or {_FILE_ITSELF}"
_AGAIN = f"{_FILE_ITSELF}, logged in or with your API key if that is asked for"
_MAGICS: tuple[tuple[bytes, str, str], ...] = (
    (b"version https://git-lfs", "a Git LFS pointer, which stands for the file", _POINTER),
    (b"version https://hawser", "a Git LFS pointer, which stands for the file", _POINTER),
    (b"# xet version", "a Xet pointer, which stands for the file", _FILE_ITSELF),
    (b"/annex/objects/", "a git-annex pointer, which stands for the file", "run `git annex get`"),
    (b"../.git/annex/", "a git-annex pointer, which stands for the file", "run `git annex get`"),
    (b"GGUF", "a GGUF file, quantised for other tools", GET_PLAIN),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (b"Rar!\x1a\x07", "a RAR archive", _UNPACK),
    (b"\x1f\x8b\x08", "a gzip archive", _UNPACK),
    (b"\xfd7zXZ\0", "an xz archive", _UNPACK),
    (b"BZh", "a bzip2 archive", _UNPACK),
    (b"\x28\xb5\x2f\xfd", "a zstd archive", _UNPACK),
    (b"\x04\x22\x4d\x18", "an lz4 archive", _UNPACK),
    (b"ftrt", "a TensorRT engine, compiled for one GPU", GET_PLAIN),
    (b"ptrt", "a TensorRT engine, compiled for one GPU", GET_PLAIN),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file of Keras or TensorFlow", GET_PLAIN),
    (b"\x93NUMPY", "a NumPy array", GET_PLAIN),
    (b"\x89PNG\r\n", "a picture", _FILE_ITSELF),
    (b"\xff\xd8\xff", "a picture", _FILE_ITSELF),
    (b"GIF8", "a picture", _FILE_ITSELF),
    (b"RIFF", "a picture or a film", _FILE_ITSELF),
    (b"%PDF", "a PDF", _FILE_ITSELF),
    (b"MZ", "a program", _FILE_ITSELF),
    (b"\x7fELF", "a program", _FILE_ITSELF),
)
_ONNX = re.compile(rb"\x08[\x01-\x20](?:[\x12\x1a\x22\x32][\x00-\x7f]|[\x28\x3a\x42])")
"""The version of the format, then who made it, its domain or its graph."""
_PAGE = ("<!doctype", "<html", "<head", "<body", "<script", "<!--")
_OLD_PICKLE = 20
"""Opcodes in a row that no text has by chance."""


class NotWeightsError(ValueError):
    """A file that is something else than weights: what it is, and what to do."""

    def __init__(self, what: str, remedy: str) -> None:
        """Of `a web page` and `download the file itself`, say."""
        super().__init__(f"this is {what}; {remedy}")


class CutOffError(ValueError):
    """Weights that end too early."""

    def __init__(self, why: str) -> None:
        """Of what shows it."""
        super().__init__(f"it is cut off ({why}): its download did not finish, so do it again")


def weights_kind(path: Path) -> Kind:
    """How the weights in a file are to be read, by its content alone.

    What is no file of weights is a NotWeightsError, what ends too early a CutOffError; a file that
    cannot be opened is an OSError.
    """
    if path.is_dir():
        raise NotWeightsError("a folder", "give the file in it")
    with path.open("rb") as file:
        head = file.read(_HEAD)
    if _is_safetensors(head):
        return "safetensors"
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08"):
        return _in_zip(path)
    if head[:1] == b"\x80" and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickle"
    if (strange := _strange(head)) is not None:
        raise strange
    if _is_old_pickle(head):
        return "pickle"
    raise _text(path, head) or NotWeightsError(
        "neither a safetensors file nor torch's", f"it is damaged or of another tool: {GET_PLAIN}"
    )


def _is_safetensors(head: bytes) -> bool:
    return head[8:9] == b"{" and int.from_bytes(head[:8], "little") < _LARGEST_HEADER


def _in_zip(path: Path) -> Kind:
    """Torch's files are zip archives too, with a pickle in them."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.lower() for name in archive.namelist()]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError):
        raise CutOffError("its end, which lists what is in it, is not there") from None
    ends = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in ends:
        raise NotWeightsError("a TorchScript program, not weights alone", GET_PLAIN)
    if "data.pkl" in ends:
        return "pickle"
    if names and all(name.endswith(".npy") for name in names):
        raise NotWeightsError("a NumPy archive", GET_PLAIN)
    raise NotWeightsError("a zip archive", _UNPACK)


def _strange(head: bytes) -> Exception | None:
    """What a file is by its first bytes, if that is known and no weights."""
    if not head:
        return CutOffError("the file is empty")
    if not head.strip(b"\0"):
        return CutOffError("there are zeros where it should begin")
    for magic, what, remedy in _MAGICS:
        if head.startswith(magic):
            return NotWeightsError(what, remedy)
    if head[257:262] == b"ustar":
        return NotWeightsError("a tar archive", _UNPACK)
    if _ONNX.match(head):
        return NotWeightsError("an ONNX model", GET_PLAIN)
    return None


def _is_old_pickle(head: bytes) -> bool:
    """Whether it begins as pickles did before they had a mark of their own; runs none of it."""
    found = 0
    try:
        for opcode, _, _ in islice(pickletools.genops(io.BytesIO(head)), _OLD_PICKLE):
            found += 1
            if opcode.name == "STOP":
                return found > 1
    # The parser of a stranger's bytes fails in many ways, each of which means that it is none.
    except Exception:
        return False
    return found == _OLD_PICKLE


def _text(path: Path, head: bytes) -> NotWeightsError | None:
    """What a text is that was saved in a model's place; None if it is no text."""
    try:
        # Not at once: its last character may be cut in two.
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(head).strip()
    except UnicodeDecodeError:
        return None
    if any(ord(character) < 32 and character not in "\t\n\r\f" for character in text):
        return None
    lower = text.lower()
    if lower.startswith(_PAGE) or (lower.startswith("<?xml") and "<html" in lower):
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.DOTALL | re.IGNORECASE)
        told = f" ({_shown(title[1])})" if title and title[1].strip() else ""
        return NotWeightsError(f"a web page{told}", _AGAIN)
    if lower.startswith("<"):
        return NotWeightsError(f"an XML text ({_shown(text)})", _AGAIN)
    if lower.startswith(("{", "[")):
        return _json(path, text)
    return NotWeightsError(f"a text ({_shown(text)})", _AGAIN)


def _json(path: Path, text: str) -> NotWeightsError:
    found: Any = None
    try:
        if path.stat().st_size <= _LARGEST_JSON:
            found = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError, RecursionError):
        pass
    if isinstance(found, dict):
        if "weight_map" in found:
            return NotWeightsError("the index of a model's shards", "give their folder")
        if said := _answer(found):
            return NotWeightsError(f"a web server's answer ({_shown(said)})", _AGAIN)
        if "_class_name" in found or "architectures" in found:
            return NotWeightsError("a model's config", "give its folder")
    return NotWeightsError(f"a JSON text ({_shown(text)})", _FILE_ITSELF)


def _answer(found: dict[str, Any]) -> str | None:
    """What a server says that refuses a download."""
    inner = found.get("error")
    for place in (found, inner if isinstance(inner, dict) else {}):
        for key in ("message", "error", "detail", "reason"):
            if isinstance(place.get(key), str) and place[key].strip():
                return place[key]
    return None


def _shown(text: str) -> str:
    """The beginning of a stranger's text, in one line."""
    line = " ".join(visible(text, "").split())
    return line if len(line) <= 80 else f"{line[:79]}…"
