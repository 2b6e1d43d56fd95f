"""English plurals: what several of a word are called, and what a word may be the plural of.

A small set of rules and the commonest exceptions. A form too many does no harm to finding a name,
as long as it is not a word of its own.
"""

import re
from functools import lru_cache

_ENDINGS = {
    "man": "men",
    "person": "people",
    "child": "children",
    "foot": "feet",
    "tooth": "teeth",
    "goose": "geese",
    "mouse": "mice",
    "ox": "oxen",
    "die": "dice",
    "cactus": "cacti",
    "octopus": "octopi",
    "fungus": "fungi",
    "wolf": "wolves",
    "elf": "elves",
    "leaf": "leaves",
    "loaf": "loaves",
    "half": "halves",
    "calf": "calves",
    "thief": "thieves",
    "knife": "knives",
    "wife": "wives",
    "life": "lives",
    "scarf": "scarves",
    "hoof": "hooves",
    "dwarf": "dwarves",
}
"""Of words and of what is made of them, such as snowman and bookshelf."""
_PLURAL_ALONE = re.findall(
    r"\w+",
    """
    glasses sunglasses eyeglasses spectacles goggles binoculars scissors pliers tweezers
    clothes trousers pants shorts jeans tights leggings overalls briefs boxers pyjamas
    pajamas slacks blues woods goods arms means customs stairs headquarters
    """,
)
"""Plurals that mean another thing than their singular."""
_SINGULAR_ALONE = re.findall(
    r"\w+",
    """
    news series species lens atlas canvas christmas pancreas alias bias chaos cosmos texas
    kansas dallas mars james charles thomas hermes moses
    """,
)
"""Words that end as plurals do, and are none."""
_ALONE = frozenset((*_PLURAL_ALONE, *_SINGULAR_ALONE))


@lru_cache(maxsize=4096)
def plurals(word: str) -> frozenset[str]:
    """What several of a word in small letters may be called."""
    if not word.isascii() or not word[-1:].isalnum():
        return frozenset()
    found = set() if word.endswith("s") else {f"{word}s"}
    if word.endswith(("s", "x", "z", "ch", "sh", "o")):
        found.add(f"{word}es")
    if len(word) > 2 and word.endswith("y"):
        found.add(f"{word[:-1]}ies")
    found |= {word.removesuffix(one) + many for one, many in _ENDINGS.items() if word.endswith(one)}
    return frozenset(found)


@lru_cache(maxsize=4096)
def singulars(word: str) -> frozenset[str]:
    """The words that a word in small letters may be the plural of; mostly none."""
    found = {word.removesuffix(many) + one for one, many in _ENDINGS.items() if word.endswith(many)}
    if len(word) > 3 and not word.endswith("ss") and word not in _ALONE:
        stems = (word[:-1], word[:-2], f"{word[:-3]}y")
        found |= {stem for stem in stems if len(stem) > 2 and word in plurals(stem)}
    return frozenset(found)


def variants(word: str) -> frozenset[str]:
    """A word in small letters, its plurals, and the words that it may be the plural of."""
    single = singulars(word)
    return frozenset({word, *plurals(word), *single}).union(*map(plurals, single))


def is_plural(word: str) -> bool:
    """Whether a word in small letters takes no `a`, as far as its end tells."""
    if word in _PLURAL_ALONE or word in _ENDINGS.values():
        return True
    return word.endswith("s") and not word.endswith(("us", "is")) and bool(singulars(word))
