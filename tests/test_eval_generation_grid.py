"""The before/after picture: its size, and that it shows the images unaltered."""

from pathlib import Path

import pytest
from PIL import Image

from eval.generation.before_after_grid import Section, draw_grid, spread


def square(path: Path, colour: str, side: int = 64) -> Path:
    Image.new("RGB", (side, side), colour).save(path)
    return path


def colours(path: Path) -> dict[tuple[int, ...], int]:
    with Image.open(path) as image:
        return {colour: count for count, colour in image.getcolors(1 << 24) or []}


@pytest.mark.parametrize(("side", "shown"), [(64, 128), (16, 128), (512, 192)])
def test_every_image_is_shown_at_a_readable_size(side: int, shown: int, tmp_path: Path) -> None:
    before = square(tmp_path / "a.png", "#ff0000", side)
    after = square(tmp_path / "b.png", "#0000ff", side)
    section = Section("Asked for church", ["a church", "church " * 60], [[before] * 2, [after] * 2])
    empty = Section("Nothing", [], [[], []])
    draw_grid(tmp_path / "grid.png", "Erased: church", ["original", "erased"], [section, empty])
    seen = colours(tmp_path / "grid.png")
    assert seen[255, 0, 0] == seen[0, 0, 255] == 2 * shown * shown
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.png", "grid.png"]


def test_spread_takes_distinct_items_and_all_if_they_are_few() -> None:
    assert spread(list("aabbcc"), 5) == ["a", "b", "c"]
    drawn = spread(range(700), 8)
    assert len(drawn) == len(set(drawn)) == 8 and drawn == sorted(drawn)
    assert drawn == spread(range(700), 8)
    # What takes turns in the list, as styles do, must not decide what is shown.
    assert len({item % 7 for item in drawn}) >= 4
    assert spread([], 3) == []
