"""What of LangChain's middleware may stand in an agent, and how its own models come behind the gateway too."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Iterator, Sequence
from types import FunctionType
from typing import Any

from langchain.agents.middleware import (
    AgentMiddleware,
    HumanInTheLoopMiddleware,
    ModelCallLimitMiddleware,
    ToolCallLimitMiddleware,
)
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.runnables import Runnable
from pydantic import BaseModel

from pointsman import canonical
from pointsman.errors import BadInput, PointsmanError, named
from pointsman.model import controlled, model_data
from pointsman.tool import Tool

_OWNED: tuple[tuple[type[Any], str], ...] = (
    (HumanInTheLoopMiddleware, "let the policy ask: ask(tool, …); an approval is bound to the exact call"),
    (ModelCallLimitMiddleware, "give limits=Limits(model_calls=…): they count retries, and a crash or a resume does not reset them"),
    (ToolCallLimitMiddleware, "give limits=Limits(tool_calls=…): they count retries, and a crash or a resume does not reset them"),
)

_LANGCHAIN = "langchain.agents.middleware."
"""Where LangChain's middleware stands; its `types` are what everybody's is made of."""

_READERS = ("langchain_core", "pydantic", "json", "asyncio", "concurrent")
"""Packages by which LangChain's middleware reads an answer, in a thread too: what they raise is said of the answer."""

REASON = 500
"""Characters of a middleware's own words that a route keeps: they may repeat a whole answer."""


def taken(middleware: Sequence[Any], *, timeout: float, max_tokens: int) -> tuple[list[AgentMiddleware[Any, Any]], list[BaseChatModel]]:
    """Copies of middleware whose models are behind the gateway, and those models. Raises `BadInput` for what cannot be held to the fence."""
    copies: list[AgentMiddleware[Any, Any]] = []
    models: list[BaseChatModel] = []
    for given in middleware:
        if not isinstance(given, AgentMiddleware):
            raise BadInput(f"{given!r} is no middleware of LangChain's agents", remedy="give instances of AgentMiddleware")
        for kind, remedy in _OWNED:
            if isinstance(given, kind):
                raise BadInput(f"an agent takes no {kind.__name__}", remedy=remedy)
        foreign = [tool.name for tool in getattr(given, "tools", ()) if not isinstance(tool, Tool)]
        if foreign:
            raise BadInput(
                f"{given.name} brings tools without a contract: {', '.join(foreign)}",
                remedy="make them with pointsman's @tool and give them in tools= or effects=",
            )
        _check_async(given)
        if given.name in {one.name for one in copies}:
            raise BadInput(
                f"two middlewares are called {given.name}; LangChain tells them apart by that",
                remedy="give the second one a name: a subclass, or the property `name`",
            )
        fenced = copy.copy(given)
        for name, value in vars(given).items():
            setattr(fenced, name, _fenced(value, models, timeout, max_tokens))
        copies.append(fenced)
    return copies, models


def _check_async(given: AgentMiddleware[Any, Any]) -> None:
    for name in ("wrap_model_call", "wrap_tool_call"):
        own = [getattr(type(given), hook) is not getattr(AgentMiddleware, hook) for hook in (name, f"a{name}")]
        if own == [True, False]:
            raise BadInput(
                f"{given.name} has a {name} and no a{name}: an agent is run asynchronously and could not call it",
                remedy=f"write it async: a{name}, or @{name} on an async function",
            )


def misled(error: Exception) -> str | None:
    """What LangChain's own middleware says of an answer that it can make nothing of; None for every other error.

    Told by where it was raised: an error of the project's own code (its middleware, a function that it gave to one of LangChain's) is a bug,
    which parks the run until it is mended.
    """
    modules = (str(frame.f_globals.get("__name__", "")) for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))))
    raised = next((module for module in modules if module.partition(".")[0] not in _READERS), "")
    if isinstance(error, PointsmanError) or not raised.startswith(_LANGCHAIN) or raised == f"{_LANGCHAIN}types":
        return None
    return named(error)[:REASON]


def settings(given: Any) -> Iterator[Any]:
    """What a middleware was made with, as plain data: its class by name, its models, and the values that have a form."""
    yield type(given).__qualname__
    for name, value in sorted(vars(given).items()):
        try:
            yield [name, _plain(value)]
        except BadInput:
            continue


def code(given: Any) -> Iterator[Any]:
    """The code that says what a middleware does: its class, and the functions that it was made with or, by LangChain's decorators, of."""
    yield type(given)
    yield from (value for value in vars(given).values() if isinstance(value, FunctionType))
    for member in vars(type(given)).values():
        yield from (
            cell.cell_contents for cell in getattr(member, "__closure__", None) or () if isinstance(cell.cell_contents, FunctionType)
        )


def _plain(value: Any) -> Any:
    if isinstance(value, BaseChatModel):
        return model_data(value)
    return [_plain(part) for part in value] if type(value) in (list, tuple) else canonical.encode(value)


def _fenced(value: Any, models: list[BaseChatModel], timeout: float, max_tokens: int) -> Any:
    """A value with the models in it behind the gateway, also those that LangChain has wrapped (`with_retry`, `bind`, `with_fallbacks`, a chain)."""
    if isinstance(value, BaseChatModel):
        models.append(controlled(value, timeout=timeout, max_tokens=max_tokens))
        return models[-1]
    if type(value) in (list, tuple):
        return type(value)(_fenced(part, models, timeout, max_tokens) for part in value)
    if isinstance(value, Runnable) and isinstance(value, BaseModel):
        parts = {name: (part, _fenced(part, models, timeout, max_tokens)) for name, part in vars(value).items()}
        return value.model_copy(update={name: new for name, (old, new) in parts.items() if new is not old})
    return value
