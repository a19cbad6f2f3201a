"""A process that takes one delivery of alerts through the incident workflow as far as it gets, approving what an operator approves: it is killed."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from graphs.incident import graph
from pointsman.testing import Switch, open_switched

ROOT = Path(__file__).parents[2]
APPROVED = ("rollback", "payment")
"""What the operator says yes to; everything else is refused."""


async def taken(order: dict[str, Any]) -> str:
    """Go on with the run, until it waits or to its end where the order says to decide; the state it is in then."""
    home = Path(order["home"])
    async with open_switched(Switch(**order["switch"]), url=order["url"], home=home, graphs={"incident": graph}) as runs:
        run = await runs.start("incident", {"path": str(ROOT / "samples" / "incidents" / "ambiguous.json")}, key="killed")
        await runs.sweep()
        await run.settled()
        while order["decides"] and (items := await runs.inbox()):
            remedy = items[0].card["arguments"]["preview"]["remedy"] if items[0].kind == "approval" else {}
            yes = (remedy.get("action"), remedy.get("target")) == APPROVED
            await (runs.approve if yes else runs.reject)(items[0], by="dana")
            await run.settled()
        return (await run.settled()).state


def main(order: dict[str, Any], told: Any) -> None:
    """Work, and tell how the run stands."""
    os.environ |= order["environment"]
    told.put(asyncio.run(taken(order)))
