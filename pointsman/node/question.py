"""A node that asks a person for a value: nothing is called, the answer has a type, and the run waits without anybody holding it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from pydantic import TypeAdapter

from pointsman import canonical
from pointsman.errors import BadInput
from pointsman.gateway.questioning import Question, settled
from pointsman.node import Given, Node, Outcome
from pointsman.principal import KNOWN_BY


def question(
    text: str,
    *,
    shows: tuple[str, ...] = (),
    returns: Any = str,
    writes: str,
    role: str | None = None,
    expires: timedelta | None = None,
    known_by: tuple[str, ...] = (),
) -> Node:
    """A question node: shows the state fields `shows` to a person of `role` (None: to anybody) and puts their answer, a `returns`, into `writes`.

    An answer of another type is refused and the question stays open. Exits `answered rejected expired`, and `limit`; `known_by` says
    how the person must be known (`os api code as`). Raises `BadInput`.
    """
    wrong = [word for word in known_by if word not in KNOWN_BY]
    if wrong or type(shows) is not tuple or not text.strip():
        raise BadInput(
            f"question({text!r}, shows={shows!r}, known_by={known_by!r}) cannot be asked",
            remedy=f"give a text, shows as a tuple of fields, known_by as a tuple of {', '.join(KNOWN_BY)}",
        )
    try:
        TypeAdapter(returns).json_schema()
    except Exception as error:  # whatever pydantic finds, the type cannot be asked for
        raise BadInput(
            f"question({text!r}) cannot ask for {returns!r}: {error}", remedy="give a type that pydantic knows, such as a model"
        ) from error
    asked = Question(text, tuple(shows), returns, writes, role, expires, tuple(known_by))

    async def execute(given: Given) -> Outcome:
        said = await settled(given.gateway, given.step, asked, given.state)
        if said.state != "answered" or said.value is None:
            who, by = (f"{said.by} rejected it", "human") if said.state == "rejected" else ("nobody answered in time", "rule")
            return Outcome({}, exit=said.state, reason=f"{text}: {who} (question {said.approval_id[:8]})", decided_by=by)
        value = asked.answer(canonical.decode(await given.gateway.payload(said.value)))
        return Outcome({writes: value}, exit="answered", decided_by="human")

    return Node(
        kind="question", subject=asked, execute=execute, reads=tuple(shows), writes=(writes,), exits=("answered", "rejected", "expired")
    )
