"""The ids of LangChain's messages. LangGraph draws one by chance for each that has none; here it follows from the step that wrote the message.

So a step that is executed again, after a crash, in a rerun or in a replay, writes the same messages, and no other step ever does. Graphs that are
none of ours still draw theirs, and so does LangChain for what models say: runs are compared without the ids of messages.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from typing import Any, get_args
from uuid import UUID, uuid5

from langchain_core.messages import convert_to_messages
from langgraph.graph.message import add_messages

_IDS = UUID("7f2c1f0e-5d0b-4c1c-9a53-6b0c6f8f2d11")

_MESSAGE = frozenset({"type", "content", "additional_kwargs", "response_metadata", "id"})
"""The parts that every message has, as an encoded tree."""


def merges_messages(hint: Any) -> bool:
    """Whether the values of a field of this type are merged by LangGraph's `add_messages`."""
    reducers = [getattr(told, "func", told) for told in getattr(hint, "__metadata__", ())]
    if any(getattr(reducer, "__module__", "") == add_messages.__module__ for reducer in reducers):
        return True
    return any(merges_messages(part) for part in get_args(hint) if hasattr(part, "__metadata__"))


def naming(source: str) -> Callable[[Any], Any]:
    """What gives ids to the messages that one source (a step, an input) writes, in whatever form LangGraph takes them: called with each value of such a field."""
    places = count()

    def named(given: Any) -> Any:
        try:
            messages = convert_to_messages(given if isinstance(given, list) else [given])
        except (ValueError, TypeError, NotImplementedError):
            return given  # no message: LangGraph says so when it merges it
        # A copy: the one that is given may be written again by another step.
        return [
            one if one.id is not None else one.model_copy(update={"id": str(uuid5(_IDS, f"{source}\n{next(places)}"))}) for one in messages
        ]

    return named


def without_ids(tree: Any) -> Any:
    """An encoded tree with its messages as they are compared."""
    if isinstance(tree, list):
        return [without_ids(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    kept = tree.keys() - {"id"} if tree.keys() >= _MESSAGE else tree.keys()
    return {name: without_ids(item) for name, item in tree.items() if name in kept}
