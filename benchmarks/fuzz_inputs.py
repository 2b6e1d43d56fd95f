"""Inputs that a reader should refuse or take in peace: valid files altered, and free bytes."""

import copy
import json
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

ODD_TEXT = (
    "",
    "..",
    "../../outside",
    "/etc/passwd",
    "C:\\Windows\\x",
    "~/x",
    "\0",
    "\x1b]0;owned\x07\x1b[2J",
    "\ud800",
    "\u202eevil\u2066",
    "<script>alert(1)</script>",
    "=cmd|'/c calc'!A1",
    "church",
    "\u2028",
    "9" * 5000,
    "x" * 100_000,
)
ODD_NUMBERS = (0, 1, -1, 3.5, 2**31, 2**63, 2**64, -(2**70), 10**30, 10**400, 1e308, -0.0)
ODD = st.one_of(
    st.sampled_from(ODD_TEXT),
    st.sampled_from(ODD_NUMBERS),
    st.sampled_from([None, True, False, float("nan"), float("inf")]),
    st.sampled_from([[], {}, [[]], {"": {}}, [1, "a", None], {"a": 1}, [0, 4], [4, 0]]),
    st.text(max_size=30),
    st.integers(),
)
_TOKENS = (b"\0", b"\xff" * 8, b"\xef\xbb\xbf", b'"', b",", b"\n", b"\r", b"=", b"__metadata")
_TOKENS += (b"[" * 3000, b"{" * 3000, b'"""', b"'''", b"\x1b[31m", b"\xed\xa0\x80", b"\x85")
_TOKENS += (b"1e999", b"NaN", b"../", b"-1", b"9" * 5000, b"x" * 140_000)
_TOKENS += ("\u2028".encode(), "\u202e".encode())
ODD_BYTES = st.one_of(st.binary(min_size=1, max_size=12), st.sampled_from(_TOKENS))


@st.composite
def edited(draw: Draw, seeds: list[bytes]) -> bytes:
    """A valid file with up to three places overwritten, inserted, cut out or doubled."""
    content = draw(st.sampled_from(seeds))
    for _ in range(draw(st.sampled_from((1, 1, 2, 3)))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 16)))
        how = draw(st.sampled_from(["overwrite", "insert", "cut", "double", "end"]))
        new = draw(ODD_BYTES) if how in ("overwrite", "insert") else b""
        rest = {"insert": content[start:], "double": content[start:end] + content[start:]}
        content = content[:start] + new + (b"" if how == "end" else rest.get(how, content[end:]))
    return content


@st.composite
def altered(draw: Draw, seeds: list[Any]) -> Any:
    """JSON in which up to three values are others, are gone, or have another name."""
    found = copy.deepcopy(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3)))):
        places = list(_places(found))
        if not places:
            return draw(ODD)
        holder, key = draw(st.sampled_from(places))
        how = draw(st.sampled_from(["set", "set", "set", "drop", "add", "deep"]))
        if how == "drop":
            del holder[key]
        elif how == "add" and isinstance(holder, dict):
            holder[draw(st.sampled_from(ODD_TEXT))] = copy.deepcopy(draw(ODD))
        elif how == "deep":
            holder[key] = _deep(holder[key])
        else:
            holder[key] = copy.deepcopy(draw(ODD))
    return found


def _places(value: Any) -> Any:
    """Every (object or list, key or index) in a JSON value."""
    if isinstance(value, dict | list):
        for key in list(value) if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


def _deep(value: Any) -> Any:
    for _ in range(100):
        value = [value]
    return value


def json_bytes(seeds: list[Any]) -> st.SearchStrategy[bytes]:
    """Altered JSON as a file."""
    return altered(seeds).map(to_bytes)


def to_bytes(value: Any) -> bytes:
    """JSON as Python writes it: lone surrogates escaped, NaN and Infinity as such."""
    return json.dumps(value).encode()


@st.composite
def safetensors_bytes(draw: Draw, seeds: list[bytes]) -> bytes:
    """A safetensors file whose header was altered, its length made to fit or to lie."""
    content = draw(st.sampled_from(seeds))
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), content[8 + length :]
    text = to_bytes(draw(altered([header])))
    if draw(st.integers(0, 5)) == 0 and text.startswith(b"{") and len(text) > 2:
        text = text[:-1] + b"," + text[1:]
    lie = draw(st.sampled_from([0] * 8 + [1, -1, 8, 1 << 20, 1 << 40, (1 << 63) - 1]))
    told = max(0, len(text) + lie) % (1 << 64)
    return told.to_bytes(8, "little") + text + data


@st.composite
def metadata_bytes(draw: Draw, seeds: list[bytes]) -> bytes:
    """A safetensors file that is sound, but for what its metadata or its numbers say."""
    content = draw(st.sampled_from(seeds))
    length = int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8 : 8 + length]), bytearray(content[8 + length :])
    told = header.setdefault("__metadata__", {})
    for _ in range(draw(st.integers(0, 2))):
        text = st.one_of(st.sampled_from(_METADATA), st.text(max_size=12))
        key = draw(st.sampled_from(sorted(told))) if told else "shape:a"
        told[draw(st.one_of(st.just(key), text))] = draw(text)
    if draw(st.integers(0, 3)) == 0:
        old, new = draw(st.sampled_from(sorted(header))), draw(st.sampled_from(ODD_TEXT))
        header = {new if name == old else name: value for name, value in header.items()}
    for _ in range(draw(st.integers(0, 8))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.sampled_from((0, 1, 127, 128, 255)))
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(data)


_METADATA = ("", "0", "-1", "1,2", "6,4", "3,-5", "1" * 13, "9" * 5000, "1.5", "nan", "float16")
_METADATA += ("delta", "lora", "kohya", "diffusers", "2", "nn", "int8", "bfloat16", "\u0663", "x,y")
_METADATA += ("expunge.dtype", "shape:a.weight", "../x", "{}", "[[[[", "v_prediction", "epsilon")


def everything(
    seeds: list[bytes], *structured: st.SearchStrategy[bytes]
) -> st.SearchStrategy[bytes]:
    """Free bytes, edited files, and what is altered with a knowledge of the format."""
    own = [edited(seeds), edited(seeds), *structured, *structured]
    return st.one_of(st.binary(max_size=300), *own)
