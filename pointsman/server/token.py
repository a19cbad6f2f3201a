"""A new token for somebody: `python -m pointsman.server.token NAME` prints it once, and the line for `guards/roles.toml`."""

from __future__ import annotations

import secrets
import sys

from pointsman.principal import token_digest


def new_token(name: str) -> tuple[str, str]:
    """A token of 256 random bits, and the line of `guards/roles.toml` under `[api]` by which it stands for `name`."""
    token = secrets.token_urlsafe(32)
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return token, f'"{token_digest(token)}" = "{escaped}"'


if __name__ == "__main__":
    if len(sys.argv) != 2 or not sys.argv[1].isprintable() or not sys.argv[1]:
        sys.exit("usage: python -m pointsman.server.token NAME")
    _token, _line = new_token(sys.argv[1])
    sys.stdout.write(f"token for {sys.argv[1]}, shown this once:\n  {_token}\nunder [api] in guards/roles.toml:\n  {_line}\n")
