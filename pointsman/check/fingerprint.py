"""The version of a graph: a digest over all that decides what a run of it does.

Code counts by its syntax tree, so comments and layout do not change a version; functions and classes of the project that the code
names count with it, those of installed packages do not.
"""

from __future__ import annotations

import ast
import inspect
import sys
import textwrap
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Any

from pointsman import canonical


def code_digest(subject: Any) -> str:
    """Digest of a function, class or graph and of the project's own code that it reaches."""
    parts: dict[str, str] = {}
    _collect(subject, parts)
    return canonical.digest(parts)


def _collect(subject: Any, parts: dict[str, str]) -> None:
    subject = inspect.unwrap(subject) if callable(subject) else subject
    if isinstance(subject, FunctionType | type):
        name = f"{subject.__module__}.{subject.__qualname__}"
        if name in parts or not _is_own(subject.__module__):
            return
        parts[name] = _syntax(subject)
        for reached in _reached(subject):
            _collect(reached, parts)
    elif hasattr(subject, "plan"):
        parts[f"graph {subject.plan.name}"] = subject.plan.rules.version
    elif hasattr(subject, "nodes") and isinstance(subject.nodes, dict):
        parts[f"graph {type(subject).__name__}"] = canonical.digest(sorted(subject.nodes))
    elif hasattr(subject, "contract"):
        _collect(subject.contract.function, parts)
    elif hasattr(subject, "declared"):
        parts["declared"] = canonical.digest(subject.declared())
        _collect(subject.returns, parts)
    elif callable(subject):
        _collect(type(subject), parts)


def _is_own(module: str) -> bool:
    path = getattr(sys.modules.get(module), "__file__", None) or ""
    return (
        "site-packages" not in path
        and "dist-packages" not in path
        and not path.startswith(sys.base_prefix)
        and not module.startswith("pointsman.")
    )


def _syntax(subject: FunctionType | type) -> str:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(subject)))
    except (OSError, TypeError, SyntaxError):
        # No source (a prompt, a lambda inside an expression): the compiled code, which at least never says the same for two bodies.
        return repr(_code(subject.__code__)) if isinstance(subject, FunctionType) else subject.__qualname__
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if (
            isinstance(body, list)
            and body
            and isinstance(body[0], ast.Expr)
            and isinstance(body[0].value, ast.Constant)
            and isinstance(body[0].value.value, str)
        ):
            body[0].value.value = ""
    return ast.dump(tree)


def _code(code: CodeType) -> tuple[Any, ...]:
    return (code.co_code.hex(), code.co_names, tuple(_code(c) if isinstance(c, CodeType) else repr(c) for c in code.co_consts))


def _reached(subject: FunctionType | type) -> list[Any]:
    """What a function names in its module or closes over; what the methods of a class do."""
    if isinstance(subject, type):
        return [reached for member in vars(subject).values() if isinstance(member, FunctionType) for reached in _reached(member)]
    names = _names(subject.__code__)
    named = [subject.__globals__[name] for name in sorted(names) if name in subject.__globals__]
    cells = [cell.cell_contents for cell in subject.__closure__ or () if _filled(cell)]
    return [
        value
        for value in (*named, *cells)
        if isinstance(value, FunctionType | type) or hasattr(value, "contract") or hasattr(value, "plan")
    ]


def _names(code: CodeType) -> set[str]:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*(_names(part) for part in inner)) if inner else set(code.co_names)


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - an empty cell raises
    except ValueError:
        return False
    return True


def routers_digest(routers: list[Callable[..., Any]]) -> str:
    """Digest of the functions that choose edges."""
    return canonical.digest([code_digest(router) for router in routers])
