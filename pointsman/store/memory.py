"""The checkpoint saver of a run that is kept nowhere: LangGraph's own, in memory, telling the run's journal what ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import WRITES_IDX_MAP, ChannelVersions, Checkpoint, CheckpointMetadata
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.base import SerializerProtocol

from pointsman.store.saver import Save, whole


class MemorySaver(InMemorySaver):
    """As `RunSaver`, without a database: nothing has to be held back, since nothing of it survives a crash."""

    def __init__(self, save: Save, serde: SerializerProtocol | None = None) -> None:
        super().__init__(serde=serde)
        self.latest: dict[str, Any] = {}
        """Channel values of the newest root checkpoint."""
        self._save = save

    async def aput(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, new_versions: ChannelVersions
    ) -> RunnableConfig:
        """Keep a checkpoint."""
        if not config["configurable"]["checkpoint_ns"]:
            self.latest = checkpoint["channel_values"]
        placed = await super().aput(config, checkpoint, metadata, new_versions)
        await self._save((), [])
        return placed

    async def aput_writes(self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = "") -> None:
        """Keep a task's writes; what was held for the task is on record with them."""
        await super().aput_writes(config, whole(writes), task_id, task_path)
        special = any(channel in WRITES_IDX_MAP for channel, _ in writes)
        await self._save((), [] if special else [task_id])

    async def flush(self) -> None:
        """Nothing is held."""
