"""How a run begins to exist: its row, its input and its first event, in one statement, before anything is done for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from pointsman import canonical
from pointsman.event import Head, chained
from pointsman.journal import as_json, draft_event
from pointsman.label import UNTRUSTED, Confidentiality
from pointsman.lease import Owner
from pointsman.principal import check_name
from pointsman.schema import Schema
from pointsman.store import Transaction


async def accept(
    owner: Owner,
    graph: str,
    schema: Schema,
    input: Any,
    *,
    key: str | None = None,
    thread_id: str | None = None,
    by: str | None = None,
    after: str | None = None,
    reach: Confidentiality = UNTRUSTED.confidentiality,
    within: Transaction | None = None,
) -> Mapping[str, Any]:
    """How a new run of `graph` stands, or the one that holds `key` already; with what else happens `within` a transaction, or by itself.

    `after` is the run whose end state its thread holds; None for a fresh thread. `reach` is how confidential what it begins with
    is at least, its input aside: what an earlier run has left to it.

    Raises `BadInput` before anything is written.
    """
    if by is not None:
        check_name(by, "no run was started")
    store = within or owner.store
    if key is not None and (held := await store.one("standing_by_key", graph, key)) is not None:
        return held
    fields = await asyncio.to_thread(schema.check_input, input, owner.home)  # it copies files
    run_id = str(owner.clock.uuid())
    salt = owner.clock.uuid().bytes + owner.clock.uuid().bytes
    bodies = {f"input.{name}": canonical.encode(value) for name, value in fields.items()}
    # What a caller calls a run may name a person, so it lies beside the journal like what people wrote.
    bodies |= {name: canonical.encode(value) for name, value in (("key", key), ("thread", thread_id)) if value is not None}
    digests = {name: canonical.digest_of(tree, salt=salt) for name, tree in bodies.items()}
    kept = {digests[name]: canonical.dumps(tree) for name, tree in bodies.items()}
    told = {"reach": str(reach)} if reach > UNTRUSTED.confidentiality else {}
    draft = draft_event("run.accepted", owner.clock, payloads=digests, graph=graph, by=by, after=after, **told)
    rows, head = chained(run_id, Head(), 0, [draft])
    run = await store.one("accept", run_id, thread_id or run_id, graph, key, salt, head.hash, *as_json(rows, kept))
    assert run is not None
    return run
