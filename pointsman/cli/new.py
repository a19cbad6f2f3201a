"""`pointsman new`: a project to begin with."""

# ruff: noqa: PLC0415 - `--help` does without them
from __future__ import annotations

import json as json_text
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pointsman.cli.desk import DONE, Desk, Json, perform

if TYPE_CHECKING:
    from pointsman.cli.story import Next


def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is called; the folder gets this name.")], json: Json = False
) -> None:
    """Begin a project: a folder with one small workflow that runs as it is.

    A graph, its nodes, a policy that asks a person, roles, a tool, tests, and what LangGraph, make and a CI need.
    """

    async def command(desk: Desk) -> int:
        from rich.text import Text

        from pointsman.cli.page import following, typed
        from pointsman.cli.printable import counted
        from pointsman.starter import begin

        files = begin(name, Path.cwd())
        steps = _following(name)
        made = Text.assemble(
            (f"{name}/", "bold"), f" holds {counted(len(files), 'file')}: a workflow that pays refunds, its policy, roles and tests."
        )
        data = {"project": str(Path.cwd() / name), "files": [str(file) for file in files]}
        desk.give(
            data | {"next": [{"command": step.command, "why": step.why} for step in steps]},
            made,
            Text(),
            following(steps, typed(anywhere=True)),
        )
        return DONE

    perform(command, json)


def _following(name: str) -> list[Next]:
    from pointsman.cli.story import Next
    from pointsman.starter import MESSAGE

    given = shlex.quote(json_text.dumps({"message": MESSAGE}))
    return [
        Next(f"cd {name}", "graphs/refund.py is the workflow; README.md says where the rest is"),
        Next(f"pointsman run refund --input {given}", "waits for you, since guards/refund.py has more than 50 asked about"),
        Next("make install test", "its tests, once pytest is there; `make` alone lists the rest"),
    ]
