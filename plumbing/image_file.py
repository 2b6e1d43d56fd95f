"""The one reader of image files: upright, 8 bits a channel, RGB, on white; no torch.

Whatever way a picture is stored, its pixels are what a viewer shows. What a viewer would have to
guess is refused. Ordinary RGB files come out bit for bit as they are stored.
"""

from __future__ import annotations

import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import ExifTags, Image, ImageCms

from plumbing.errors import UsageError
from plumbing.image_values import DEEP, in_8_bits

log = logging.getLogger(__name__)

_BY_CONTENT = (
    *("PNG", "JPEG", "WEBP", "GIF", "BMP", "DIB", "TIFF", "JPEG2000", "PPM", "QOI", "SGI"),
    # Last: Pillow may be built without it.
    *("ICO", "AVIF"),
)
"""Not PostScript, which would be run, nor what is rarely a photograph and seldom looked after."""
_BY_NAME = {".pcx": "PCX", ".tga": "TGA"}
"""Formats that nearly any bytes pass for."""
_RAW = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".pef", ".raf", ".rw2", ".srw")
"""Camera files, of which Pillow would read the small preview."""
_STRANGERS = (
    (rb"$", "it is empty"),
    (rb"version https://git-lfs", "it is a pointer of Git LFS; get the file with `git lfs pull`"),
    (rb"(?s)....ftyp(he|mif1|msf1)", "it is HEIC; convert it to PNG or JPEG"),
    (rb"\xff\x0a|\x00{3}\x0cJXL ", "it is JPEG XL; convert it to PNG or JPEG"),
    (rb"8BPS|gimp xcf|%!PS|\xc5\xd0\xd3\xc6|%PDF", "it is a drawing; save it as PNG"),
    (
        rb"\x00\x05\x16[\x00\x07]",
        "it is what a Mac knows of another file, and no picture; remove it",
    ),
    (rb"(?i)\s*<(!doctype|html)", "it is a web page; get the picture itself"),
    (rb"(?i)\s*<(\?xml|svg)", "it is SVG; save it as PNG"),
)
"""How files begin that are met under an image's name, and what to do."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What sets a picture upright, by its EXIF orientation."""
_SPACES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}
"""Pillow's mode for the colours that a profile is of."""
_ROUNDING = 2
"""Of 255: a profile that changes no colour by more is sRGB's."""

# Pillow warns of what it reads all the same, among it 90 million pixels, which cameras have. It
# refuses twice as many, and so do we.
warnings.filterwarnings("ignore", module=r"PIL\.")


def read_rgb(file: Path | bytes, what: object = None) -> Image.Image:
    """A picture as it is meant to be seen, mode RGB; UsageError that begins with `what`.

    The content decides, not the name. What is transparent is laid on white, the EXIF orientation
    and a colour profile are applied, and of several pictures the first is read, which is told.
    """
    what = file if what is None else what
    with _readable(file, what), _open(file) as image:
        picture = _as_seen(image)
        if _has_more(image):
            log.warning("%s holds several pictures; the first is read", what)
    return picture


def require_image(file: Path, what: object, *, whole: bool = False) -> None:
    """Refuse, as a UsageError, a file that does not begin like an image, or `whole`: is not one."""
    with _readable(file, what), _open(file) as image:
        if whole:
            _as_seen(image)


def _as_seen(image: Image.Image) -> Image.Image:
    image.load()
    colours, alpha = _split(image)
    picture = _as_srgb(colours, image.info.get("icc_profile"))
    if alpha is not None:
        picture = _on_white(picture, alpha)
    return _upright(picture, image)


@contextmanager
def _readable(file: Path | bytes, what: object) -> Iterator[None]:
    """Turn whatever goes wrong to one line."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{what}: {error}") from error
    # Strangers' files can be wrong in more ways than Pillow has names for.
    except Exception as error:
        raise UsageError(f"{what} is not a readable image: {_reason(file, error)}") from error


def _open(file: Path | bytes) -> Image.Image:
    if isinstance(file, bytes):
        return Image.open(io.BytesIO(file), formats=_BY_CONTENT)
    suffix = file.suffix.lower()
    if suffix in _RAW:
        raise UsageError("a camera's raw file is not read; convert it to PNG or JPEG")
    by_name = (_BY_NAME[suffix],) if suffix in _BY_NAME else ()
    return Image.open(file, formats=(*_BY_CONTENT, *by_name))


def _reason(file: Path | bytes, error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {2 * (Image.MAX_IMAGE_PIXELS or 0) / 1e6:.0f} million pixels"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    with suppress(OSError), _stream(file) as stream:
        start = stream.read(64)
        for pattern, told in _STRANGERS:
            if re.match(pattern, start):
                return told
    if isinstance(error, Image.UnidentifiedImageError):
        return "its format is not known; save it as PNG or JPEG"
    return f"{(str(error).strip() or type(error).__name__).splitlines()[0]}; get the file anew"


def _stream(file: Path | bytes) -> IO[bytes]:
    return io.BytesIO(file) if isinstance(file, bytes) else file.open("rb")


def _split(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """The colours, as L, RGB or CMYK, and how opaque they are, as L; None where all are wholly."""
    if image.mode in DEEP:
        return in_8_bits(image), _keyed(image)
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        grey = image.mode in ("1", "L", "LA")
        return rgba.getchannel("R") if grey else rgba.convert("RGB"), rgba.getchannel("A")
    if image.mode in ("1", "L"):
        return image.convert("L"), None
    return image if image.mode == "CMYK" else image.convert("RGB"), None


def _keyed(image: Image.Image) -> Image.Image | None:
    """How opaque the pixels are where one value of 16 bits stands for "transparent"."""
    key = image.info.get("transparency")
    if not isinstance(key, int):
        return None
    return Image.fromarray(np.where(np.asarray(image) == key, 0, 255).astype(np.uint8))


def _on_white(picture: Image.Image, alpha: Image.Image) -> Image.Image:
    if not alpha.getbbox():
        raise UsageError("is transparent everywhere; save it without its alpha channel")
    paper = Image.new("RGB", picture.size, "white")
    paper.paste(picture, mask=alpha)
    return paper


def _as_srgb(colours: Image.Image, profile: bytes | None) -> Image.Image:
    """RGB as screens show it. A profile that is broken, or of other colours, counts for nothing."""
    if profile:
        with suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            source = ImageCms.getOpenProfile(io.BytesIO(profile))
            space: Any = source.profile
            if _SPACES.get(space.xcolor_space.strip()) == colours.mode:
                change = ImageCms.buildTransform(
                    source, ImageCms.createProfile("sRGB"), colours.mode, "RGB"
                )
                if colours.mode != "RGB" or _changes(change):
                    changed = ImageCms.applyTransform(colours, change)
                    assert changed is not None
                    return changed
    return colours.convert("RGB")


def _changes(change: ImageCms.ImageCmsTransform) -> bool:
    """Whether a profile's colours are others than sRGB's, but for rounding."""
    steps = np.linspace(0, 255, 6).astype(np.uint8)
    cube = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(6, 36, 3)
    changed = ImageCms.applyTransform(Image.fromarray(cube), change)
    return int(np.abs(np.asarray(changed, dtype=int) - cube).max()) > _ROUNDING


def _upright(picture: Image.Image, image: Image.Image) -> Image.Image:
    """The picture turned as its file's EXIF says; an EXIF that cannot be read says nothing."""
    turn = None
    # Not ImageOps.exif_transpose: it writes the EXIF anew, and fails on what it cannot write.
    with suppress(Exception):
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation, 1))
    return picture if turn is None else picture.transpose(turn)


def _has_more(image: Image.Image) -> bool:
    """Whether there are further frames or pages; those of a camera's JPEG are of the same."""
    with suppress(Exception):
        return image.format != "MPO" and bool(getattr(image, "is_animated", False))
    return False
