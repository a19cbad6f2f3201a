"""Where a command sits: its two outlets, the one event loop, and what errors and interruptions turn into."""

# ruff: noqa: PLC0415 - `--help` needs neither an event loop nor rich
from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from pointsman.errors import BadInput, NotFound, PointsmanError
from pointsman.plain import plain

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.progress import Progress

Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]
As = Annotated[
    str | None,
    typer.Option(
        "--as",
        "--by",
        metavar="NAME",
        help="Act as NAME; only where guards/roles.toml says `allow_as = true`. Else you act as your operating-system user.",
    ),
]
Graph = Annotated[
    str | None, typer.Option("--graph", metavar="GRAPH", help="FILE:VAR of the run's graph, where langgraph.json does not name it.")
]
RunId = Annotated[str, typer.Argument(metavar="RUN", help="The run's id, or its beginning.")]

_LONGEST = 8_000
"""Characters of an error that a person is shown; what somebody typed or sent may stand in it."""

DONE, FINDING, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes of every command."""


@dataclass
class Desk:
    """The outlets of one command."""

    json: bool
    out: Console
    err: Console
    left: str = "Nothing is lost: type the same command again to go on."
    """What an interrupted person is told."""

    def give(self, data: Any, *pages: RenderableType) -> None:
        """The result of the command: `data` for a machine, the pages for a person."""
        if self.json:
            sys.stdout.write(json.dumps(data, indent=1, default=str) + "\n")
        else:
            self.out.print(*pages, sep="\n", crop=False)  # a command that is cut at the edge cannot be copied

    def progress(self) -> Progress:
        """A progress bar for long work, on a terminal alone."""
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        return Progress(*columns, console=self.err, transient=True, disable=self.json or not self.err.is_terminal)


Command = Callable[["Desk"], Awaitable[int] | int]
"""What a command does: on the event loop that it is given, or by itself where it needs processes of its own."""


def perform(command: Command, as_json: bool) -> NoReturn:
    """Run a command to its exit code. No error reaches the person as a traceback (`POINTSMAN_DEBUG=1` prints it as well)."""
    from rich.console import Console

    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    outlets = {"markup": False, "highlight": False, "emoji": False, "soft_wrap": False}
    desk = Desk(as_json, Console(**outlets), Console(stderr=True, **outlets))  # type: ignore[arg-type]
    raise typer.Exit(_code(command, desk))


def _code(command: Command, desk: Desk) -> int:
    import asyncio

    from pointsman.body import Threads

    async def run(doing: Awaitable[int]) -> int:
        asyncio.get_running_loop().set_default_executor(Threads())
        return await doing

    try:
        told = command(desk)
        code = told if isinstance(told, int) else asyncio.run(run(told))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        desk.err.print(f"Interrupted. {desk.left}")
        return INTERRUPTED
    except BrokenPipeError:  # the reader (`| head`) has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except PointsmanError as error:
        _tell(desk, error, _worded(error))
        return WRONG_USE if isinstance(error, BadInput | NotFound) else FINDING
    except Exception as error:  # noqa: BLE001 - whatever it is, a person reads a sentence
        _tell(desk, error, _unforeseen(error))
        return FINDING


def _tell(desk: Desk, error: Exception, text: str) -> None:
    if os.environ.get("POINTSMAN_DEBUG"):
        traceback.print_exception(error)
    desk.err.print(plain(text.rstrip(), lines=True), style="red")
    if desk.json:
        told = {name: getattr(error, name, None) for name in ("what", "undone", "remedy")}
        sys.stdout.write(json.dumps({"error": {"type": type(error).__name__, **told, "what": told["what"] or text}}) + "\n")


def _worded(error: PointsmanError) -> str:
    """What `str(error)` says, a line for what happened, what was not done, and what to do."""
    what = error.what if len(error.what) <= _LONGEST else f"{error.what[:_LONGEST]}… ({len(error.what):,} characters)"
    lines = [f"in step {error.step}: {what}" if error.step else what]
    lines += [f"Not done: {error.undone}."] if error.undone else []
    lines += [f"Next: {error.remedy}."] if error.remedy else []
    return "\n".join(line.strip("\n") for line in lines)


def _unforeseen(error: Exception) -> str:
    """An error that nobody worded: its type, its text, the last place outside installed packages, and what to do."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    module = type(error).__module__.partition(".")[0]
    remedy = (
        "run `pointsman doctor`"
        if module in ("psycopg", "psycopg_pool")
        else "mend it, or run again with POINTSMAN_DEBUG=1 for the whole traceback"
    )
    return f"{type(error).__name__}: {str(error)[:_LONGEST]}{where}. Next: {remedy}."
