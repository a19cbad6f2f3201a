"""What a function's own annotations and code declare of it."""

from __future__ import annotations

import inspect
import types
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from langgraph.types import Command


def signature(*names: str) -> inspect.Signature:
    """A signature of plain parameters, for a function that stands in for another."""
    return inspect.Signature([inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names])


def body(subject: Any) -> Any:
    """The routine whose annotations speak for a function or for an object that is called like one."""
    return subject if inspect.isroutine(subject) else getattr(subject, "__call__", subject)  # noqa: B004 - it is to be looked into


def parameters(subject: Any) -> tuple[str, ...]:
    """The names of what is passed to it; none where they cannot be told."""
    try:
        return tuple(inspect.signature(subject).parameters)
    except (TypeError, ValueError):
        return ()


def input_schema(subject: Any) -> Any:
    """What LangGraph would infer from a function's first parameter."""
    try:
        hints = get_type_hints(body(subject))
        first = next(iter(inspect.signature(body(subject)).parameters))
        hint = hints.get(first)
        return hint if isinstance(hint, type) and get_type_hints(hint) else None
    except (TypeError, NameError, StopIteration, ValueError):
        return None


def command_targets(subject: Any) -> tuple[str, ...]:
    """The targets that a function's return annotation `Command[Literal[…]]` declares."""
    try:
        returned = get_type_hints(body(subject)).get("return")
    except (TypeError, NameError):
        return ()
    options = get_args(returned) if get_origin(returned) in (Union, types.UnionType) else (returned,)
    return tuple(name for option in options if get_origin(option) is Command for literal in get_args(option) for name in get_args(literal))


def literals(function: Any) -> tuple[Any, ...]:
    """The values that a router's return annotation `Literal[…]` declares."""
    try:
        returned = get_type_hints(body(function)).get("return")
    except (TypeError, NameError):
        return ()
    return get_args(returned) if get_origin(returned) is Literal else ()


def sends(function: Any) -> bool:
    """Whether a router's code names `Send`."""
    names = getattr(getattr(body(function), "__code__", None), "co_names", ())
    return "Send" in names
