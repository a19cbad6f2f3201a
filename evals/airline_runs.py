"""The recorded airline runs (tau-bench, 25 tasks x 4 trials) made again with our tools: answers, end states, writes that nobody wanted.

    python -m evals.airline_runs [--json]

Every recorded call of a run is executed in order on a fresh airline. Prints how many answers come back byte for byte, by tool; how many of the recorded
verdicts on the end state are reproduced; how many writes match no expected action by name and arguments. Reads `POINTSMAN_DATA/airline`.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from evals.measuring import measured
from tools.airline import TOOLS, WRITES, Airline, using

_TOOLS = {tool.name: tool for tool in TOOLS}

Changes = Mapping[str, Any]
"""What an airline holds that is not as it was at first."""


@dataclass(frozen=True)
class Call:
    """One recorded call and its recorded answer; found by its place, since ids of calls are not unique within a run."""

    tool: str
    arguments: Mapping[str, Any]
    answer: str


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """The recorded runs of the folder `airline`. Raises `OSError`, `ValueError`."""
    runs: list[dict[str, Any]] = json.loads(gzip.decompress((folder / "recorded-runs.json.gz").read_bytes()))
    return runs


def calls(run: Mapping[str, Any]) -> Iterator[Call]:
    """The calls of a run, in order; each is directly followed by its answer."""
    trajectory = run["traj"]
    for message, following in pairwise(trajectory):
        for call in message.get("tool_calls") or ():
            yield Call(call["function"]["name"], json.loads(call["function"]["arguments"]), following["content"])


async def answers(run: Mapping[str, Any], airline: Airline) -> tuple[list[tuple[Call, str]], Changes]:
    """Each call of a run with the answer it gets now, and what the airline holds after them."""
    with using(airline.fresh()) as present:
        return [(call, await _answer(call.tool, call.arguments)) for call in calls(run)], present.changes()


async def expected(run: Mapping[str, Any], airline: Airline) -> Changes:
    """What an airline holds after the actions that the run's task expects."""
    with using(airline.fresh()) as present:
        for action in run["info"]["task"]["actions"]:
            await _answer(action["name"], action["kwargs"])
        return present.changes()


def judged(run: Mapping[str, Any]) -> bool | None:
    """The recorded verdict on a run's end state; None where it was judged by its outputs, or not at all."""
    verdict = ((run["info"].get("reward_info") or {}).get("info") or {}).get("r_actions")
    return None if verdict is None else bool(verdict == 1)


def wrong_writes(run: Mapping[str, Any]) -> tuple[int, int]:
    """How many of a run's writes match no expected action by name and arguments, and how many writes there are."""
    names = {tool.name for tool in WRITES}
    wanted = [(action["name"], action["kwargs"]) for action in run["info"]["task"]["actions"]]
    writes = [(call.tool, call.arguments) for call in calls(run) if call.tool in names]
    return sum(write not in wanted for write in writes), len(writes)


async def measure(folder: Path) -> dict[str, Any]:
    """All figures of the runs in a folder."""
    airline, runs = Airline.read(folder), read_runs(folder)
    same: Counter[str] = Counter()
    drift: Counter[str] = Counter()
    agreed = verdicts = wrong = writes = 0
    for run in runs:
        answered, end = await answers(run, airline)
        for call, answer in answered:
            (same if answer == call.answer else drift)[call.tool] += 1
        verdict = judged(run)
        if verdict is not None:
            verdicts += 1
            agreed += verdict == (end == await expected(run, airline))
        counted = wrong_writes(run)
        wrong, writes = wrong + counted[0], writes + counted[1]
    return {
        "runs": len(runs), "answers": same.total() + drift.total(), "same": same.total(), "drift": dict(drift),
        "verdicts": verdicts, "agreed": agreed, "writes": writes, "wrong_writes": wrong,
    }  # fmt: skip


async def _answer(tool: str, arguments: Mapping[str, Any]) -> str:
    contract = _TOOLS[tool].contract
    try:
        return str(await contract.perform(contract.validate(arguments), ""))
    except ValidationError as error:
        return f"Error: {error}"


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns 0, or 1 if the data is missing."""
    about = "Makes the reads of the recorded airline runs again, and counts what was right."
    told = measured("airline_runs", about, lambda data: asyncio.run(measure(data / "airline")), _print, arguments)
    return 1 if told is None else 0


def _print(told: dict[str, Any]) -> None:
    print(f"{told['same']} of {told['answers']} answers are the recorded ones, byte for byte; others: {told['drift'] or 'none'}")
    print(f"{told['agreed']} of {told['verdicts']} verdicts on the end state agree")
    print(f"{told['wrong_writes']} of {told['writes']} writes match no expected action")


if __name__ == "__main__":
    sys.exit(main())
