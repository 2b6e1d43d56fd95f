"""What `expunge evaluate quality` refuses, in one line, and the folder of real images."""

from pathlib import Path

import pytest
from support.files import files

from eval.quality.real_images import find_images
from expunge.cli import main


def test_bad_input_ends_in_one_line_and_leaves_nothing(
    model_folder: Path, clip_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken, few, texts = tmp_path / "broken", tmp_path / "few", tmp_path / "p.txt"
    broken.mkdir()
    few.mkdir()
    for index in range(3):
        (broken / f"{index}.png").write_bytes(b"no picture")
    texts.write_text("a church\na dog\n")
    model, out = str(model_folder), str(tmp_path / "out")
    base = ["--clip", str(clip_folder), "--steps", "1", "--device", "cpu"]
    church = ["--concept", "church", "--out", out]
    there = files(tmp_path)

    def refused(*words: str) -> str:
        assert main(["evaluate", "quality", *words]) == 2
        captured = capsys.readouterr()
        assert captured.out == "" and not Path(out).exists() and files(tmp_path) == there
        line = captured.err.strip().splitlines()[-1]
        assert line.startswith("expunge: error: ")
        return line

    assert "--concept is missing" in refused(model, "--out", out, *base)
    assert "--out is missing" in refused(model, "--concept", "church", *base)
    assert "nowhere" in refused("./nowhere", *church, *base)
    assert "--real" in refused(model, *church, *base, "--real", str(tmp_path / "nowhere"))
    assert "holds no image" in refused(model, *church, *base, "--real", str(few))
    assert "0.png is not a readable" in refused(model, *church, *base, "--real", str(broken))
    assert "CLIP model" in refused(model, *church, "--clip", str(few), "--device", "cpu")
    assert "no such file" in refused(model, *church, *base, "--prompts", str(few / "p.txt"))
    assert "1 prompts of 'p.txt'" in refused(model, *church, *base, "--prompts", str(texts))
    assert "--images must be at least 3" in refused(model, *church, *base, "--images", "2")
    assert "--clip is empty" in refused(model, *church, "--clip", " ")


def test_the_hash_of_a_folder_is_of_what_it_holds(real: Path) -> None:
    before = find_images(real, "--real", 3)
    (real / "a" / "1.png").rename(real / "moved.PNG")
    after = find_images(real, "--real", 3)
    assert (len(after.files), after.sha256) == (20, before.sha256)
    (real / "moved.PNG").write_bytes(b"")
    assert find_images(real, "--real", 3).sha256 != before.sha256
