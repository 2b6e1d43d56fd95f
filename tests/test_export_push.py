"""Uploading to the hub: the real client against a small server on this machine, and the refusals.

The server answers as the hub does to the client's requests for small files; large ones go to a
storage of the hub's own, which is not played here.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from support.erased_runs import erase
from support.files import tree
from support.verified_files import export

from erase.models.hub import push_folder
from plumbing.errors import UsageError
from plumbing.privacy import public, require_public

PUSH = """
import sys
from pathlib import Path
from erase.models.hub import push_folder
from plumbing.errors import UsageError
try:
    print(push_folder(Path(sys.argv[1]), sys.argv[2], private=sys.argv[3] == "private"))
except UsageError as error:
    sys.exit(f"refused: {error}")
"""
TOKEN = "made-up-for-this-test"


@dataclass
class Hub:
    """What the server was asked for, and how it answers."""

    address: str = ""
    status: int = 200
    private: bool = True
    """Of the repository that is there."""
    created: list[dict[str, Any]] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    tokens: set[str | None] = field(default_factory=set)


@pytest.fixture
def hub() -> Iterator[Hub]:
    """A server on a free port of this machine."""
    state = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            state.tokens.add(self.headers.get("Authorization"))
            self.reply(answer(self.path, body))

        def do_GET(self) -> None:
            told = {"id": "me/it", "sha": "0" * 40, "siblings": []}
            self.reply({**told, "private": state.private})

        def reply(self, value: dict[str, Any]) -> None:
            text = json.dumps(value if state.status == 200 else {"error": "no"}).encode()
            self.send_response(state.status)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *words: object) -> None:
            pass

    def answer(path: str, body: bytes) -> dict[str, Any]:
        if path.endswith("/repos/create"):
            state.created.append(json.loads(body))
            return {"url": f"{state.address}/me/it"}
        if "/preupload/" in path:
            files = [file["path"] for file in json.loads(body)["files"]]
            kind = {"uploadMode": "regular", "shouldIgnore": False}
            return {"files": [{"path": name, **kind} for name in files]}
        if "/commit/" in path:
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    value = line["value"]
                    state.files[value["path"]] = base64.b64decode(value["content"])
            return {"commitOid": "0" * 40, "commitUrl": f"{state.address}/me/it/commit/0"}
        return {"errors": [], "warnings": []}

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield state
    server.shutdown()


def push(
    folder: Path,
    home: Path,
    address: str,
    *,
    token: str | None = TOKEN,
    kind: str = "open",
    words: Sequence[str] = (),
):
    """`push_folder`, or a command, in a process of its own: the client reads settings at import."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    told = {"HOME": str(home), "HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1"}
    told |= {"HF_TOKEN": token} if token else {}
    code = ["-m", "expunge", *words] if words else ["-c", PUSH, str(folder), "me/it", kind]
    return subprocess.run(
        [sys.executable, *code], env=kept | told, capture_output=True, text=True, timeout=120
    )


@pytest.fixture(scope="module")
def pipeline(model_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported pipeline of a run that was given the user's own files."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "keep.txt").write_text("a dog\nan apple\n")
    run = erase(model_folder, folder / "run", "--retain-prompts", str(folder / "keep.txt"))
    return export(run, folder / "pipeline", "pipeline")


@pytest.mark.parametrize("kind", ["open", "private"])
def test_a_folder_arrives_whole(kind: str, pipeline: Path, tmp_path: Path, hub: Hub) -> None:
    done = push(pipeline, tmp_path, hub.address, kind=kind)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"{hub.address}/me/it"
    (created,) = hub.created
    assert created["name"] == "it" and created["organization"] == "me"
    assert created["visibility"] == {"open": "public"}.get(kind, kind)
    assert hub.files == tree(pipeline) and len(hub.files) > 10
    assert hub.tokens == {f"Bearer {TOKEN}"}


def test_the_command_exports_and_pushes_and_asks_for_the_login_first(
    pipeline: Path, tmp_path: Path, hub: Hub
) -> None:
    words = ["export", str(pipeline.parent / "run"), "--to", str(tmp_path / "copy")]
    words += ["--push-to-hub", "me/it", "--private"]
    done = push(pipeline, tmp_path, hub.address, token=None, words=words)
    assert done.returncode == 2 and "not logged in" in done.stderr
    assert not (tmp_path / "copy").exists()
    done = push(pipeline, tmp_path, hub.address, words=words)
    assert done.returncode == 0, done.stderr
    assert f"pushed  {hub.address}/me/it" in done.stdout
    assert hub.files == tree(tmp_path / "copy")


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "does not know your token"), (403, "may not write there"), (500, "answered 500")],
)
def test_what_the_hub_refuses(
    status: int, said: str, pipeline: Path, tmp_path: Path, hub: Hub
) -> None:
    hub.status = status
    done = push(pipeline, tmp_path, hub.address)
    assert done.returncode == 1 and not hub.files
    assert done.stderr.splitlines()[-1].startswith("refused: --push-to-hub me/it")
    assert said in done.stderr and "`hf auth login`" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_public_repository_does_not_get_what_is_to_be_private(
    pipeline: Path, tmp_path: Path, hub: Hub
) -> None:
    """The hub leaves a repository that is there as public as it was."""
    hub.private = False
    done = push(pipeline, tmp_path, hub.address, kind="private")
    assert "is there already and public" in done.stderr and not hub.files
    assert push(pipeline, tmp_path, hub.address).returncode == 0 and hub.files


def test_no_network_no_login_no_name(pipeline: Path, tmp_path: Path, hub: Hub) -> None:
    done = push(pipeline, tmp_path, "http://127.0.0.1:9")
    assert "the hub was not reached" in done.stderr and "`hf auth login`" in done.stderr
    done = push(pipeline, tmp_path, hub.address, token=None)
    assert "not logged in to the hub; run `hf auth login`" in done.stderr
    assert not hub.created
    with pytest.raises(UsageError, match="no OWNER/NAME"):
        push_folder(pipeline, "it", private=True)


def test_offline_is_refused(pipeline: Path) -> None:
    """The tests run with HF_HUB_OFFLINE=1, so this is the real refusal; see conftest.py."""
    with pytest.raises(UsageError, match=r"HF_HUB_OFFLINE is set.*unset it.*hf auth login"):
        push_folder(pipeline, "me/it", private=False)


def test_an_export_tells_of_no_place(pipeline: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of the base, nor of the run, nor of what the user gave."""
    monkeypatch.setenv("HOME", str(pipeline.parent))
    require_public(pipeline)
    base = str(pipeline.parents[1]).encode()
    for name, content in tree(pipeline).items():
        assert base not in content, name


def test_a_text_that_tells_of_the_home_is_not_pushed(
    pipeline: Path, tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "ada"
    home.mkdir()
    config = pipeline / "vae" / "config.json"
    before = config.read_text()
    monkeypatch.setenv("HOME", str(home))
    try:
        told = json.loads(before) | {"_name_or_path": str(home / "models" / "tiny")}
        config.write_text(json.dumps(told))
        done = push(pipeline, home, hub.address)
        assert f"refused: {config}: tells of {home}" in done.stderr and not hub.created
        config.write_text(json.dumps(json.loads(before) | {"note": "hf_" + "a" * 34}))
        with pytest.raises(UsageError, match="access token"):
            require_public(pipeline)
    finally:
        config.write_text(before)
    weights = tmp_path / "weights"
    weights.mkdir()
    source = pipeline / "vae" / "diffusion_pytorch_model.safetensors"
    save_file(load_file(source), weights / "it.safetensors", metadata={"from": f"{home}/x"})
    with pytest.raises(UsageError, match="tells of"):
        require_public(weights)


def test_public_keeps_names_alone() -> None:
    value = {"a": ["/home/ada/x.txt", "b/c", 1, None], "d": {"e": "/data/models/tiny"}}
    assert public(value) == {"a": ["x.txt", "b/c", 1, None], "d": {"e": "tiny"}}
