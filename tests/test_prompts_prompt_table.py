"""Files of prompts in the shapes that papers publish them in: which column, which defaults."""

import csv
import io
import json
import logging
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plumbing.errors import UsageError
from prompts.evaluation_rows import retain_rows
from prompts.i2p import read_i2p, select_i2p, select_listed
from prompts.prompt_file import I2PPrompt, read_prompt_file
from prompts.prompt_table import table_prompts

DOG, CAT = "a dog, on a lawn", "a cat"
SEED, GUIDANCE, SIZE, NUMBER = "seed", "guidance", "size", "number of its own for each row"
# Header and two rows as repositories have them; then what is not told.
SHAPES = {
    "attacks by a class": (
        "case_number,prompt,evaluation_seed,evaluation_guidance\n"
        '0,"a dog, on a lawn",69922,7.5\n1,a cat,3,7.5\n',
        {SIZE},
    ),
    "artists, with an index": (
        ",case_number,prompt,evaluation_seed,artist\n"
        '0,0,"a dog, on a lawn",2657,A. J.\n1,1,a cat,3,B.\n',
        {GUIDANCE, SIZE},
    ),
    "an index that pandas named": (
        "Unnamed: 0,case_number,prompt,evaluation_seed,artist,evaluation_guidance\n"
        '7,7,"a dog, on a lawn",2219,V,7.5\n9,9,a cat,3,V,7.5\n',
        {SIZE},
    ),
    "COCO, by its own numbers": (
        "image_id,source,prompt,evaluation_seed,width,height\n"
        '000000203564,coco-30k,"a dog, on a lawn",41337,428,393\n179765,coco-30k,a cat,3,640,400\n',
        {GUIDANCE},
    ),
    "retained, with nothing else": (
        'case_num,source,prompt\n1,coco_object,"a dog, on a lawn"\n2,coco_object,a cat\n',
        {SEED, GUIDANCE, SIZE},
    ),
    "classes, the seed last": (
        'case_number,prompt,class,evaluation_seed\n0,"a dog, on a lawn",dog,1174\n1,a cat,cat,3\n',
        {GUIDANCE, SIZE},
    ),
    "text and seed": (
        'id,type,text,concept,seed\n1,erase,"a dog, on a lawn",dog,1\n2,retain,a cat,cat,1\n',
        {GUIDANCE, SIZE},
    ),
    "pairs of prompts": (
        'sensitive prompt,normal prompt\n"a dog, on a lawn",a lawn\na cat,a rug\n',
        {SEED, GUIDANCE, SIZE},
    ),
    "adversarial prompts": (
        "target_prompt,adv_prompt,sanitized_adv_prompt,success,clean_prompt\n"
        'x,"a dog, on a lawn",y,True,z\nx,a cat,y,False,z\n',
        {SEED, GUIDANCE, SIZE},
    ),
    "captions": ('image,caption\n1.png,"a dog, on a lawn"\n2.png,a cat\n', {SEED, GUIDANCE, SIZE}),
    "another name that ends so": (
        'n,User Prompt\n1,"a dog, on a lawn"\n2,a cat\n',
        {SEED, GUIDANCE, SIZE},
    ),
    "capitals and tabs": (
        "Prompt\tCategory\tNote\na dog, on a lawn\tA\t\na cat\tB\t\n",
        {SEED, GUIDANCE, SIZE},
    ),
    "semicolons and decimal commas": (
        "prompt;seed;guidance_scale\na dog, on a lawn;5;7,5\na cat;3;7,5\n",
        {SIZE},
    ),
    "told to Excel": (
        "sep=;\r\nprompt;seed\r\na dog, on a lawn;5\r\na cat;3\r\n",
        {GUIDANCE, SIZE},
    ),
    "commas without quotes": (
        "case_number,prompt,evaluation_seed,class\n0,a dog, on a lawn,4001,dog\n1,a cat,3,cat\n",
        {GUIDANCE, SIZE},
    ),
    "blank last rows": (
        'prompt,seed\n"a dog, on a lawn",1\na cat,2\n,\n\n',
        {GUIDANCE, SIZE},
    ),
    "numbers of pandas": (
        'case_number,prompt,seed,cfg,sd_image_width,sd_image_height\n0.0,"a dog, on a lawn",'
        "123.0,7.0,512.0,512.0\n1.0,a cat,1e5,7,512.0,512.0\n",
        set(),
    ),
    "the same number twice": (
        'case_number,prompt,seed\n0,"a dog, on a lawn",1\n0,a cat,2\n',
        {GUIDANCE, SIZE, NUMBER},
    ),
    "holes": (
        'case_number,prompt,seed,guidance\n0,"a dog, on a lawn",NaN,None\n1,a cat,2,7.5\n',
        {SEED, GUIDANCE, SIZE},
    ),
}


def read(path: Path, content: str | bytes) -> list[I2PPrompt]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_i2p(path)


@pytest.mark.parametrize(("content", "lacking"), SHAPES.values(), ids=SHAPES)
def test_a_published_shape_is_read(tmp_path: Path, content: str, lacking: set[str]) -> None:
    path = tmp_path / "p.csv"
    rows = read(path, content)
    assert [row.prompt for row in rows] == [DOG, CAT]
    assert len({row.id for row in rows}) == 2 and rows[1].guidance_scale in (7, 7.5)
    found = read_prompt_file(path, "--prompts")
    assert found.rows == rows and set(found.lacking) == lacking
    assert table_prompts(path, "--retain-prompts") == (DOG, CAT)


@pytest.mark.parametrize("marked", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.tsv", 'Prompt\tNote\n"a dog, on a lawn"\t\na cat\t\n'),
        ("p.TSV", "prompt\tseed\na dog, on a lawn\t1\na cat\t2\n"),
        ("p.csv", 'a picture\n"a dog, on a lawn"\na cat\n'),
        ("p.txt", "# mine\na dog, on a lawn\n\na cat\n"),
        ("p.jsonl", '{"tag": 1, "prompt": "a dog, on a lawn"}\n{"prompt": "a cat", "seed": 3}\n'),
        ("p.json", '["a dog, on a lawn", "a cat"]'),
        ("p.json", '{"images": [], "annotations": [{"caption": "a dog, on a lawn", "id": 1},'
         '{"caption": "a cat"}]}'),
    ],
)  # fmt: skip
def test_other_kinds_of_files_too(tmp_path: Path, name: str, content: str, marked: str) -> None:
    rows = read(tmp_path / name, content.encode(marked))
    prompts = [row.prompt for row in rows]
    # The one without a header has one more.
    assert prompts[-2:] == [DOG, CAT] and prompts[:-2] in ([], ["a picture"])


def test_the_values_are_those_of_the_file(tmp_path: Path) -> None:
    rows = read(tmp_path / "n.csv", SHAPES["numbers of pandas"][0])
    assert [(r.id, r.seed, r.guidance_scale, r.width, r.height) for r in rows] == [
        ("00000", 123, 7.0, 512, 512),
        ("00001", 100_000, 7.0, 512, 512),
    ]
    rows = read(tmp_path / "c.csv", SHAPES["COCO, by its own numbers"][0])
    assert [(r.width, r.height) for r in rows] == [(432, 392), (640, 400)]
    rows = read(tmp_path / "a.csv", SHAPES["artists, with an index"][0])
    assert [r.categories for r in rows] == [("A. J.",), ("B.",)]
    assert [(r.width, r.hard, r.nudity_percentage) for r in rows] == [(None, None, None)] * 2
    head = "prompt,seed,hard,categories\n"
    rows = read(tmp_path / "h.csv", f"{head}a,{2**64 - 1},TRUE,x\nb,{2**33},1.0,\nc,1,False,nan\n")
    assert [(r.seed, r.hard, r.categories) for r in rows] == [
        (2**64 - 1, True, ("x",)),
        (2**33, True, ()),
        (1, False, ()),
    ]


def test_a_seed_that_is_not_told_is_that_of_every_evaluation(tmp_path: Path) -> None:
    rows = read(tmp_path / "p.csv", "prompt\na dog\na cat\na dog\n")
    assert [row.seed for row in rows] == [r.seed for r in retain_rows(["a dog", "a cat", "a dog"])]
    assert rows[0].seed != rows[2].seed


def test_what_is_not_told_cannot_be_selected_by(tmp_path: Path) -> None:
    rows = read(tmp_path / "p.csv", "prompt\na dog\n")
    for flag, asked in (
        ("--category", {"categories": ["x"]}),
        ("--hard", {"hard": True}),
        ("--nudity", {"nudity": (10, 100)}),
    ):
        with pytest.raises(UsageError, match=f"{flag}: the file of prompts has no column"):
            select_i2p(rows, **asked)
    assert select_i2p(rows, first=1) == rows


def test_a_guess_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    rows = read(tmp_path / "w.csv", "prompt\n\u201ccaf\u00e9\u201d in Paris\n".encode("cp1252"))
    assert rows[0].prompt == "\u201ccaf\u00e9\u201d in Paris" and "Windows-1252" in caplog.text
    read(tmp_path / "a.csv", SHAPES["adversarial prompts"][0])
    assert "its column 'adv_prompt'" in caplog.text
    assert "no seed: each is drawn from a seed that its prompt gives" in caplog.text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("p.csv", "id,concept\n1,dog\n", "no column 'prompt'; its columns: id, concept"),
        ("p.csv", "prompt_toxicity,seed\n1,2\n", "no column 'prompt'"),
        ("p.csv", "prompt,class\na dog, big,dog\n", "3 cells under 2 columns"),
        ("p.csv", "prompt,seed\na,2\nb\n", "1 cells under 2 columns"),
        ("p.csv", "prompt,Prompt\na,b\n", "the column 'prompt' twice"),
        ("p.csv", "prompt,seed\na,1_0\n", "not a whole number"),
        ("p.csv", "prompt\n\x00\n", "zero bytes"),
        ("p.csv", "prompt,x\nNaN,1\n ,2\n", "holds no prompt"),
        ("p.jsonl", '{"prompt": "a"\n', "not valid JSON"),
        ("p.jsonl", '{"prompt": "\\ud800"}\n', "row 1, column 'prompt': holds half of a surrogate"),
        ("p.json", "[1, 2]", "not a list of prompts"),
        ("p.json", "[" * 100_000, "not valid JSON"),
        ("p.json", "{}", "no column 'prompt'"),
        ("p.txt", "# nothing\n", "is empty"),
    ],
)
def test_what_holds_no_prompts_is_one_line(
    tmp_path: Path, name: str, content: str, said: str
) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    for reader in (read_i2p, table_prompts):
        # What the other columns hold is nothing to who takes the prompts alone.
        if reader is read_i2p or "whole number" not in said:
            with pytest.raises(UsageError, match=said):
                reader(path, "--prompts")


CELLS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=("Cs",)), max_size=12
)


@given(
    st.lists(st.tuples(CELLS, st.integers(0, 2**64 - 1)), min_size=1, max_size=5),
    st.sampled_from(",;\t|"),
    st.sampled_from(("utf-8", "utf-8-sig", "utf-16")),
    st.sampled_from(("\n", "\r\n")),
    st.permutations(("prompt", "evaluation_seed", "")),
)
def test_whatever_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    rows: list[tuple[str, int]],
    separator: str,
    encoding: str,
    end: str,
    header: list[str],
) -> None:
    """Every character of a prompt and every digit of a seed, in whatever table."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL)
    writer.writerow(header)
    for number, (prompt, seed) in enumerate(rows):
        cells = {"prompt": prompt, "evaluation_seed": seed, "": number}
        writer.writerow([cells[name] for name in header])
    path = tmp_path_factory.getbasetemp() / "law.csv"
    path.write_bytes(text.getvalue().encode(encoding))
    assert [(row.prompt, row.seed) for row in read_i2p(path)] == rows


@pytest.mark.parametrize(
    "copy", ["happy nymph, fantasy", "happy  nymph,\nfantasy ", "happy nymph,\u00a0fantasy\r\n"]
)
def test_a_subset_finds_its_prompts_whatever_became_of_their_blanks(
    tmp_path: Path, copy: str
) -> None:
    prompts = ["happy nymph, \nfantasy", "", "a dog"]
    rows = read(
        tmp_path / "i.jsonl", "".join(json.dumps({"prompt": p, "seed": 90}) + "\n" for p in prompts)
    )
    path = tmp_path / "s.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["prompt", "evaluation_seed"], [copy, "90.0"], ["NuLL", 90]])
    assert select_listed(rows, path) == rows[:2]
