"""Who acts: names and roles from `guards/roles.toml`, and how sure one is of a name.

    allow_as = true                      # whoever is at the terminal may claim a name with --as

    [roles]
    controller = ["dana", "kim"]

    [os]                                 # operating-system user = name; with this table, users that are not in it hold no role
    dwinter = "dana"

    [api]                                # SHA-256 of a bearer token = name; `python -m pointsman.server.token dana` makes one
    "9f86d081…" = "dana"

The file is read again at every look, so that a role that was taken away is gone at the next decision.
"""

from __future__ import annotations

import hashlib
import os
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pointsman.errors import BadInput, legible

if sys.platform != "win32":
    import pwd

KNOWN_BY = ("os", "api", "code", "as")
"""How a name can be known: the operating system's user, an authenticated caller of an API, code that vouches for it, a claim with `--as`."""

NOBODY = "nobody"
"""How a caller is known that nobody authenticated: what the policy opens to anybody is all that is open to them."""

_NAME = 200
"""Characters of a name at most: it stands in events."""


@dataclass(frozen=True, slots=True)
class Person:
    """The principal that a command acts as, and how it is known."""

    name: str
    known_by: str
    """One of `KNOWN_BY`, or `NOBODY`."""


@dataclass(frozen=True, slots=True)
class Roles:
    """What a project says of people."""

    path: Path
    held: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Role to the names that hold it."""
    users: Mapping[str, str] | None = None
    """Operating-system user to name; None where the file maps none, so that users go by their own names."""
    allow_as: bool = False
    """Whether a name may be claimed with `--as`."""
    tokens: Mapping[str, str] = field(default_factory=dict)
    """SHA-256 of a bearer token, in hexadecimal, to the name that it stands for."""

    @classmethod
    def read(cls, root: Path) -> Roles:
        """The roles of the project at `root`; none where it has no file. Raises `BadInput` where the file cannot be read."""
        path = root / "guards" / "roles.toml"
        try:
            told = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return cls(path)
        except (OSError, ValueError) as error:
            raise _unreadable(path, str(error)) from error
        held, users, tokens = told.get("roles", {}), told.get("os"), told.get("api", {})
        if not isinstance(held, dict) or not all(_are_names(names) for names in held.values()):
            raise _unreadable(path, 'each line of [roles] is a role with a list of names, like controller = ["dana"]')
        if users is not None and not (isinstance(users, dict) and _are_names(list(users.values()))):
            raise _unreadable(path, 'each line of [os] is an operating-system user with a name, like dwinter = "dana"')
        if not (isinstance(tokens, dict) and _are_names(list(tokens.values())) and all(map(_is_digest, tokens))):
            raise _unreadable(
                path, "each line of [api] is the SHA-256 of a token with a name: `python -m pointsman.server.token dana` writes one"
            )
        return cls(path, {role: frozenset(names) for role, names in held.items()}, users, told.get("allow_as") is True, tokens)

    def holds(self, name: str, role: str) -> bool:
        """Whether `name` holds `role`."""
        return name in self.held.get(role, frozenset())

    def knows(self, name: str) -> bool:
        """Whether the file names this person at all."""
        return any(name in names for names in self.held.values()) or name in (*(self.users or {}).values(), *self.tokens.values())

    def bearer(self, token: str) -> str | None:
        """The name that a token stands for, or None."""
        return self.tokens.get(token_digest(token))

    def acting(self, claimed: str | None = None) -> Person:
        """The person at this terminal: the operating-system user by the name given in the file, or who they claim to be where it allows claims.

        Raises `BadInput` for a claim that is not allowed.
        """
        user = os_user()
        # Not the user's own name where others are mapped: it could be the name that stands for somebody else.
        name = user if self.users is None else self.users.get(user, f"os:{user}")
        if claimed is None or claimed == name:
            return Person(name, "os")
        if not self.allow_as:
            raise BadInput(
                f"you are {name}, and acting as {claimed} is not allowed here",
                undone="nothing was changed",
                remedy=f"leave --as out, or set `allow_as = true` at the top of {self.path}",
            )
        return Person(claimed, "as")


def check_name(by: Any, undone: str) -> None:
    """Raise `BadInput` where `by` names nobody, or cannot stand in an event; `undone` says what was therefore not done."""
    if not isinstance(by, str) or not by.strip() or len(by) > _NAME or legible(by) != by:
        raise BadInput(
            f"by={repr(by)[:_NAME]} names nobody", undone=undone, remedy=f"say by= with a name, a text of {_NAME} characters at most"
        )


def token_digest(token: str) -> str:
    """The SHA-256 of a token, which is what the file holds of it: who reads the file cannot use it."""
    return hashlib.sha256(token.encode()).hexdigest()


def os_user() -> str:
    """The operating-system user that this process runs as."""
    if sys.platform == "win32":
        return os.getlogin()
    try:
        # Not getpass.getuser(): that believes LOGNAME, which anybody can set.
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under a bare number
        return f"uid{os.getuid()}"


def _is_digest(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")


def _are_names(names: Any) -> bool:
    return isinstance(names, list) and all(isinstance(name, str) and name for name in names)


def _unreadable(path: Path, why: str) -> BadInput:
    return BadInput(f"{path} cannot be read: {why}", undone="nothing was changed", remedy="mend the file")
