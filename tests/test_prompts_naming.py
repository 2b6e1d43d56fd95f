"""Names, however they are written: what finds a concept, what a prompt names, what it does not."""

import hashlib
import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import asdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from erase.models.companions import vocabulary
from erase.models.locate import locate
from plumbing.errors import UsageError
from prompts.concept import Vocabulary, combine, load_concept
from prompts.concept_file import read_concept_file, shipped_concepts
from prompts.naming import fold, named_labels, names_any, normalise
from prompts.plurals import plurals, singulars
from prompts.wording import replace_words

FILES = {stem: read_concept_file(path) for stem, path in shipped_concepts().items()}
SPELLINGS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "capitals": str.upper,
    "title": str.title,
    "quotes": lambda name: f"\u201c{name}\u201d",
    "blanks": lambda name: f"  {name.replace(' ', chr(0xA0))} ",
    "underscores": lambda name: name.replace(" ", "_"),
    "hyphens": lambda name: name.replace(" ", "\u2011"),
    "fullwidth": lambda name: "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in name),
}
SCRIPTS = (
    "church", "van gogh", "caf\xe9", "\xe9glise", "\u0130stanbul", "Stra\xdfe",
    "\u0141\xf3d\u017a", "\u0446\u0435\u0440\u043a\u043e\u0432\u044c",
    "\u039f\u0394\u039f\u03a3", "\u05db\u05e0\u05e1\u05d9\u05d9\u05d4",
    "\u0643\u0646\u064a\u0633\u0629", "\u092e\u0902\u0926\u093f\u0930", "\u6559\u5802",
    "\u30ac\u30e9\u30b9", "\uad50\ud68c", "\u0e42\u0e1a\u0e2a\u0e16\u0e4c", "\u26ea",
    "bird's eye", "ice-cream",
)  # fmt: skip
FORMS: tuple[Callable[[str], str], ...] = (
    str,
    str.upper,
    str.lower,
    lambda name: unicodedata.normalize("NFD", name),
    lambda name: unicodedata.normalize("NFC", name),
    lambda name: name.replace("'", "\u2019").replace("-", "\u2013"),
)
NO_BLANKS = ("\u6559\u5802", "\u30ac\u30e9\u30b9", "\uad50\ud68c", "\u0e42\u0e1a\u0e2a\u0e16\u0e4c")


@pytest.mark.parametrize("how", SPELLINGS)
def test_every_word_that_a_shipped_file_lists_finds_it(how: str) -> None:
    for stem, file in FILES.items():
        for word in (file.name, *file.synonyms):
            spec = load_concept(SPELLINGS[how](word))
            assert (spec.source, spec.kind) == (f"shipped:{stem}", file.kind), word
            assert spec.detector == file.detector
            assert set(spec.labels) == {file.name, *file.synonyms}
            assert spec.forget_prompts == (file.forget or spec.forget_prompts)


@pytest.mark.parametrize(
    ("text", "stem"),
    [
        ("churches", "church"),
        ("a church", "church"),
        ("the churches", "church"),
        ("The Church's", "church"),
        ("cathedrals", "church"),
        ("puppies", "dog"),
        ("the nudes", "nudity"),
        ("murders", "violence"),
        ("starry night", "van gogh"),
        ("in the style of Vincent van Gogh", "van gogh"),
        ("style of van-gogh", "van gogh"),
        ("Vincent Van Gogh\u2019s style", "van gogh"),
        ("van_gogh_style", "van gogh"),
        ("a painting by Van Gogh", "van gogh"),
    ],
)
def test_plurals_articles_and_words_for_a_style(text: str, stem: str) -> None:
    spec = load_concept(text)
    assert spec.source == f"shipped:{stem}"
    assert FILES[stem].name not in " ".join((*spec.retain_prompts, *spec.relabel_prompts))


@pytest.mark.parametrize(
    "text", ["churchill", "churchyard", "snake", "dogma", "chap", "goghs", "bloodhound", "hounded"]
)
def test_what_is_merely_near_is_another_thing(text: str) -> None:
    spec = load_concept(text)
    assert spec.source == "free text" and spec.name == text
    for file in FILES.values():
        assert not names_any(f"a photo of a {text}", (file.name, *file.synonyms))


def test_labels_of_a_model_are_found_likewise() -> None:
    words = Vocabulary(("snake", "glasses", "fuel pump", "wolf", "English springer"), ("flat",))
    for text, label in (
        ("Snakes", "snake"),
        ("the fuel-pumps", "fuel pump"),
        ("wolves", "wolf"),
        ("flat style", "flat"),
        # The model's own word is nearer than a synonym of the shipped dog.
        ("english springers", "English springer"),
    ):
        spec = load_concept(text, words)
        assert (spec.name, spec.source) == (label, "free text")
        assert len(spec.forget_prompts) >= 5 and all(label in p for p in spec.forget_prompts)
        assert not any(label in p for p in (*spec.retain_prompts, *spec.relabel_prompts))
    assert named_labels(["glass"], words.objects) == ()
    assert named_labels(["cloth"], ("cloth", "clothes")) == ("cloth",)
    assert named_labels(["church building"], ("church, church building", "church bell")) == (
        "church, church building",
    )


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("a french horn", "a photo of a french horn"),
        ("an owl", "a photo of an owl"),
        ("The Eiffel Tower", "a photo of The Eiffel Tower"),
        ("french horns", "a photo of french horns"),
        ("sunglasses", "a photo of sunglasses"),
        ("school bus", "a photo of a school bus"),
        ("iris", "a photo of an iris"),
        ("\u00c9glise", "a photo of an \u00c9glise"),
        ("\u0130stanbul", "a photo of an \u0130stanbul"),
        ("\u26ea", "a photo of a \u26ea"),
    ],
)
def test_free_text_gets_the_article_it_takes(name: str, prompt: str) -> None:
    spec = load_concept(name)
    assert prompt in spec.forget_prompts and all(map(spec.named_in, spec.forget_prompts))


@pytest.mark.parametrize("text", ["", " ", "\u3000", "?!", "''", "\u201c\u201d", "--", "\u200b"])
def test_a_name_says_something(text: str) -> None:
    with pytest.raises(UsageError, match="CONCEPT is empty"):
        load_concept(text)


@pytest.mark.parametrize(
    ("one", "many"),
    [
        ("church", "churches"), ("dog", "dogs"), ("fox", "foxes"), ("wolf", "wolves"),
        ("person", "people"), ("knife", "knives"), ("mouse", "mice"), ("puppy", "puppies"),
        ("movie", "movies"), ("horse", "horses"), ("shoe", "shoes"), ("taxi", "taxis"),
        ("bus", "buses"), ("snowman", "snowmen"), ("bookshelf", "bookshelves"), ("key", "keys"),
    ],
)  # fmt: skip
def test_plurals(one: str, many: str) -> None:
    assert many in plurals(one) and one in singulars(many)
    for name, prompt in ((one, f"two {many}!"), (many, f"one {one}!")):
        assert names_any(prompt, [name])


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("glasses", "a glass"), ("princess", "two princes"), ("bees", "to be"), ("canes", "a can"),
        ("caves", "a caf\u00e9"), ("news", "a new car"), ("bras", "a brass bell"),
        ("axes", "an ax-1b"),
        ("gas", "ga"), ("pants", "it pant"), ("\u30ab\u30e9", "\u30ac\u30e9\u30b9"),
        ("\uac1c", "\uac1d\uc2e4"),
    ],
)  # fmt: skip
def test_no_other_word_counts_as_a_plural(name: str, prompt: str) -> None:
    assert not names_any(prompt, [name])


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("\u00e9glise", "une e\u0301glise"),
        ("e\u0301glise", "l\u2019\u00e9glise rouge"),
        ("eglise", "UNE \u00c9GLISE"),
        ("\u6559\u5802", "\u4e00\u5ea7\u6559\u5802\u7684\u7167\u7247"),
        ("church", "\u4e00\u5ea7church\u7684\u7167\u7247"),
        ("\u30ac\u30e9\u30b9", "\u9752\u3044\uff76\uff9e\uff97\uff7d\u306e\u82b1\u74f6"),
        ("\uad50\ud68c", unicodedata.normalize("NFD", "\ud070 \uad50\ud68c\uc758 \uc0ac\uc9c4")),
        ("bird's eye", "a bird\u2019s\u00a0eye view"),
        ("\u26ea", "a\u26ea\ufe0f"),
        ("istanbul", "I\u0307STANBUL"),
        ("kap\u0131", "KAPI"),
        ("stra\u00dfe", "STRASSE"),
        ("church", "a chur\u00adch"),
        ("the rock", "a rock on a beach"),
    ],
)
def test_one_word_in_two_spellings(name: str, prompt: str) -> None:
    assert names_any(prompt, [name])


@settings(max_examples=60)
@given(
    name=st.sampled_from(SCRIPTS),
    spelled=st.sampled_from(FORMS),
    form=st.sampled_from(FORMS),
    before=st.sampled_from(["", "two ", "\u201c", "th\u00e9, ", "l\u2019", "x_"]),
    after=st.sampled_from(["", " and \u0130zmir", "\u201d", "'s", "_x", ", e\u0301t\u00e9"]),
)
def test_a_name_is_found_in_any_form_and_the_rest_is_left(
    name: str, spelled: Callable[[str], str], form: Callable[[str], str], before: str, after: str
) -> None:
    prompt = f"{before}{form(name)}{after}"
    assert names_any(prompt, [spelled(name)])
    assert replace_words(prompt, [spelled(name)], "tree") == f"{before}tree{after}"
    inside = names_any(f"x{form(name)}x", [spelled(name)])
    assert inside == (name in (*NO_BLANKS, "\u26ea"))


@settings(max_examples=60)
@given(st.text(max_size=30))
def test_folding_is_settled_and_harmless(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert fold(unicodedata.normalize("NFD", text)) == fold(unicodedata.normalize("NFC", text))
    assert names_any(text, [text]) or not re.search(r"[^\W_]", normalise(text))
    assert replace_words(text, ["church"], "x") == text


def test_what_contains_the_concept_but_is_another_label_is_kept() -> None:
    assert not names_any("a christmas tree", ["tree"], ["christmas tree"])
    assert names_any("a christmas tree by a tree", ["tree"], ["christmas tree"])
    assert names_any("blue clothes", ["clothes"], ["cloth"])


def test_one_concept_named_twice_is_one() -> None:
    once = load_concept("church")
    assert combine([once, load_concept("Churches"), load_concept("the church")]) is once


MINIATURE = "miniature"
HASHES = {
    "church": "b21f9abb c91a2060",
    "dog": "8f9d582b 8bf2d6a6",
    "nudity": "4aff8c89 75453025",
    "outline": "200688a1 06b75cd7",
    "van gogh": "88292537 a3856630",
    "violence": "7c0b00e7 894aa0be",
}


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_shipped_prompts_are_those_of_earlier_runs(name: str) -> None:
    """Their hash is a part of a run's identity: an unfinished run would not be gone on with."""
    found = []
    for words in (None, vocabulary(locate(MINIATURE))):
        told = asdict(load_concept(name, words))
        assert told.pop("probes"), "which nothing is trained on"
        text = json.dumps(told, sort_keys=True)
        found.append(hashlib.sha256(text.encode()).hexdigest()[:8])
    assert " ".join(found) == HASHES[name]
