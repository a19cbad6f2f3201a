"""Where a project keeps its things: its root, its data folder, its database."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from pathlib import Path

from pointsman.clock import Clock, SystemClock
from pointsman.lease import TTL, Owner
from pointsman.store import Store
from pointsman.store.embedded import EmbeddedPostgres

opened: ContextVar[tuple[Path | None, Path | None]] = ContextVar("pointsman_opened", default=(None, None))
"""Root and data folder of the project that is open in this context, where code has named them."""


def project_root(start: Path | None = None) -> Path:
    """The root that is open here, else the nearest folder upward with a `langgraph.json`; where there is none, `start` (default: the working folder) itself."""
    if start is None and (told := opened.get()[0]) is not None:
        return told
    here = (start or Path.cwd()).resolve()
    return next((folder for folder in (here, *here.parents) if (folder / "langgraph.json").is_file()), here)


def data_folder() -> Path:
    """The data folder that is open here, else `POINTSMAN_HOME`, else `.pointsman` in the project's root."""
    if (named := opened.get()[1]) is not None:
        return named
    told = os.environ.get("POINTSMAN_HOME")
    return Path(told).absolute() if told else project_root() / ".pointsman"


def database_url() -> str | None:
    """`DATABASE_URL`, where the project brings its own PostgreSQL; None for the embedded one."""
    return os.environ.get("DATABASE_URL") or None


@asynccontextmanager
async def open_store(home: Path, url: str | None, connections: int = 10) -> AsyncIterator[Store]:
    """The project's database, started if it is the embedded one. Raises `StoreUnavailable`."""
    if url is not None:
        async with Store.open(url, connections=connections) as store:
            yield store
        return
    server = await asyncio.to_thread(EmbeddedPostgres.start, home)
    try:
        async with Store.open(server.conninfo, revive=server.revive, connections=connections) as store:
            yield store
    finally:
        await asyncio.to_thread(server.close)


@asynccontextmanager
async def open_owner(
    *, home: Path | None = None, url: str | None = None, clock: Clock | None = None, ttl: float = TTL
) -> AsyncIterator[Owner]:
    """Someone who can advance runs of this project: its database, and a name of its own there."""
    folder = home or data_folder()
    async with open_store(folder, url or database_url()) as store, Owner.open(store, clock or SystemClock(), folder, ttl) as owner:
        yield owner
