"""Train a small CLIPModel on (render, caption) with its own byte-level BPE vocabulary.

A batch holds several renders that fit one caption ("a church" fits churches in every style), so
the targets are spread over all the fitting pairs (unified contrastive learning, arXiv 2204.03610)
instead of the diagonal alone.
"""

from __future__ import annotations

import json
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPProcessor, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from miniature.training import as_pixels, draw, fit
from miniature.world import OBJECTS, STYLES, Caption, caption

STEPS, BATCH, LR = 1500, 128, 1e-3
VOCABULARY, MAX_TOKENS, WIDTH = 1024, 24, 128
MEAN, STD = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)


def load_tokenizer(folder: Path) -> CLIPTokenizer:
    """The tokenizer of this making, trained once: a second training numbers tokens otherwise."""
    if not (folder / "tokenizer.json").exists():
        new_tokenizer().save_pretrained(folder)
    return CLIPTokenizer.from_pretrained(folder)


def new_tokenizer() -> CLIPTokenizer:
    """Train byte-level BPE on captions, in the layout of the original CLIP vocabulary.

    Letters that end a word get their numbers in no fixed order: never train it twice.
    """
    rng = random.Random(0)
    corpus = [caption(o, s, rng).text for o in OBJECTS for s in STYLES for _ in range(20)]
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = CLIPTokenizer().backend_tokenizer.pre_tokenizer
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - 2,
        end_of_word_suffix="</w>",
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    vocabulary = tokenizer.get_vocab()
    for letter in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary.setdefault(f"{letter}</w>", len(vocabulary))
    for special in ("<|startoftext|>", "<|endoftext|>"):
        vocabulary[special] = len(vocabulary)
    merges = [tuple(pair) for pair in tokenizer_merges(tokenizer)]
    return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=MAX_TOKENS)


def tokenizer_merges(tokenizer: Tokenizer) -> list[list[str]]:
    """The merge rules of a trained BPE tokenizer, in order."""
    return json.loads(tokenizer.to_str())["model"]["merges"]


def new_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """Two four-layer towers, 128 wide; pictures in 8x8 patches."""
    tower = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
    }
    config = CLIPConfig(
        text_config=tower
        | {
            "vocab_size": len(tokenizer),
            "max_position_embeddings": MAX_TOKENS,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
        },
        vision_config=tower | {"image_size": 64, "patch_size": 8},
        projection_dim=128,
        logit_scale_init_value=2.6592,
        attn_implementation="eager",  # the fused kernel's CPU backward is several times slower
    )
    return CLIPModel(config)


def tokenize(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Token ids [B, 24], padded as the diffusers pipeline pads them."""
    return tokenizer(
        captions, padding="max_length", truncation=True, max_length=MAX_TOKENS, return_tensors="pt"
    ).input_ids


def fits(captions: list[Caption], objects: Tensor, styles: Tensor) -> Tensor:
    """Whether a caption (row) says nothing false of a render (column): bool [B, B]."""
    free_object = torch.tensor([not c.names_object for c in captions])[:, None]
    free_style = torch.tensor([not c.names_style for c in captions])[:, None]
    same_object = free_object | (objects[:, None] == objects[None])
    return same_object & (free_style | (styles[:, None] == styles[None]))


def contrastive_loss(logits: Tensor, fit: Tensor) -> Tensor:
    """Cross-entropy of captions to pictures and back, spread evenly over all fitting pairs."""
    to_pictures = fit / fit.sum(1, keepdim=True)
    to_captions = fit.T / fit.T.sum(1, keepdim=True)
    return (F.cross_entropy(logits, to_pictures) + F.cross_entropy(logits.T, to_captions)) / 2


class NamingHeads(nn.Module):
    """A CLIP in training: both towers' embeddings are also told apart by object and by style.

    The heads are shared by the towers and discarded afterwards (docs/decisions.md).
    """

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.clip = clip
        self.objects = nn.Linear(clip.config.projection_dim, len(OBJECTS))
        self.styles = nn.Linear(clip.config.projection_dim, len(STYLES))

    def naming_loss(
        self, embeddings: Tensor, objects: Tensor, styles: Tensor, names: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Cross-entropy of the objects and styles that are named: embeddings [B, 128]."""
        scaled = 16 * embeddings.float()
        by_object = F.cross_entropy(self.objects(scaled), objects, reduction="none")
        by_style = F.cross_entropy(self.styles(scaled), styles, reduction="none")
        return (by_object * names[0] + by_style * names[1]).mean()

    def forward(
        self, tokens: Tensor, images: Tensor, captions: list[Caption], labels: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Contrastive loss of a batch plus the naming losses of both towers."""
        with torch.autocast("cpu", torch.bfloat16):
            output = self.clip(input_ids=tokens, pixel_values=images)
        named = (
            torch.tensor([float(c.names_object) for c in captions]),
            torch.tensor([float(c.names_style) for c in captions]),
        )
        always = (torch.ones(len(captions)),) * 2
        contrast = contrastive_loss(output.logits_per_text.float(), fits(captions, *labels).float())
        return (
            contrast
            + self.naming_loss(output.text_embeds, *labels, named)
            + self.naming_loss(output.image_embeds, *labels, always)
        )


def train_clip(
    pixels: Tensor, objects: Tensor, styles: Tensor, state: Path, share: float = 1.0
) -> tuple[CLIPModel, CLIPTokenizer]:
    """Train both towers on renders: uint8 [N, 64, 64, 3], their objects and styles [N]."""
    torch.manual_seed(0)
    tokenizer = load_tokenizer(state.with_name("tokenizer"))
    model = NamingHeads(new_clip(tokenizer))
    style_names = list(STYLES)

    def loss(generator: torch.Generator) -> Tensor:
        rows = draw(len(pixels), BATCH, generator)
        rng = random.Random(int(rows[0]) + 7919 * int(rows[1]))
        labels = objects[rows], styles[rows]
        captions = [
            caption(OBJECTS[o], style_names[s], rng)
            for o, s in zip(*(part.tolist() for part in labels), strict=True)
        ]
        tokens = tokenize(tokenizer, [c.text for c in captions])
        return model(tokens, as_pixels(pixels[rows]), captions, labels)

    fit(model, loss, state=state, steps=STEPS, lr=LR, share=share)
    return model.clip, tokenizer


@torch.inference_mode()
def zero_shot_accuracy(
    clip: CLIPModel, tokenizer: CLIPTokenizer, pixels: Tensor, targets: Tensor, prompts: list[str]
) -> float:
    """Share of pictures whose nearest prompt is the right one, in percent."""
    tokens = tokenize(tokenizer, prompts)
    hits = [
        clip(input_ids=tokens, pixel_values=as_pixels(rows)).logits_per_image.argmax(1) == wanted
        for rows, wanted in zip(pixels.split(256), targets.split(256), strict=True)
    ]
    return 100 * torch.cat(hits).double().mean().item()


def save_clip(clip: CLIPModel, tokenizer: CLIPTokenizer, folder: Path) -> None:
    """Write the two-tower model with its processor (pictures need no torchvision)."""
    processor = CLIPProcessor(
        CLIPImageProcessorPil(
            do_resize=True, size={"shortest_edge": 64}, crop_size=64, image_mean=MEAN, image_std=STD
        ),
        tokenizer,
    )
    clip.save_pretrained(folder)
    processor.save_pretrained(folder)
