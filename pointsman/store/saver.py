"""The checkpoint saver of one run: LangGraph's own tables and formats, committed together with the run's events, under its lease.

A task's writes are held until the checkpoint that takes them in is committed, so a step costs one commit. A special write
(interrupt, error, resume, scheduled) commits all that is held and ends the holding for its checkpoint: else a finished
sibling of a step that asks or fails would be executed twice.

The only file that reaches into protected members of langgraph-checkpoint-postgres (pinned in `pyproject.toml`).
"""

from __future__ import annotations

import json
import logging
import math
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import ERROR, _DeltaSnapshot

from pointsman.store import Store


class Save(Protocol):
    """Commits checkpoint rows with the events held for some tasks, now or ahead: `Journal.save`."""

    def __call__(self, checkpoint: Sequence[Any], tasks: list[str], *, ahead: bool = False) -> Awaitable[None]:
        """Durable on return, or under way."""
        ...


Patiently = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]
"""Reads once more where the server had gone away: `Journal.patiently`."""

_HANDLED = "__error_source_node__"
"""What LangGraph writes beside an error that an error handler takes."""

_PLACE = ("thread_id", "checkpoint_ns")
_WRITE = (*_PLACE, "checkpoint_id", "task_id", "task_path", "idx", "channel", "type", "blob")
_BLOB = (*_PLACE, "channel", "version", "type", "blob")
_CHECKPOINT = (*_PLACE, "checkpoint_id", "parent_checkpoint_id", "checkpoint", "metadata")


@dataclass(slots=True)
class _Pending:
    """What is held for one checkpoint."""

    rows: dict[tuple[str, int], tuple[Any, ...]] = field(default_factory=dict)
    tasks: list[str] = field(default_factory=list)
    open: bool = False
    """True once holding has ended: later writes go straight through."""


class RunSaver(AsyncPostgresSaver):
    """LangGraph's PostgreSQL saver for one run in the hands of its owner."""

    def __init__(
        self, store: Store, save: Save, patiently: Patiently, serde: SerializerProtocol | None = None, *, empty: bool = False
    ) -> None:
        super().__init__(store.pool, serde=serde)
        self.latest: dict[str, Any] = {}
        """Channel values of the newest root checkpoint."""
        self._save = save
        self._patiently = patiently
        self._empty = empty
        """Whether the thread is known to hold no checkpoint."""
        self._pending: dict[tuple[str, str], _Pending] = {}

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """As LangGraph's. The values of a run that had come to its end when its owner died are read here, and never saved again."""
        if self._empty:
            return None
        read = super().aget_tuple
        found: CheckpointTuple | None = await self._patiently(lambda: read(config))
        if found is not None and not self.latest and not config["configurable"].get("checkpoint_ns"):
            self.latest = found.checkpoint["channel_values"]
        return found

    async def aput(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, new_versions: ChannelVersions
    ) -> RunnableConfig:
        """Commit a checkpoint, the writes it takes in, and the events of their steps. Raises `LeaseLost`.

        That of the root graph is under way on return: LangGraph prepares the next superstep meanwhile, and each of its steps waits for
        the commit before it begins (`Journal.saved`). Steps of graphs below may be plain ones that cannot wait: theirs is durable on return.
        """
        self._empty = False
        place = config["configurable"]
        thread, ns, parent = place["thread_id"], place["checkpoint_ns"], place.get("checkpoint_id")
        if not ns:
            self.latest = checkpoint["channel_values"]
        pending = self._pending.pop((ns, parent or ""), _Pending())
        inline, blobs = {}, {}
        for name, value in checkpoint["channel_values"].items():
            if isinstance(value, _DeltaSnapshot):
                inline[name], blobs[name] = True, value
            elif _inlines(value):
                inline[name] = value
            else:
                blobs[name] = value
        versions = {name: version for name, version in new_versions.items() if name in blobs}
        blob_rows = self._dump_blobs(thread, ns, blobs, versions) if versions else []
        shown = {**checkpoint, "channel_values": inline}
        row = (thread, ns, checkpoint["id"], parent, _jsonb(shown), _jsonb(get_serializable_checkpoint_metadata(config, metadata)))
        await self._commit(list(pending.rows.values()), blob_rows, [row], pending.tasks, ahead=not ns)
        return {"configurable": {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": checkpoint["id"]}}

    async def aput_writes(self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = "") -> None:
        """Hold a task's writes for the checkpoint to come, or commit them at once where holding has ended. Raises `LeaseLost`."""
        place = config["configurable"]
        key = (place["checkpoint_ns"], place["checkpoint_id"])
        pending = self._pending.setdefault(key, _Pending())
        writes = whole(writes)
        special = any(channel in WRITES_IDX_MAP for channel, _ in writes)
        for row in self._dump_writes(place["thread_id"], *key, task_id, task_path, writes):
            slot = (task_id, row[5])
            if row[5] < 0 or slot not in pending.rows:
                pending.rows[slot] = tuple(row)
        if not special:
            pending.tasks.append(task_id)
        if special or pending.open:
            pending.open = True
            await self.flush()

    async def flush(self) -> None:
        """Commit everything that is held."""
        rows = [row for pending in self._pending.values() for row in pending.rows.values()]
        tasks = [task for pending in self._pending.values() for task in pending.tasks]
        for pending in self._pending.values():
            pending.rows, pending.tasks = {}, []
        if rows:
            await self._commit(rows, [], [], tasks)

    async def _commit(
        self, writes: Sequence[Any], blobs: Sequence[Any], checkpoints: Sequence[Any], tasks: list[str], *, ahead: bool = False
    ) -> None:
        await self._save((_rows(_WRITE, writes), _rows(_BLOB, blobs), _rows(_CHECKPOINT, checkpoints)), tasks, ahead=ahead)


def _is_no_error(record: logging.LogRecord) -> bool:
    named = record.args if isinstance(record.args, tuple) else ()
    found = getattr(sys.modules.get(str(named[0])), str(named[1]), None) if len(named) > 1 else None
    return not (isinstance(found, type) and issubclass(found, BaseException))


# LangGraph warns of every exception that it does not bring back from a failed task's writes. Nobody needs it back: the error is on record.
logging.getLogger("langgraph.checkpoint.serde.jsonplus").addFilter(_is_no_error)


def whole(writes: Sequence[tuple[str, Any]]) -> Sequence[tuple[str, Any]]:
    """What a task wrote; of a task that failed or was cut short only that.

    LangGraph counts a task with any write for finished, so half of what it meant to write (its update, but not its route, where the
    router failed) would end the run there without a word.
    """
    channels = {channel for channel, _ in writes}
    if ERROR not in channels or _HANDLED in channels:
        return writes
    return [write for write in writes if write[0] in WRITES_IDX_MAP]


def _inlines(value: Any) -> bool:
    """LangGraph's rule, except for what jsonb cannot hold: text with NUL and numbers that are none go to the blobs and stay whole."""
    if isinstance(value, str):
        return "\0" not in value
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int)


_jsonb = json.JSONEncoder(ensure_ascii=False).encode


def _rows(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Rows as one JSON parameter, bytes in hexadecimal."""
    if not rows:
        return "[]"
    return json.dumps(
        [dict(zip(names, (value.hex() if isinstance(value, bytes | bytearray) else value for value in row), strict=True)) for row in rows]
    )
