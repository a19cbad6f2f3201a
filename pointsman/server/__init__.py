"""What LangGraph's server is given in `langgraph.json`, so that runs go through it as they go through `Runs`.

"checkpointer": {"path": "pointsman.server.checkpointer"}
"auth": {"path": "pointsman.server.auth:auth", "disable_studio_auth": true}

Nothing of it is needed without such a server, and no such server is needed for anything else.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pointsman.home import open_owner, project_root
from pointsman.server.door import ServerDoor
from pointsman.server.shown import ShownSaver


@asynccontextmanager
async def checkpointer() -> AsyncIterator[ShownSaver]:
    """The checkpointer for `langgraph.json`; while it is open, the server can advance the project's runs."""
    async with open_owner() as owner:
        with ServerDoor(owner, project_root()).opened() as door:
            yield door.saver()
