"""Concepts, prompt lists and evaluation rows: laws, and one clear line for bad files."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.vocabulary import OBJECTS, STYLES, VOCABULARY

from plumbing.errors import UsageError
from prompts.built_lists import shipped_retain_prompts
from prompts.concept import Vocabulary, combine, load_concept
from prompts.concept_file import shipped_concepts
from prompts.naming import names_any
from prompts.prompt_list import read_prompts
from prompts.wording import replace_words


@pytest.mark.parametrize("name", sorted(shipped_concepts()))
@pytest.mark.parametrize("vocabulary", [None, VOCABULARY], ids=["any model", "miniature"])
def test_shipped_concepts_are_complete(name: str, vocabulary: Vocabulary | None) -> None:
    spec = load_concept(name, vocabulary)
    assert spec.source == f"shipped:{name}"
    assert len(spec.forget_prompts) >= 8
    assert len(spec.retain_prompts) >= 30
    assert not any(spec.named_in(p) for p in (*spec.relabel_prompts, *spec.retain_prompts))
    assert not spec.named_in(spec.fixed_relabel_prompt)
    for prompt in spec.forget_prompts:
        assert spec.named_in(prompt)
        assert not any(spec.named_in(p) for p in spec.relabel_candidates(prompt))


def test_six_concepts_are_shipped() -> None:
    expected = {"church", "dog", "nudity", "outline", "van gogh", "violence"}
    assert set(shipped_concepts()) == expected
    assert len(shipped_retain_prompts()) == len(set(shipped_retain_prompts())) >= 300


def test_object_of_the_vocabulary_is_relabelled_in_its_own_style() -> None:
    spec = load_concept("church", VOCABULARY)
    assert spec.kind == "object"
    candidates = spec.relabel_candidates("an image of a church in neon style")
    assert "an image of an apple in neon style" in candidates
    assert len(candidates) == len(OBJECTS) - 1
    assert spec.fixed_relabel_prompt == "an image of a cow"


def test_style_of_the_vocabulary_keeps_its_subject() -> None:
    spec = load_concept("outline style", VOCABULARY)
    assert spec.kind == "style"
    assert set(spec.relabel_candidates("a cat in outline style")) == {
        f"a cat in {style} style" for style in STYLES if style != "outline"
    }
    assert not any("outline" in p for p in spec.retain_prompts)


def test_a_longer_label_is_another_thing() -> None:
    """Erasing "tree" keeps "christmas tree", which the judge tells apart."""
    spec = load_concept("tree", VOCABULARY)
    assert spec.distinct == ("christmas tree",)
    assert any("christmas tree" in p for p in spec.retain_prompts)
    assert spec.named_in("an image of a tree") and not spec.named_in("a Christmas tree")


def test_free_text_uses_templates_and_shipped_retain_prompts() -> None:
    spec = load_concept("  french   horn ")
    assert (spec.name, spec.kind, spec.source) == ("french horn", "other", "free text")
    assert "a photo of a french horn" in spec.forget_prompts
    assert len(spec.retain_prompts) == len(shipped_retain_prompts()) - 1
    assert load_concept("impressionist style").kind == "style"


def test_a_misspelt_shipped_name_is_mentioned(caplog: pytest.LogCaptureFixture) -> None:
    load_concept("nuditty")
    assert "did you mean nudity?" in caplog.text
    load_concept("nakd")
    assert "did you mean naked?" in caplog.text
    caplog.clear()
    load_concept("snake")
    assert not caplog.text


def test_retain_prompts_are_balanced_over_objects_and_styles() -> None:
    spec = load_concept("church", VOCABULARY)
    prefix = spec.retain_prompts[:144]
    things = Counter(next(o for o in OBJECTS[::-1] if names_any(p, [o])) for p in prefix)
    styles = Counter(next((s for s in STYLES if f"{s} style" in p), None) for p in prefix)
    assert len(things) >= 23 and max(things.values()) <= 6 + 6
    counts = [styles[s] for s in STYLES]
    assert max(counts) - min(counts) <= 4 and styles[None] == 72


def test_several_concepts_at_once() -> None:
    spec = combine([load_concept("church", VOCABULARY), load_concept("outline", VOCABULARY)])
    assert (spec.name, spec.kind) == ("church + outline", "other")
    assert not any("church" in p or "outline" in p for p in spec.retain_prompts)
    both = spec.relabel_candidates("a church in outline style")
    assert "a cat in neon style" in both
    assert not any("church" in p or "outline" in p for p in both)
    assert "an owl" in spec.relabel_candidates("a church")
    single = load_concept("dog")
    assert combine([single]) is single


def test_several_concepts_leave_something_to_retain() -> None:
    words = Vocabulary(("church", "dog"), ())
    with pytest.raises(UsageError, match="no prompt is left to relabel to"):
        combine([load_concept("church", words), load_concept("dog", words)])


def test_toml_lists_win_over_built_ones(tmp_path: Path) -> None:
    file = tmp_path / "steeple.toml"
    file.write_text(
        'name = "church"\nforget = ["a steeple of a church"]\nretain = ["a cat", "a church"]\n'
    )
    spec = load_concept(str(file), VOCABULARY)
    assert spec.forget_prompts == ("a steeple of a church",)
    assert spec.retain_prompts == ("a cat",)
    assert spec.source == str(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'name = "x"\nsynonym = ["y"]\n', r"unknown key 'synonym' in .*x\.toml.*'synonyms'"),
        (b'kind = "object"\n', "has no name"),
        (b'name = "x"\nkind = "thing"\n', "kind in .* must be one of object, style, other"),
        (b'name = "x"\nforget = "a x"\n', "forget in .* list of non-empty strings"),
        (b'name = "x"\nforget = [1]\n', "forget in .* list of non-empty strings"),
        (b"name = 3\n", "name in .* non-empty string"),
        (b"name = \n", "not valid TOML"),
        ('name = "caf\u00e9"\n'.encode("latin-1"), "is not UTF-8"),
    ],
)
def test_bad_toml_is_one_clear_line(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "x.toml"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=message):
        load_concept(str(file))


@pytest.mark.parametrize("text", ["", "  ", "\n", "!?", "nowhere.toml"])
def test_bad_concepts_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="CONCEPT"):
        load_concept(text)


def test_prompt_files(tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_bytes("\ufeff# kept\na cat\n\n  a dürer print \na cat\n".encode())
    assert read_prompts(file) == ("a cat", "a dürer print")
    file.write_bytes("a dürer print\n".encode("latin-1"))
    with pytest.raises(UsageError, match=r"--forget-prompts: .*mine\.txt is not UTF-8"):
        read_prompts(file, "--forget-prompts")
    file.write_text("# nothing\n\n")
    with pytest.raises(UsageError, match="holds no prompt"):
        read_prompts(file)
    with pytest.raises(UsageError, match="no such file"):
        read_prompts(tmp_path / "other.txt")
    with pytest.raises(UsageError, match="cannot read"):
        read_prompts(tmp_path)


# Articles are left out: a concept called "a" is its own article.
words = st.lists(st.text("bcdefghijy", min_size=1, max_size=5), min_size=1, max_size=3)


@given(parts=words, before=words, after=words, joint=st.sampled_from([" ", "-", "_", "  "]))
def test_replacing_leaves_no_trace(
    parts: list[str], before: list[str], after: list[str], joint: str
) -> None:
    """A named concept is found however it is joined, and nothing names it once it is replaced."""
    label = " ".join(parts)
    prompt = f"{' '.join(before)} a {joint.join(parts).upper()}, {' '.join(after)}"
    assert names_any(prompt, [label])
    replaced = replace_words(prompt, [label], "apple")
    assert "an apple" in replaced
    assert not names_any(replaced, [label])
