"""The server's checkpointer: it shows what the owners of runs wrote, and writes nothing itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NoReturn

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from pointsman.controlled import Unchangeable
from pointsman.served import Door


class ShownSaver(AsyncPostgresSaver):
    """LangGraph's PostgreSQL saver on the project's database, for reading: threads, their states and histories.

    `classes` are those (module, name) that values of the state may have; others are shown as the plain data they were kept as.
    """

    def __init__(self, door: Door, classes: Sequence[tuple[str, str]] = ()) -> None:
        super().__init__(door.owner.store.pool, serde=JsonPlusSerializer(allowed_msgpack_modules=classes))
        self.door = door

    async def aput(self, *_: Any, **__: Any) -> NoReturn:
        """Refused: a checkpoint is written by the owner of its run, together with the run's events."""
        raise refused("written")

    async def aput_writes(self, *_: Any, **__: Any) -> NoReturn:
        """Refused, as `aput`."""
        raise refused("written")

    async def adelete_thread(self, thread_id: str) -> None:
        """Refused for a thread with runs; one without has nothing to delete."""
        if await self.door.owner.store.one("thread_run", thread_id) is not None:
            raise refused("deleted")

    async def adelete_for_runs(self, *_: Any, **__: Any) -> None:
        """Nothing: the server forgets an entry of its own, and is told so before (`pointsman.server.auth`); an error here would stop its only worker."""

    async def acopy_thread(self, *_: Any, **__: Any) -> NoReturn:
        """Refused: the copy would be a state without the run that reached it."""
        raise refused("copied")

    async def aprune(self, *_: Any, **__: Any) -> NoReturn:
        """Refused: what a run did is not undone by forgetting it."""
        raise refused("pruned")


def refused(done: str) -> Unchangeable:
    """The refusal to have checkpoints written, deleted, copied or pruned by a server."""
    return Unchangeable(
        f"the checkpoints of a run are not {done} from outside",
        undone="nothing was changed",
        remedy="start, answer or resume the run; `pointsman cancel` ends it",
    )
