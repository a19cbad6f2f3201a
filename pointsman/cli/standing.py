"""How a run stands after a command has advanced it: waited for, told, and turned into an exit code."""

from __future__ import annotations

from pointsman.cli.advice import placed
from pointsman.cli.desk import DONE, FINDING, Desk
from pointsman.cli.page import ending
from pointsman.cli.story import Story
from pointsman.cli.telling import tell
from pointsman.errors import VersionMismatch
from pointsman.runs import Run, Runs, Summary


async def story_of(runs: Runs, run: Run, summary: Summary | None = None) -> Story:
    """The story of a run as it stands now."""
    story = tell(summary or await run.summary(), await runs.events(run), await runs.payloads(run))
    story.next = placed(story.next, runs.place(run.graph))
    return story


async def ready(runs: Runs, run: Run, graph: str | None) -> None:
    """Make sure, before anything is put on record, that its graph can be loaded and is the version the run is pinned to. Raises `NotFound`, `VersionMismatch`."""
    summary = await run.summary()
    if graph is not None:
        runs.graph(graph)  # from now on it is the one of its name
    version = runs.graph(run.graph).plan.rules.version
    if summary.version not in (None, version):
        raise VersionMismatch(
            f"run {run.run_id[:8]} began under version {str(summary.version)[:12]} of graph {run.graph!r}; this is {version[:12]}",
            undone="nothing was changed",
            remedy=f"go back to the version it began with, or take the new one over with `pointsman rerun {run.run_id[:8]} --node NODE`",
        )


async def finish(desk: Desk, runs: Runs, run: Run) -> int:
    """Wait until a run has settled, say how it stands; 1 where it is parked, failed or cancelled."""
    desk.left = f"Nothing is lost: `pointsman resume {run.run_id[:8]}` goes on."
    if (await run.summary()).state in ("accepted", "running"):
        await _still_going(runs, run)
    story = await story_of(runs, run, await run.settled())
    desk.give(story.data(whole=False), ending(story))
    return FINDING if story.state in ("parked", "failed", "cancelled") else DONE


async def _still_going(runs: Runs, run: Run) -> None:
    summary = await run.summary()
    if summary.version is not None:
        await ready(runs, run, None)
