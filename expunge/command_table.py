"""Every command: what it does, its flags, its function."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Command:
    """One command of the table below."""

    summary: str
    """What `expunge --help` says of it."""
    settings: str
    """`module:class` of its flags in expunge.settings, or a function of its words that gives it."""
    run: str
    """`module:function` in expunge.commands that takes the settings and does the work."""


COMMANDS: dict[tuple[str, ...], Command] = {
    ("erase",): Command(
        "erase concepts from a model, write a run folder",
        "erase:erase_command",
        "erase:run",
    ),
    ("mask",): Command(
        "build the saliency mask alone, show where it lies",
        "erase:Mask",
        "mask:run",
    ),
    ("evaluate", "concept"): Command(
        "does the model still draw it, and what else changed?",
        "evaluate:EvaluateConcept",
        "evaluate_concept:run_concept",
    ),
    ("evaluate", "attack"): Command(
        "can it be brought back? words, prompts, embeddings, completion, fine-tuning",
        "evaluate_attack:EvaluateAttack",
        "evaluate_attack:run",
    ),
    ("evaluate", "i2p"): Command(
        "how much nudity do images of I2P's prompts show?",
        "evaluate_i2p:EvaluateI2P",
        "evaluate_i2p:run",
    ),
    ("evaluate", "quality"): Command(
        "are other prompts still drawn as well as before?",
        "evaluate:EvaluateQuality",
        "evaluate_quality:run",
    ),
    ("report",): Command(
        "one page on a run: verdict, images, figures, origin",
        "report:Report",
        "report:run",
    ),
    ("compare",): Command(
        "several runs side by side: erased, attacked, kept, spent, and the frontier",
        "compare:Compare",
        "compare:run",
    ),
    ("export",): Command(
        "write the erased model as other tools take it, or what changed as one small file",
        "export:Export",
        "export:run",
    ),
    ("apply",): Command(
        "make the erased model of a base and a delta or LoRA",
        "apply:Apply",
        "apply:run",
    ),
    ("undo",): Command(
        "take a delta back: the base again, bit for bit",
        "apply:Undo",
        "undo:run",
    ),
    ("verify",): Command(
        "check a run's hashes, and that nothing changed but the mask's weights",
        "verify:Verify",
        "verify:run",
    ),
    ("classification",): Command(
        "SalUn and its rivals on a classifier, against training anew",
        "classification:Classification",
        "classification:run",
    ),
    ("demo",): Command(
        "erase church from the shipped miniature, in minutes",
        "erase:Demo",
        "demo:run",
    ),
}
