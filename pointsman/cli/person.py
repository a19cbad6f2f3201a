"""Who acts at the command line: the operating-system user, or whom the project lets one claim to be."""

from __future__ import annotations

import os
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from pointsman.errors import BadInput

if sys.platform != "win32":
    import pwd


@dataclass(frozen=True, slots=True)
class Person:
    """The principal that a command acts as, and how it is known: `os` or `as`."""

    name: str
    known_by: str


def acting(root: Path, claimed: str | None) -> Person:
    """The person at this terminal. Raises `BadInput` for a claimed name where `guards/roles.toml` does not allow claims."""
    user = _os_user()
    if claimed is None or claimed == user:
        return Person(user, "os")
    path = root / "guards" / "roles.toml"
    if not _allows_claims(path):
        raise BadInput(
            f"you are {user}, and acting as {claimed} is not allowed here",
            undone="nothing was changed",
            remedy=f"leave --as out, or set `allow_as = true` at the top of {path}",
        )
    return Person(claimed, "as")


def _os_user() -> str:
    if sys.platform == "win32":
        return os.getlogin()
    try:
        # Not getpass.getuser(): that believes LOGNAME, which anybody can set.
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under a bare number
        return f"uid{os.getuid()}"


def _allows_claims(path: Path) -> bool:
    try:
        return tomllib.loads(path.read_text()).get("allow_as") is True
    except FileNotFoundError:
        return False
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadInput(f"{path} cannot be read: {error}", undone="nothing was changed", remedy="mend the file") from error
