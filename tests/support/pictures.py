"""Pictures in all the ways that they are stored, each known by what a viewer shows of it."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

WIDTH, HEIGHT = 64, 32
RAMP = np.linspace(0, 1, WIDTH)[None] * np.ones((HEIGHT, 1))
"""Black on the left, white on the right."""


def ramp(mode: str) -> Image.Image:
    """The ramp in a mode of Pillow's, its white the mode's own."""
    if mode == "F":
        return Image.fromarray(RAMP.astype(np.float32))
    if mode == "I":
        return Image.fromarray((RAMP * 65535).astype(np.int32))
    if mode.startswith("I;16"):
        return Image.fromarray((RAMP * 65535).astype(">u2" if mode == "I;16B" else "<u2"))
    grey = Image.fromarray((RAMP * 255).round().astype(np.uint8))
    if mode == "LAB":
        spaces = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
        lab = ImageCms.profileToProfile(grey.convert("RGB"), *spaces, outputMode="LAB")
        assert lab is not None
        return lab
    return grey.convert("P").convert("PA") if mode == "PA" else grey.convert(mode)


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    """The bytes of a file, of high quality where there is a choice."""
    file = io.BytesIO()
    quality = {"quality": 95} if form in ("JPEG", "MPO", "WEBP", "AVIF") else {}
    image.save(file, form, **quality, **options)
    return file.getvalue()


def png(pixels: NDArray[Any], kind: int, clear: bytes = b"") -> bytes:
    """A PNG of 8- or 16-bit values, [h, w] or [h, w, c], with a tRNS chunk if there is a `clear`.

    `kind` is PNG's: 0 grey, 2 colours, 3 palette, 4 and 6 with opacity. Pillow does not write all.
    """
    depth = 8 * pixels.dtype.itemsize
    rows = b"".join(b"\0" + row.astype(f">u{depth // 8}").tobytes() for row in pixels)
    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], depth, kind, 0, 0, 0)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    if clear:
        parts.insert(1, (b"tRNS", clear))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts
    )


def grey_tiff(
    data: bytes, bits: int, *, white_is_zero: bool = False, signed: bool = False
) -> bytes:
    """An uncompressed TIFF of WIDTH x HEIGHT grey values of `bits` bits, as `data` packs them."""
    tags = {
        **{256: WIDTH, 257: HEIGHT, 258: bits, 259: 1, 262: int(not white_is_zero)},
        **{273: 8, 277: 1, 278: HEIGHT, 279: len(data), 339: 2 if signed else 1},
    }
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    place = struct.pack("<2sHI", b"II", 42, 8 + len(data))
    return place + data + struct.pack("<H", len(tags)) + entries + bytes(4)


def packed_12(values: NDArray[Any]) -> bytes:
    """Values of 12 bits, two in three bytes, the high bits first."""
    first, second = values.reshape(-1, 2).astype(int).T
    triples = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1)
    return triples.astype(np.uint8).tobytes()


def swapped_profile() -> bytes:
    """A colour profile whose red is sRGB's blue, and whose blue its red."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return profile.replace(b"rXYZ", b"tmp0").replace(b"bXYZ", b"rXYZ").replace(b"tmp0", b"bXYZ")
