"""Threads that wait sleep soon, unless the user has said how they are to wait."""

import os
import subprocess
import sys

import pytest

from plumbing.threads import SPINS, share_processors

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.mark.parametrize("name", [None, *NAMES])
def test_the_users_own_settings_stand(name: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for each in NAMES:
        # So that both are restored, whatever is set below.
        monkeypatch.setenv(each, "")
        monkeypatch.delenv(each)
    if name:
        monkeypatch.setenv(name, "7")
    share_processors()
    found = {each: os.environ.get(each) for each in NAMES}
    usual = dict(zip(NAMES, ("passive", SPINS), strict=True))
    assert found == (usual if name is None else {**dict.fromkeys(NAMES), name: "7"})


def test_a_command_settles_it_before_torch_is_there() -> None:
    code = (
        "import os, sys; from expunge import cli;"
        "cli.named = lambda *_: lambda settings: print(os.environ['GOMP_SPINCOUNT'],"
        " 'torch' in sys.modules);"
        "cli.main(['report', 'runs/none'])"
    )
    own = {name: value for name, value in os.environ.items() if name not in NAMES}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=own)
    assert (done.returncode, done.stdout.split()) == (0, [SPINS, "False"]), done.stderr
