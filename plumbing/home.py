"""The user's home folder, which a container may not have."""

import getpass
import logging
import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from plumbing.errors import UsageError

log = logging.getLogger(__name__)


def find_home() -> Path | None:
    """The home folder; None if neither HOME nor the system's list of users tells of one."""
    try:
        return Path.home()
    except (RuntimeError, KeyError):
        return None


def at_home(text: str) -> str:
    """A path or name as it was given, `~` at its beginning as a shell takes it.

    UsageError if there is no home folder. A name that begins with ~ and is no user's stays.
    """
    if text != "~" and not text.startswith(("~/", "~\\")):
        return os.path.expanduser(text) if text.startswith("~") else text
    home = find_home()
    if home is None:
        raise UsageError(f"{text}: there is no home folder (HOME is not set); give the whole path")
    return str(home / text[2:])


def require_home() -> None:
    """Give the libraries a place for what they keep, and a name, where the system has none.

    Told of, since what they fetch is then kept in the folder of temporary files.
    """
    try:
        getpass.getuser()
    except (OSError, KeyError, ImportError):
        os.environ["USER"] = "nobody"
    if find_home() is None:
        folder = os.environ["HOME"] = str(_own_folder())
        log.warning("there is no home folder (HOME is not set): caches go to %s", folder)


def _own_folder() -> Path:
    """A folder among the temporary files that no other user can have prepared."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"expunge-home-{user}"
    with suppress(OSError):
        folder.mkdir(mode=0o700, exist_ok=True)
        found = folder.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == user and not found.st_mode & 0o077:
            return folder
    return Path(tempfile.mkdtemp(prefix="expunge-home-"))
