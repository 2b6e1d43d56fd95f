"""Do a model's parts fit each other? Asked of their configs, before any weights are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from erase.models.architectures.architecture import Config
from erase.models.model_source import ModelSource
from plumbing.errors import UsageError
from plumbing.json_file import read_object


def require_fit(source: ModelSource, tokenizers: Mapping[str, Any]) -> None:
    """Refuse, as a UsageError, parts of which one cannot take what another gives.

    `tokenizers` are loaded, by their parts' names, and may be of more tokens than their text
    encoder has positions for, or say nothing of it, as in old folders: they then cut prompts where
    the text encoder ends, whoever asks them.
    """
    parts = [part for part in source.architecture.parts if source.architecture.layout(part)]
    configs = {part: _config(source, part) for part in parts}
    problems = list(_tokens(tokenizers, configs))
    lengths = {part: {"tokens": each.model_max_length} for part, each in tokenizers.items()}
    for problem in (*problems, *source.architecture.misfits({**configs, **lengths})):
        raise UsageError(f"--model {source.id}: {problem}")


def _config(source: ModelSource, part: str) -> Config:
    """A part's config.json with what its class takes for what it does not say."""
    kind = source.architecture.kind(part)
    own = part == source.architecture.denoiser
    folder = source.denoiser_folder if own else source.folder / part
    if hasattr(kind, "config_class"):
        return kind.config_class.from_pretrained(folder, local_files_only=True).to_dict()
    return source.architecture.config(part, read_object(folder / "config.json"))


def _tokens(tokenizers: Mapping[str, Any], configs: Mapping[str, Config]) -> Iterator[str]:
    for part, tokenizer in tokenizers.items():
        encoder = part.replace("tokenizer", "text_encoder")
        config = configs.get(encoder, {})
        if positions := config.get("max_position_embeddings"):
            tokenizer.model_max_length = min(tokenizer.model_max_length, positions)
        last = max(tokenizer.get_vocab().values(), default=0)
        known = config.get("vocab_size", last + 1)
        if last >= known:
            yield (
                f"its {part} has {last + 1:,} tokens and its {encoder} embeds {known:,}; get the "
                "one that belongs to the other, or resize the embedding"
            )
