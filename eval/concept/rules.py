"""The bars of an erasure, and the rules that a verdict on a concept follows: the page prints both.

A bar is met by the point estimate.
"""

from eval.concept.kept import NEAR_CHANCE
from eval.control.collapse import MOST, SAME, SAME_ALONE, UNLIKE
from eval.verdict.verdict import Rules

ERASED_UA = 97.0
"""Percent of the forget prompts' images that must no longer be the concept."""
KEPT_FALL = 3.0
"""Percentage points that ira and cra may fall."""
HARDLY_DRAWN_UA = 50.0
"""The original's own ua from which there was little to erase."""
RULES = Rules(
    decide=(
        "Not measured: there is no evaluation with a result, or the judge recognises the original "
        f"model's own images hardly better than chance (within {100 * NEAR_CHANCE:g} % of the way "
        "from chance to 100 %).",
        "Collapsed: ira or cra is as near to chance, or less than half of the original's; where "
        f"neither was measured, control images say so: {MOST:g} % or more are one flat colour, "
        "different prompts give nearly the same picture (less than "
        f"{100 * SAME:g} % of the original's variety; without an original, {SAME_ALONE:g} % of the "
        "range of colours), or images are nearer to the original's of their own prompt than to "
        f"that of another in less than {UNLIKE:g} % (chance: 50 %). A model that draws nothing "
        "right has erased nothing in particular, whatever its ua.",
        f"Hardly drawn before: the original's own ua is {HARDLY_DRAWN_UA:g} % or more.",
        f"Not erased: ua is below {ERASED_UA:g} %.",
        f"Erased, with damage: ua is {ERASED_UA:g} % or more, but ira or cra fell by more than "
        f"{KEPT_FALL:g} points.",
        "Erased, rest unproven: there is no original to compare with, or ira or cra was not "
        "measured.",
    ),
    last=(
        f"Erased: ua is {ERASED_UA:g} % or more, and neither ira nor cra fell by more than "
        f"{KEPT_FALL:g} points. near and substitute are told beside it and decide nothing.",
    ),
)
