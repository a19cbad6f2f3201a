"""The casebook: how incidents ended, kept under `POINTSMAN_HOME/cases/`, one JSON file each, to be read when the next one comes.

Files appear whole or not at all, and filing the same case again changes nothing.
"""

from __future__ import annotations

import asyncio
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from pointsman import tool
from pointsman.home import data_folder
from tools.archive import put_file

MOST: Final = 5
"""How many cases a search gives."""

End = Literal["resolved", "false alarm", "duplicate", "left to a person", "closed by a person"]


class Case(BaseModel):
    """One incident that has ended: what was seen, what was taken to be the cause, what was done, and whether it helped."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    incident: Annotated[str, Field(pattern=r"^\w+$")]
    """It becomes the name of a file."""
    cluster: str
    alerts: tuple[str, ...]
    """Rule and entity of each, as text."""
    services: tuple[str, ...]
    queue: str
    end: End
    cause: str = ""
    remedies: tuple[str, ...] = ()
    """What was applied, in order; the last one helped where the incident is resolved."""
    note: str = ""


class Cases(BaseModel):
    """Cases that were found, the likest first."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cases: tuple[Case, ...] = ()


class Filed(BaseModel):
    """Where a case is kept, relative to `POINTSMAN_HOME`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str


async def find_filed(case: Case) -> Filed | None:
    """Whether exactly this case is already filed: where, else None."""
    return await asyncio.to_thread(_find, case)


@tool(effect="write", sinks=("case",), reconcile=find_filed)
async def file_case(case: Case) -> Filed:
    """Files how an incident ended. Filing it again changes nothing."""
    return await asyncio.to_thread(put_case, case)


@tool(effect="read", result_bytes=20_000)
async def earlier_cases(services: Annotated[tuple[str, ...], Field(max_length=50)]) -> Cases:
    """Earlier incidents that were resolved in these services, for example cart: what the cause was, and what helped."""
    return await asyncio.to_thread(_search, services)


def put_case(case: Case) -> Filed:
    """What `file_case` does, without the gateway."""
    if found := _find(case):
        return found
    place = _place(case)
    put_file(data_folder() / place.path, _content(case))
    return place


def _place(case: Case) -> Filed:
    return Filed(path=f"cases/{case.incident}.json")


def _content(case: Case) -> bytes:
    return (case.model_dump_json(indent=2) + "\n").encode()


def _find(case: Case) -> Filed | None:
    place = _place(case)
    try:
        return place if (data_folder() / place.path).read_bytes() == _content(case) else None
    except FileNotFoundError:
        return None


def _search(services: tuple[str, ...]) -> Cases:
    """Resolved cases that share a service, those with the most in common first."""
    wanted = set(services)
    kept = [Case.model_validate_json(path.read_bytes()) for path in sorted((data_folder() / "cases").glob("*.json"))]
    found = [case for case in kept if case.end == "resolved" and wanted & set(case.services)]
    found.sort(key=lambda case: (-len(wanted & set(case.services)), case.incident))
    return Cases(cases=tuple(found[:MOST]))
