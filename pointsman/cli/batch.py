"""One run for each document of a folder: the same content is one run, however often and however concurrently this is started."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.cli.story import Next, Story
from pointsman.cli.telling import tell
from pointsman.controlled import Controlled
from pointsman.errors import BadInput, PointsmanError
from pointsman.file import InputFile
from pointsman.limit import Spend

if TYPE_CHECKING:
    from pointsman.runs import Run, Runs

ENDED_WELL = ("done", "parked", "quarantined", "waiting")
"""States that are a result: each says what it is and what to do. `refused`, `failed` and what did not settle are not."""

_AT_ONCE = 8
"""How many settled runs are read at the same time."""


@dataclass(slots=True)
class Document:
    """One file of the folder, and what became of it."""

    name: str
    state: str = "refused"
    finding: str = ""
    run: Run | None = None
    again: bool = False
    """True where its run had settled before this command began."""
    story: Story | None = None

    def data(self) -> dict[str, Any]:
        """The document for a machine."""
        return {
            "document": self.name,
            "state": self.state,
            "finding": self.finding,
            "run": self.run.run_id if self.run else None,
            "again": self.again,
        }


def documents(folder: Path, pattern: str) -> list[Path]:
    """The files of a folder that are to be processed: regular, not hidden, in order of their names. Raises `BadInput`."""
    if not folder.is_dir():
        raise BadInput(f"{folder} is no folder", undone="no run was started", remedy="give --batch a folder of documents")
    try:
        found = sorted(path for path in folder.glob(pattern) if not path.name.startswith(".") and not path.is_dir())
    except (ValueError, NotImplementedError) as error:
        raise BadInput(f"--glob {pattern!r} is no pattern: {error}", undone="no run was started", remedy='give one like "*.pdf"') from error
    if not found:
        raise BadInput(
            f"{folder} holds no file that matches {pattern!r}",
            undone="no run was started",
            remedy="check the folder, or give another --glob",
        )
    return found


def input_field(graph: Controlled) -> str:
    """The one field of the graph's state that takes a document. Raises `BadInput` where there is none, or more."""
    fields = [name for name, kind in graph.plan.schema.types.items() if kind is InputFile]
    if len(fields) != 1:
        found = f"{len(fields)} fields of type InputFile ({', '.join(fields)})" if fields else "no field of type InputFile"
        raise BadInput(
            f"graph {graph.plan.name!r} has {found}; --batch needs exactly one",
            undone="no run was started",
            remedy="start its runs one by one with --input",
        )
    return fields[0]


async def process(runs: Runs, graph: Controlled, name: str, paths: Sequence[Path], by: str, settled: Callable[[], None]) -> list[Document]:
    """Start or continue the run of each document, and wait until all have settled; `settled` is called for each that has."""
    field = input_field(graph)
    found: list[Document] = []
    first: dict[str, Document] = {}
    waits: list[asyncio.Task[None]] = []
    for path in paths:
        document = await _begun(runs, name, field, path, by)
        found.append(document)
        if document.run is None:
            settled()
        elif (twin := first.setdefault(document.run.run_id, document)) is document:
            waits.append(asyncio.create_task(_finish(runs, graph, document, settled)))
        else:
            document.finding = f"same content as {twin.name}"
            settled()
    try:
        await asyncio.gather(*waits)
    finally:
        for wait in waits:
            wait.cancel()
    for document in found:
        if document.run is not None:
            document.state, document.story = (twin := first[document.run.run_id]).state, twin.story if twin is document else None
    return found


async def _begun(runs: Runs, graph: str, field: str, path: Path, by: str) -> Document:
    document = Document(path.name)
    try:
        # Taken once, here: the key and what the run reads are the same bytes, whatever happens to the file meanwhile.
        taken = await asyncio.to_thread(InputFile.take, path, runs.owner.home)
        document.run = await runs.start(graph, {field: taken}, key=taken.sha256, by=by)
    except BadInput as error:
        document.finding = error.what
        return document
    summary = await document.run.summary()
    document.again = summary.state not in ("accepted", "running")
    if summary.state == "parked" and summary.retryable:
        document.again = False
        await runs.resume(document.run, by=by)
    return document


_reading = asyncio.Semaphore(_AT_ONCE)


async def _finish(runs: Runs, graph: Controlled, document: Document, settled: Callable[[], None]) -> None:
    assert document.run is not None
    try:
        summary = await document.run.summary()
        if summary.state == "running" and summary.version not in (None, graph.plan.rules.version):
            document.state = "running"
            document.finding = (
                f"it began under another version of the graph; `pointsman rerun {document.run.run_id[:8]} --node NODE` takes it over"
            )
            return
        summary = await document.run.settled()
        async with _reading:
            story = document.story = tell(summary, await runs.events(document.run), await runs.payloads(document.run))
        document.state, document.finding = story.shown_state, story.gist
    except PointsmanError as error:
        document.state, document.finding = "unknown", error.what
    finally:
        settled()


def counts(found: Sequence[Document]) -> dict[str, int]:
    """How many documents are in each state, the most first."""
    return dict(Counter(document.state for document in found).most_common())


def spent(found: Sequence[Document]) -> tuple[Spend, float]:
    """What the runs of these documents cost, and their seconds of work."""
    total, seconds = Spend(), 0.0
    for document in found:
        if document.story is not None:
            total += Spend.of(document.story.spend)
            seconds += document.story.seconds
    return total, seconds


def advice(found: Sequence[Document]) -> list[Next]:
    """What to type next: a look at what needs a person first, and its repair."""
    for wanted in ("parked", "waiting", "failed", "quarantined", "done"):
        stories = [document.story for document in found if document.state == wanted and document.story]
        if stories:
            story = stories[0]
            look = Next(f"pointsman show {story.short}", f"read what happened, step by step ({wanted})")
            return [look, *story.next[:2]] if wanted != "waiting" else [look, Next("pointsman inbox", "what waits for a person")]
    return []
