"""How a run begins to exist: its row, its input and its first event, in one transaction, before anything is done for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pointsman import canonical
from pointsman.journal import Head, append_from_outside, draft_event
from pointsman.lease import Owner
from pointsman.schema import Schema


async def accept(
    owner: Owner, graph: str, schema: Schema, input: Any, *, key: str | None = None, thread_id: str | None = None, by: str | None = None
) -> Mapping[str, Any]:
    """The row of a new run of `graph`, or of the one that holds `key` already.

    Raises `BadInput` before anything is written.
    """
    store = owner.store
    if key is not None and (held := await store.one("run_by_key", graph, key)) is not None:
        return held
    fields = schema.check_input(input, owner.home)
    run_id = str(owner.clock.uuid())
    salt = owner.clock.uuid().bytes + owner.clock.uuid().bytes
    bodies = {f"input.{name}": canonical.encode(value) for name, value in fields.items()}
    digests = {name: canonical.digest_of(tree, salt=salt) for name, tree in bodies.items()}
    draft = draft_event("run.accepted", owner.clock, payloads=digests, graph=graph, by=by)
    async with store.transaction() as tx:
        if not await tx.fetch("accept_run", run_id, thread_id or run_id, graph, key):
            held = await tx.one("run_by_key", graph, key)
            assert held is not None
            return held
        await tx.run("insert_salt", run_id, salt)
        await tx.run("first_head", run_id, Head().seq, Head().hash)
        kept = {digests[name]: canonical.dumps(tree) for name, tree in bodies.items()}
        await append_from_outside(tx, run_id, Head(), 0, draft, bodies=kept, epoch=0)
        run = await tx.one("read_run", run_id)
    assert run is not None
    return run
