"""Whether a run can teach a model anything: refused or told of before it is trained for nothing."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from erase.models.bundle import Bundle
from erase.training.step_log import StepRow
from expunge.runs.plan import Plan
from expunge.runs.relabels import CHOSEN
from plumbing.errors import UsageError
from plumbing.text_file import require_plain
from prompts.naming import fold
from prompts.wording import replace_words

log = logging.getLogger(__name__)
_OTHERS = ("thing", "place")
_SAME = 1e-5
"""Embeddings nearer than this are of the same tokens, encoded elsewhere in a batch."""
_STEPS = 5
"""After as many without any loss there is nothing to be learned."""
_AT_ONCE = 64
_KEPT = ("retain", "prior")
"""Losses on what is to stay."""


def drop_unread(sd: Bundle, plan: Plan) -> Plan:
    """The plan without forget prompts whose concept comes after the last token that is read.

    How many they are is said; UsageError if no other is left.
    """
    captions, data = plan.captions.get("forget"), plan.data
    texts = tuple(captions.values()) if captions else plan.concept.forget_prompts
    unread = _unread(sd, plan, texts)
    if not unread:
        return plan
    left, noun, where = sum(text in unread for text in texts), "prompts", "CONCEPT"
    if captions:
        noun, where = "captions", f"--forget-data {data.forget_data}"
    elif data.forget_prompts:
        where = f"--forget-prompts {data.forget_prompts}"
    told = (
        f"{where}: {left} of {len(texts)} {noun} name {plan.concept.name} only after the last of "
        f"the {_length(sd)} tokens that the text encoder reads"
    )
    if left == len(texts):
        raise UsageError(f"{told}, so there is nothing to learn; name it at their beginning")
    log.warning("%s: left out", told)
    if captions:
        kept = {path: text for path, text in captions.items() if text not in unread}
        return replace(plan, captions={**plan.captions, "forget": kept})
    kept = tuple(text for text in texts if text not in unread)
    return replace(plan, concept=replace(plan.concept, forget_prompts=kept))


def _length(sd: Bundle) -> int:
    return sd.encode(("",)).embeddings.shape[1]


def _unread(sd: Bundle, plan: Plan, texts: Iterable[str]) -> set[str]:
    """Those that read the same with another word for the concept."""
    # A token stands for a byte at least, and two for the beginning and the end.
    short = _length(sd) - 2
    long = [t for t in dict.fromkeys(texts) if len(t.encode("utf-8", "replace")) > short]
    named = [text for text in long if plan.concept.named_in(text)]
    other_word = next((word for word in _OTHERS if not plan.concept.named_in(word)), _OTHERS[0])
    found = set()
    for start in range(0, len(named), _AT_ONCE):
        some = named[start : start + _AT_ONCE]
        others = [replace_words(text, plan.concept.labels, other_word) for text in some]
        own, other = sd.encode((*some, *others)).embeddings.chunk(2)
        same = (own - other).abs().amax(dim=(1, 2)) < _SAME
        found |= {text for text, alike in zip(some, same.tolist(), strict=True) if alike}
    return found


def require_relabel(sd: Bundle, plan: Plan, relabel: str, flag: str = "--relabel") -> None:
    """Refuse, as a UsageError, to relabel the concept to itself, or to what the model reads as it.

    `relabel` is a way to choose one, or a prompt; it was given by the `flag`.
    """
    if relabel in CHOSEN and relabel != "fixed":
        return
    concept, captions = plan.concept, plan.captions.get("forget", {})
    forgotten = tuple(dict.fromkeys(captions.values())) or concept.forget_prompts
    prompt = concept.fixed_relabel_prompt if relabel == "fixed" else relabel.strip()
    require_plain(flag, prompt)
    if concept.named_in(prompt) or fold(prompt) in map(fold, forgotten):
        raise UsageError(
            f"{flag} {prompt!r} is {concept.name} itself, which would stay as it is; "
            "give a prompt of another thing"
        )
    embeddings = sd.encode((prompt, *forgotten)).embeddings
    if (embeddings[1:] - embeddings[:1]).abs().max() < _SAME:
        raise UsageError(
            f"{flag} {prompt!r} and each forget prompt are one to the text encoder, which reads "
            f"{_length(sd)} tokens: there is nothing to learn; put what differs at their beginning"
        )


def require_effect(rows: Sequence[StepRow], steps: int) -> None:
    """End, by a UsageError, a training that has taught nothing: every loss of it is exactly 0.

    Losses on what is to be kept do not count: a model that has not changed yet has none.
    """
    if len(rows) != min(_STEPS, steps):
        return
    taught = [loss for row in rows for name, loss in row.losses.items() if name not in _KEPT]
    if taught and not any(taught):
        raise UsageError(
            f"after {len(rows)} steps the loss is exactly 0: to this model the forget prompts and "
            "what takes their place are one; give others, by --forget-prompts for one"
        )
