"""Which files of a folder are read as its images, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from support.pictures import encoded, ramp

from plumbing.errors import UsageError
from plumbing.image_file import read_rgb
from plumbing.image_folder import SUFFIXES, list_images

JUNK = ("._a.png", ".DS_Store", ".hidden.png", "Thumbs.db", "desktop.ini", "notes.md", "x.npz")


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")
    return folder


@pytest.mark.parametrize("deep", [False, True])
def test_what_systems_leave_behind_counts_for_nothing(
    deep: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hidden = ("__MACOSX/._b.png", "__MACOSX/c.png", ".thumbnails/d.png", "@eaDir/e.png")
    fill(tmp_path, "a.png", "B.JPG", "c.JpEg", *JUNK, *hidden)
    names = [path.name for path in list_images(tmp_path, "--x", deep=deep)]
    assert (names, caplog.messages) == (["B.JPG", "a.png", "c.JpEg"], [])


def test_every_suffix_that_is_listed_is_read(tmp_path: Path) -> None:
    """And the formats that Pillow writes under these names are."""
    forms = Image.registered_extensions()
    assert set(forms) >= SUFFIXES
    for suffix in SUFFIXES & {end for end, form in forms.items() if form in Image.SAVE}:
        path = tmp_path / f"a{suffix.upper()}"
        path.write_bytes(encoded(ramp("F" if suffix == ".pfm" else "RGB"), forms[suffix]))
        assert 0.45 < sum(read_rgb(path).resize((1, 1)).getpixel((0, 0))) / 3 / 255 < 0.55


def test_pictures_that_are_not_read_are_told_by_kind_and_number(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path, "a.png", "b.HEIC", "c.heic", "d.psd")
    assert len(list_images(tmp_path, "--x")) == 1
    told = "2 .heic, 1 .psd (convert to PNG or JPEG)"
    assert caplog.messages == [f"--x {tmp_path}: {told} not read"]
    (tmp_path / "a.png").unlink()
    with pytest.raises(UsageError) as found:
        list_images(tmp_path, "--x", deep=True)
    assert f"holds no image but {told}; read are .apng" in str(found.value)


def test_images_in_folders_below_are_read_or_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(tmp_path, "10_church/a.png", "10_church/b.png", "1_dog/c.webp", "log/x.txt")
    with pytest.raises(UsageError, match="no image but 2 in its folder 10_church and 1 in its"):
        list_images(tmp_path, "--x")
    fill(tmp_path, "d.png")
    assert [path.name for path in list_images(tmp_path, "--x")] == ["d.png"]
    assert "2 in its folder 10_church and 1 in its folder 1_dog not read" in caplog.text
    names = [path.name for path in list_images(tmp_path, "--x", deep=True)]
    assert names == ["a.png", "b.png", "c.webp", "d.png"]


def test_what_is_no_folder_and_what_leads_to_nothing_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, "a.zip")
    with pytest.raises(UsageError, match=r"--x .*a\.zip: no such folder but a file; unpack it"):
        list_images(tmp_path / "a.zip", "--x")
    with pytest.raises(UsageError, match=r"--x .*absent: no such folder$"):
        list_images(tmp_path / "absent", "--x")
    (tmp_path / "a.png").symlink_to(tmp_path / "gone.png")
    with pytest.raises(UsageError, match=r"a\.png: leads to a file that is missing"):
        list_images(tmp_path, "--x")
