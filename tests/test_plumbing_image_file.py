"""The one reader of image files: however a picture is stored, it is seen as a viewer shows it."""

from __future__ import annotations

import logging
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps
from support.pictures import (
    HEIGHT,
    RAMP,
    WIDTH,
    encoded,
    grey_tiff,
    packed_12,
    png,
    ramp,
    swapped_profile,
)

from plumbing.errors import UsageError
from plumbing.image_file import read_rgb, require_image

MODES = {
    "PNG": "1 L LA P RGB RGBA I;16 I;16B",
    "JPEG": "1 L RGB CMYK YCbCr",
    "MPO": "L RGB CMYK",
    "WEBP": "L LA P RGB RGBA",
    "AVIF": "L LA P RGB RGBA",
    "GIF": "1 L LA P RGB RGBA",
    "BMP": "1 L P RGB RGBA",
    "TIFF": "1 L LA P PA RGB RGBA RGBX CMYK YCbCr LAB I I;16 I;16B F",
    "JPEG2000": "L LA RGB RGBA YCbCr I;16",
    "PPM": "1 L RGB RGBA I I;16 F",
    "QOI": "RGB RGBA",
    "SGI": "L RGB RGBA",
    "TGA": "1 L LA P RGB RGBA",
    "PCX": "1 L P RGB",
}
ALL = [(form, mode) for form, modes in MODES.items() for mode in modes.split()]


def seen(file: Path | bytes) -> NDArray[np.float64]:
    """What is read of a file, 0 to 1."""
    picture = read_rgb(file, "--x a.png")
    assert picture.mode == "RGB"
    return np.asarray(picture) / 255


def is_ramp(pixels: NDArray[np.float64]) -> bool:
    ends = pixels[:, :8].mean(), pixels[:, -8:].mean()
    return abs(pixels.mean() - 0.5) < 0.01 and ends == pytest.approx((0.055, 0.945), abs=0.03)


@pytest.mark.parametrize(("form", "mode"), ALL, ids=["-".join(pair) for pair in ALL])
def test_a_ramp_is_seen_in_every_mode_of_every_format(form: str, mode: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{form.lower()}"
    path.write_bytes(encoded(ramp(mode), form))
    pixels = seen(path)
    assert pixels.shape == (HEIGHT, WIDTH, 3) and is_ramp(pixels)


def test_a_ramp_is_seen_in_what_pillow_does_not_write() -> None:
    """16 bits a channel; TIFF of 12 bits, or with 0 for white; whole numbers as floats."""
    deep = (RAMP * 65535).astype(np.uint16)
    full = np.full_like(deep, 65535)
    files = [
        png(np.dstack([deep] * 3), 2),
        png(np.dstack([deep, full]), 4),
        png(np.dstack([deep, deep, deep, full]), 6),
        grey_tiff(packed_12(RAMP * 4095), 12),
        grey_tiff((65535 - deep).astype("<u2").tobytes(), 16, white_is_zero=True),
        grey_tiff((255 - RAMP * 255).astype(np.uint8).tobytes(), 8, white_is_zero=True),
        encoded(Image.fromarray((RAMP * 255).round().astype(np.float32)), "TIFF"),
    ]
    assert all(is_ramp(seen(file)) for file in files)


@settings(max_examples=20, deadline=None)
@given(arrays(np.uint8, (5, 7, 3)))
def test_ordinary_pixels_are_read_as_they_are(pixels: NDArray[np.uint8]) -> None:
    """In PNG, BMP and TIFF, with no opacity, with full opacity, and with sRGB's own profile."""
    image = Image.fromarray(pixels)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for form in ("PNG", "BMP", "TIFF"):
        for other in (image, image.convert("RGBA")):
            options = {} if form == "BMP" else {"icc_profile": profile}
            for more in ({}, options):
                read = read_rgb(encoded(other, form, **more), "x")
                assert np.array_equal(np.asarray(read), pixels)


CORNERS = np.kron(
    np.array([[(250, 10, 10), (10, 250, 10)], [(10, 10, 250), (240, 240, 240)], [(9, 9, 9)] * 2]),
    np.ones((16, 16, 1)),
).astype(np.uint8)
"""Three rows of two fields, another colour each but the last: no turn of it looks like it."""


@pytest.mark.parametrize("form", ["PNG", "JPEG", "MPO", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_upright(form: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = Image.fromarray(CORNERS)
    # Stored as Pillow's own rule turns it back: 6 and 8 undo each other, all others themselves.
    back = {6: 8, 8: 6}.get(orientation, orientation)
    turned = upright.copy()
    turned.getexif()[0x0112] = back
    stored = ImageOps.exif_transpose(turned)
    stored.info.clear()
    read = np.asarray(read_rgb(encoded(stored, form, exif=exif), "x"), dtype=int)
    assert read.shape == CORNERS.shape
    centres = np.s_[8::16, 8::16]
    assert np.abs(read[centres] - CORNERS[centres]).max() < 20


def test_an_exif_that_is_broken_turns_nothing() -> None:
    for exif in (b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"junk" * 9):
        assert is_ramp(seen(encoded(ramp("RGB"), "JPEG", exif=exif)))


def _clear_files() -> dict[str, bytes]:
    """A square of red, or grey, amid noise that is transparent."""
    noise = np.random.default_rng(0).integers(1, 200, (16, 16, 4), np.uint8)
    noise[..., 3] = 0
    noise[4:12, 4:12] = (255, 0, 0, 255)
    colours = Image.fromarray(noise)
    grey = noise[..., 0] % 100 + 1
    grey[4:12, 4:12] = 200
    of_grey = Image.fromarray(np.dstack([grey, noise[..., 3]]), "LA")
    keyed = np.where(noise[..., 3:] == 0, 7, noise[..., :3])
    of_key = np.where(noise[..., 3] == 0, 7, grey)
    indexed = colours.convert("P")
    indexed.putpalette([*(255, 0, 0), *(0, 99, 0), *(0, 0, 99)])
    indexed.putdata([0 if value else 1 + n % 2 for n, value in enumerate(noise[..., 3].flat)])
    one_clear = indexed.point([0, 1] + [1] * 254)
    return {
        "RGBA": encoded(colours, "PNG"),
        "LA": encoded(of_grey, "PNG"),
        "16-bit RGBA": png(noise.astype(np.uint16) * 257, 6),
        "16-bit LA": png(np.dstack([grey, noise[..., 3]]).astype(np.uint16) * 257, 4),
        "colour as clear": png(keyed, 2, b"\0\7\0\7\0\7"),
        "grey as clear": png(of_key, 0, b"\0\7"),
        "16-bit grey as clear": png(of_key.astype(np.uint16) * 257, 0, b"\7\7"),
        "palette, one clear": encoded(one_clear, "PNG", transparency=1),
        "palette, some clear": encoded(indexed, "PNG", transparency=b"\xff\0\0"),
        "GIF": encoded(one_clear, "GIF", transparency=1),
        "WebP": encoded(colours, "WEBP", lossless=True),
        "TIFF": encoded(colours, "TIFF"),
        "TIFF, LA": encoded(of_grey, "TIFF"),
        "TGA": encoded(colours, "TGA"),
    }


CLEAR = _clear_files()


@pytest.mark.parametrize("kind", CLEAR)
def test_what_is_transparent_is_white(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("a.tga" if kind == "TGA" else "a.png")
    path.write_bytes(CLEAR[kind])
    pixels = seen(path)
    inside = np.zeros((16, 16), bool)
    inside[4:12, 4:12] = True
    assert (pixels[~inside] == 1).all() and (pixels[inside, 1:] < 0.8).all()
    assert pixels[inside, 0] == pytest.approx(1 if pixels[8, 8, 1] == 0 else 200 / 255, abs=0.01)


@given(st.integers(0, 255))
def test_what_is_half_transparent_is_mixed_with_white(opacity: int) -> None:
    image = Image.new("RGBA", (4, 4), (0, 100, 255, 255))
    image.putpixel((0, 0), (0, 100, 255, opacity))
    mixed = [255 + (value - 255) * opacity / 255 for value in (0, 100, 255)]
    read = read_rgb(encoded(image, "PNG"), "x").getpixel((0, 0))
    assert read == pytest.approx(mixed, abs=1)


def test_a_colour_profile_counts_and_a_broken_one_does_not() -> None:
    red = Image.new("RGB", (8, 8), (255, 0, 0))
    for form in ("PNG", "TIFF", "WEBP"):
        pixels = seen(encoded(red, form, icc_profile=swapped_profile()))
        assert (pixels[..., 2] > 0.95).all() and (pixels[..., 0] < 0.05).all()
    clear = red.convert("RGBA")
    clear.putpixel((0, 0), (255, 0, 0, 0))
    pixels = seen(encoded(clear, "PNG", icc_profile=swapped_profile()))
    assert (pixels[0, 0] == 1).all() and pixels[1, 1, 2] > 0.95
    # Of another number of channels, cut off, and no profile at all.
    for profile in (swapped_profile(), swapped_profile()[:300], b"junk"):
        assert is_ramp(seen(encoded(ramp("L"), "PNG", icc_profile=profile)))
        assert is_ramp(seen(encoded(ramp("CMYK"), "JPEG", icc_profile=profile)))


def test_the_profile_that_photographs_have_changes_no_pixel() -> None:
    """The usual sRGB profile, which LittleCMS would round to other values here and there."""
    skimage = pytest.importorskip("skimage")
    path = Path(skimage.__file__).parent / "data" / "astronaut.png"
    with Image.open(path) as photograph:
        usual = photograph.info["icc_profile"]
    pixels = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    read = read_rgb(encoded(Image.fromarray(pixels), "PNG", icc_profile=usual), "x")
    assert np.array_equal(np.asarray(read), pixels)


def test_of_several_pictures_the_first_is_read_and_it_is_told(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    for form in ("GIF", "WEBP", "PNG", "TIFF", "AVIF"):
        caplog.clear()
        pixels = seen(encoded(frames[0], form, save_all=True, append_images=frames[1:]))
        assert pixels.mean((0, 1)) == pytest.approx((1, 0, 0), abs=0.05)
        assert caplog.messages == ["--x a.png holds several pictures; the first is read"]
    caplog.clear()
    seen(encoded(frames[0], "MPO", save_all=True, append_images=frames[1:]))
    assert caplog.messages == []


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    for form, name in (("JPEG", "a.png"), ("PNG", "a.JPG"), ("TIFF", "a"), ("WEBP", "a.tga")):
        (tmp_path / name).write_bytes(encoded(ramp("RGB"), form))
        require_image(tmp_path / name, "x")
        assert is_ramp(seen(tmp_path / name))


SMALL = Image.new("RGB", (8, 8))
REFUSED = {
    b"": "it is empty",
    b"no picture": "its format is not known",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n": "git lfs pull",
    b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40): "HEIC",
    b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(40): "HEIC",
    b"\xff\x0a" + bytes(40): "JPEG XL",
    b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(40): "JPEG XL",
    b"<!DOCTYPE html><html>": "web page",
    b"\n<svg xmlns='http://www.w3.org/2000/svg'/>": "SVG",
    b"\0\5\x16\7" + bytes(60): "a Mac",
    encoded(SMALL, "EPS"): "drawing",
    encoded(SMALL, "PDF"): "drawing",
    encoded(SMALL, "TGA"): "not known",
    png(np.zeros((8, 8, 4), np.uint8), 6): "transparent everywhere",
    encoded(Image.new("F", (8, 8), float("nan")), "TIFF"): "which of them is white",
    encoded(Image.fromarray(np.linspace(0, 7.5, 64, dtype="f").reshape(8, 8)), "TIFF"): "0 to 7.5",
    encoded(Image.fromarray(np.arange(-9, 55, dtype="i").reshape(8, 8)), "TIFF"): "-9 to 54",
    grey_tiff((RAMP * 32767).astype("<i2").tobytes(), 16, signed=True): "0 to 32767",
}


@pytest.mark.parametrize("content", REFUSED, ids=list(REFUSED.values()))
def test_what_cannot_be_read_is_told_in_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=REFUSED[content]) as found:
        read_rgb(path, f"--x {path}")
    assert str(found.value).startswith(f"--x {path}") and "\n" not in str(found.value)


def test_files_that_are_not_there_or_of_a_camera_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a\.png is not a readable image: No such file"):
        read_rgb(tmp_path / "a.png")
    with pytest.raises(UsageError, match="Is a directory"):
        read_rgb(tmp_path)
    (tmp_path / "a.DNG").write_bytes(encoded(ramp("RGB"), "TIFF"))
    with pytest.raises(UsageError, match="raw file"):
        require_image(tmp_path / "a.DNG", "x")


def test_no_picture_is_larger_than_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's bound; below it, from half of it on, it only warns, of what cameras make."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    assert read_rgb(encoded(Image.new("RGB", (44, 44)), "PNG"), "x").size == (44, 44)
    with pytest.raises(UsageError, match="more than 0 million pixels"):
        read_rgb(encoded(Image.new("RGB", (45, 45)), "PNG"), "x")


FORMS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "JPEG2000", "PPM", "QOI", "SGI", "AVIF")
NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8))


@pytest.mark.parametrize("form", FORMS)
def test_half_a_file_is_no_picture(form: str) -> None:
    data = encoded(NOISE, form)
    with pytest.raises(UsageError, match=r"--x a\.png is not a readable image: "):
        seen(data[: len(data) // 2])


@settings(max_examples=150, deadline=None)
@given(form=st.sampled_from(FORMS), data=st.data())
def test_a_file_that_is_altered_is_a_picture_or_refused(form: str, data: st.DataObject) -> None:
    content = bytearray(encoded(NOISE, form))
    for _ in range(data.draw(st.integers(1, 4))):
        # Most of what can be wrong is said at the beginning.
        place = data.draw(st.integers(0, min(len(content) - 1, 200)))
        content[place] = data.draw(st.integers(0, 255))
    with suppress(UsageError):
        assert read_rgb(bytes(content), "x").mode == "RGB"


def test_logs_name_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "a.gif"
    path.write_bytes(
        encoded(SMALL, "GIF", save_all=True, append_images=[ramp("RGB").resize((8, 8))])
    )
    with caplog.at_level(logging.WARNING):
        read_rgb(path)
    assert caplog.messages == [f"{path} holds several pictures; the first is read"]
