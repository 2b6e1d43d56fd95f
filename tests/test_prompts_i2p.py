"""I2P's reader: rows as they stand, selections, and errors that name row and column."""

import csv
from pathlib import Path

import pytest

from plumbing.errors import UsageError
from prompts.i2p import I2PPrompt, read_i2p, select_i2p, select_listed

ESD = (
    ",prompt,categories,hard,inappropriate_percentage,nudity_percentage,q16_percentage,"
    "sd_safety_percentage,prompt_toxicity,lexica_url,evaluation_seed,evaluation_guidance,"
    "sd_image_width,sd_image_height,sd_model,case_number"
).split(",")
HUB = [
    {"evaluation_seed": "sd_seed", "evaluation_guidance": "sd_guidance_scale"}.get(name, name)
    for name in ESD
    if name not in ("", "case_number")
]
# (prompt, categories, hard, nudity percentage, seed, guidance, width, height)
CASES = (
    ("a quiet street, at dusk ", "violence, hate", 1, 0.0, 4290749014, 7, 512, 512),
    ("a swimmer 🏊 resting", "sexual", 1, 80.0, 1, 7.5, 512, 384),
    ("two lines\nof \u2028 one prompt", "shocking", 0, 20.0, 3, 20, 128, 256),
    ("a swimmer 🏊 resting", "sexual, shocking", 0, 50.0, 4, 13, 512, 512),
    ("", "self-harm", 0, 10.0, 5, 12, 448, 320),
)


def cells(number: int) -> dict[str, str]:
    prompt, categories, hard, nudity, seed, guidance, width, height = CASES[number]
    values = {
        "": number, "prompt": prompt, "categories": categories, "hard": hard,
        "inappropriate_percentage": 50.0, "nudity_percentage": nudity, "q16_percentage": 0.0,
        "sd_safety_percentage": 0.0, "prompt_toxicity": 0.1, "lexica_url": "https://example.org",
        "evaluation_seed": seed, "evaluation_guidance": guidance, "sd_image_width": width,
        "sd_image_height": height, "sd_model": "stable-diffusion-v1-4", "case_number": number,
    }  # fmt: skip
    renamed = {"sd_seed": seed, "sd_guidance_scale": guidance}
    return {name: str(value) for name, value in (values | renamed).items()}


def write(path: Path, columns: list[str] = ESD, **changes: str) -> Path:
    """All the cases as a CSV; `changes` are cells of the second row."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        for number in range(len(CASES)):
            writer.writerow(cells(number) | (changes if number == 1 else {}))
    return path


@pytest.fixture
def rows(tmp_path: Path) -> list[I2PPrompt]:
    return read_i2p(write(tmp_path / "i2p.csv"))


def test_rows_keep_their_own_seed_guidance_size_and_every_character(rows: list[I2PPrompt]) -> None:
    assert [row.id for row in rows] == ["00000", "00001", "00002", "00003", "00004"]
    assert [row.prompt for row in rows] == [case[0] for case in CASES]
    assert rows[1] == I2PPrompt(
        "00001", "a swimmer 🏊 resting", 1, 7.5, 512, 384, ("sexual",), True, 80.0
    )
    assert rows[0].categories == ("violence", "hate")
    assert rows[0].seed == 4290749014


def test_the_hub_layout_reads_as_the_same_rows(tmp_path: Path, rows: list[I2PPrompt]) -> None:
    assert read_i2p(write(tmp_path / "hub.csv", HUB)) == rows


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ({}, [0, 1, 2, 3, 4]),
        ({"categories": ["sexual"]}, [1, 3]),
        ({"categories": ["sexual", "shocking"]}, [1, 2, 3]),
        ({"hard": True}, [0, 1]),
        ({"hard": False}, [2, 3, 4]),
        ({"nudity": (20, 50)}, [2, 3]),
        ({"nudity": (1, 100), "first": 2}, [1, 2]),
        ({"categories": ["sexual"], "hard": True, "first": 9}, [1]),
    ],
)
def test_selection(rows: list[I2PPrompt], selection: dict, expected: list[int]) -> None:
    assert select_i2p(rows, **selection) == [rows[i] for i in expected]


@pytest.mark.parametrize(
    ("selection", "said"),
    [
        ({"categories": ["sexy"]}, "there are hate, self-harm, sexual, shocking, violence"),
        ({"nudity": (60, 40)}, "60 to 40 is no range"),
        ({"nudity": (0, 101)}, "no range within 0 to 100"),
        ({"first": 0}, "at least 1"),
        ({"categories": ["hate"], "hard": False}, "none of the 5 prompts is left"),
    ],
)
def test_a_bad_selection_is_refused(rows: list[I2PPrompt], selection: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        select_i2p(rows, **selection)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"evaluation_seed": "12x"}, "'evaluation_seed': '12x' is not a whole number"),
        ({"evaluation_seed": "-3"}, "not a whole number"),
        ({"evaluation_seed": "4.5"}, "not a whole number"),
        ({"evaluation_seed": str(2**64)}, "is more than"),
        ({"evaluation_guidance": "high"}, "'evaluation_guidance': 'high' is not a number"),
        ({"evaluation_guidance": "inf"}, "is not a number"),
        ({"nudity_percentage": "120"}, "'nudity_percentage': 120 is not between 0 and 100"),
        ({"sd_image_width": "500"}, "'sd_image_width': 500 is no image size"),
        ({"sd_image_height": "0"}, "'sd_image_height': 0 is no image size"),
        ({"hard": "yes"}, "'hard': 'yes' is neither 0 nor 1"),
        ({"categories": "sexual,,hate"}, "'categories': must be names"),
    ],
)
def test_a_bad_cell_is_named_by_row_and_column(tmp_path: Path, change: dict, said: str) -> None:
    with pytest.raises(UsageError, match=rf"i2p.csv, row 2 \(line 3\), column .*{said}"):
        read_i2p(write(tmp_path / "i2p.csv", **change))


def test_a_missing_column_of_prompts_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "i2p.csv", [column for column in ESD if column != "prompt"])
    with pytest.raises(UsageError, match="no column 'prompt'; its columns: , cat"):
        read_i2p(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"prompt,hard\n", "is empty"),
        (b"prompt,prompt\na,b\n", "the column 'prompt' twice"),
        (b"prompt,hard\na,1\nb,1,2\n", r"row 2 \(line 3\): 3 cells under 2 columns"),
        (b'prompt,hard\n"a"b,1\n', "line 2: not valid CSV"),
        (b"prompt\n\x81\n", "is not UTF-8"),
        (b"prompt\n\xff\0\n", "is not a text file"),
    ],
)
def test_a_broken_file_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "i2p.csv"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=said):
        read_i2p(path)


def test_no_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_i2p(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="cannot read"):
        read_i2p(tmp_path)


def listed(tmp_path: Path, name: str, text: str) -> Path:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return path


def test_a_subset_by_case_number_keeps_the_rows_order(
    tmp_path: Path, rows: list[I2PPrompt]
) -> None:
    path = listed(tmp_path, "subset.txt", "# mine\n4\n\n00001  # a swimmer\n4\n")
    assert select_listed(rows, path) == [rows[1], rows[4]]


def test_a_subset_by_prompt_ignores_the_papers_own_case_numbers(
    tmp_path: Path, rows: list[I2PPrompt]
) -> None:
    text = 'case_number,prompt,evaluation_seed\n0,a swimmer 🏊 resting,4\n1," ",5\n'
    assert select_listed(rows, listed(tmp_path, "s.csv", text)) == [rows[3], rows[4]]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("s.txt", "1\n7\n", "line 2: there is no case 7"),
        ("s.txt", "one\n", "line 1: 'one' is not a case number"),
        ("s.txt", "# nothing\n", "lists nothing"),
        ("s.csv", "prompt\na cat\n", r"row 1 \(line 2\), column 'prompt': is not among"),
        ("s.csv", "prompt\na swimmer 🏊 resting\n", "stands for 2 cases; add a column"),
        ("s.csv", "name,url\na,cat\n", "no column 'prompt'"),
    ],
)
def test_a_subset_that_does_not_fit_is_refused(
    tmp_path: Path, rows: list[I2PPrompt], name: str, text: str, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        select_listed(rows, listed(tmp_path, name, text))
