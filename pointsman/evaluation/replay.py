"""A recorded run again, without the world: the real graph, its calls answered from the record, in memory, behind a wall.

Decisions of people, verdicts on limits, time and chance come from the record; policies, routes and all that nodes work out are worked out anew. A
replay is *identical* if both canonical records have one digest, every recorded outcome was asked for, and nothing was asked for that is not on record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pointsman import canonical
from pointsman.controlled import Controlled
from pointsman.errors import BadInput
from pointsman.evaluation.cut import as_far
from pointsman.evaluation.divergence import Divergence, divergences
from pointsman.evaluation.journaled import state_of
from pointsman.evaluation.playback import Missed
from pointsman.evaluation.stage import Stage
from pointsman.evaluation.trace import Record, Trace
from pointsman.evidence import canonical_record, value_digest
from pointsman.wall import Breach


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """What became of one recorded run when it was run again."""

    trace_id: str
    graph: str
    identical: bool
    divergences: tuple[Divergence, ...]
    """The minimal ones: where the two part first, by cause and not by time."""
    unused: tuple[str, ...]
    """Recorded calls that nobody asked for: `target at position`."""
    missed: tuple[Missed, ...]
    """Calls that are not on record."""
    breaches: tuple[Breach, ...]
    """What was tried past the gateway: the replay counts for nothing then."""
    same_version: bool
    """Whether the graph is of the version that the run was recorded under."""
    digests: tuple[str, str]
    """Of the canonical records: recorded, replayed."""
    state: str
    """The state in which the replay ended."""

    def data(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "trace": self.trace_id,
            "graph": self.graph,
            "identical": self.identical,
            "divergences": [divergence.data() for divergence in self.divergences],
            "unused": list(self.unused),
            "missed": [f"{missed.target} at {missed.position}" for missed in self.missed],
            "breaches": [str(breach) for breach in self.breaches],
            "same_version": self.same_version,
            "digests": {"recorded": self.digests[0], "replayed": self.digests[1]},
            "state": self.state,
        }


async def replay(graph: Controlled, trace: Trace) -> Replay:
    """Run a recorded run again and compare. Raises `BadInput` where the trace cannot be replayed."""
    record = replayable(graph, trace)
    stage = Stage(graph, record)
    return compared(graph, trace, stage, await stage.play())


def compared(graph: Controlled, trace: Trace, stage: Stage, breaches: Sequence[Breach], told: Sequence[Divergence] = ()) -> Replay:
    """What was played, beside what is on record; `told` are divergences that the canonical records do not show."""
    assert trace.record is not None
    recorded = canonical_record(trace.record.events, trace.record.payloads)
    again = canonical_record(stage.events, stage.payloads)
    again = again if stage.source.cut is None else as_far(recorded, again)
    digests = (canonical.digest(recorded), canonical.digest(again))
    source = stage.source
    unused = tuple(f"{call.target} at {call.position}" for call in source.unused)
    identical = digests[0] == digests[1] and not unused and not source.missed and not breaches and not told
    for missed in (call for call in source.missed if not call.served):
        fact = {"target": missed.target, "request": value_digest(missed.request), "k": missed.k, "outcome": "missed"}
        again["steps"].setdefault(missed.position, {"input": {}}).setdefault("calls", []).append(fact)
    besides = stage.besides()
    found = (
        () if identical else divergences(_reached(trace.record, recorded, stage), again, besides) or divergences(recorded, again, besides)
    )
    return Replay(
        trace_id=trace.trace_id,
        graph=graph.plan.name,
        identical=identical,
        divergences=(*found, *(one for one in told if one.position not in {other.position for other in found})),
        unused=unused,
        missed=tuple(source.missed),
        breaches=tuple(breaches),
        same_version=trace.version == graph.plan.rules.version,
        digests=digests,
        state=state_of(stage.events),
    )


def _reached(record: Record, recorded: Any, stage: Stage) -> Any:
    """What a replay that did not come as far as a rerun is held against: the work of before, which stands on record no more once the rerun has done it again."""
    branch = max(event.branch for event in stage.events)
    later = next((number for number, event in enumerate(record.events) if event.branch > branch), None)
    return recorded if later is None else canonical_record(record.events[:later], record.payloads)


def replayable(graph: Controlled, trace: Trace) -> Record:
    """The record of a trace that this graph can replay. Raises `BadInput`."""
    what = ""
    if trace.record is None:
        what = f"trace {trace.trace_id} was imported from {trace.source}: there is no graph that it ran on"
    elif trace.graph != graph.plan.name:
        what = f"trace {trace.trace_id} is of graph {trace.graph!r}, and this is {graph.plan.name!r}"
    elif trace.missing:
        what = f"trace {trace.trace_id} lacks {' and '.join(trace.missing)}"
    elif "after" in trace.record.events[0].fields:
        what = f"run {trace.trace_id} began on a thread that held the state of another run, which is not on its record"
    elif trace.outcome in ("accepted", "running"):
        what = f"run {trace.trace_id} had not come to a stand when it was exported ({trace.outcome})"
    if what or trace.record is None:
        raise BadInput(what, undone="it was not replayed", remedy="replay a run of this graph that has settled, exported with all it needs")
    return trace.record
