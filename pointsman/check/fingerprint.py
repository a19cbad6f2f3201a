"""The version of a graph: a digest over all that decides what a run of it does.

Code counts by its syntax tree, so comments and layout do not change a version; what the code names of the project's own (functions,
classes, constants, by any import) counts with it, what belongs to installed packages does not.
"""

from __future__ import annotations

import ast
import functools
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

from pointsman import canonical
from pointsman.check.place import is_installed, place
from pointsman.errors import BadInput
from pointsman.segment import Plan


def code_digest(subject: Any) -> str:
    """Digest of a function, class or graph and of the project's own code that it reaches."""
    parts: dict[str, str] = {}
    _collect(subject, parts)
    return canonical.digest(parts)


def names_in(subject: Any) -> set[str]:
    """The names that a function uses, and the project's own code that it reaches."""
    parts: dict[str, str] = {}
    _collect(subject, parts)
    return {name for text in parts.values() for name in re.findall(r"\b(?:id|attr)='(\w+)'", text)}


def _collect(subject: Any, parts: dict[str, str]) -> None:
    if isinstance(subject, FunctionType | type):
        _collect_code(subject, parts)
    elif isinstance(subject, MethodType):
        _collect(subject.__func__, parts)
    elif isinstance(subject, functools.partial):
        for each in (subject.func, *subject.args, *subject.keywords.values()):
            _collect(each, parts)
    elif isinstance(getattr(subject, "plan", None), Plan):
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
    else:
        _collect_value(subject, parts)


def _collect_code(subject: FunctionType | type, parts: dict[str, str]) -> None:
    code = getattr(subject, "__code__", None)
    name = f"{place(subject.__module__)}.{code.co_qualname if code else subject.__qualname__}"
    if name in parts:
        return
    if _is_own(subject.__module__):
        parts[name] = _syntax(subject)
        for reached in _reached(subject, parts):
            _collect(reached, parts)
    if (wrapped := getattr(subject, "__wrapped__", None)) is not None:
        _collect(wrapped, parts)


def _collect_value(value: Any, parts: dict[str, str]) -> None:
    """A plain value that a function closes over or that a partial holds; others have no form that is the same in every process."""
    try:
        parts[f"value {len(parts)}"] = canonical.digest(value)
    except BadInput:
        return


def _is_own(module: str) -> bool:
    path = getattr(sys.modules.get(module), "__file__", None) or ""
    return not is_installed(path) and module not in sys.builtin_module_names and not module.startswith("pointsman.")


def _syntax(subject: FunctionType | type) -> str:
    try:
        # The code object, since a decorated function would be answered with the source of what it decorates.
        source = inspect.getsource(subject.__code__ if isinstance(subject, FunctionType) else subject)
        tree = ast.parse(textwrap.dedent(source))
    except (OSError, TypeError, SyntaxError):
        # No source (a prompt, a lambda inside an expression): the compiled code, which at least never says the same for two bodies.
        return repr(_code(subject.__code__)) if isinstance(subject, FunctionType) else subject.__qualname__
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        first = body[0] if isinstance(body, list) and body else None
        if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
            first.value.value = ""
    return ast.dump(tree)


def _code(code: CodeType) -> tuple[Any, ...]:
    return (code.co_code.hex(), code.co_names, tuple(map(_constant, code.co_consts)))


def _reached(subject: FunctionType | type, parts: dict[str, str]) -> Iterator[Any]:
    """What a function names in its module or closes over; what a class stands on, and its methods do."""
    if isinstance(subject, type):
        yield from subject.__bases__
        for member in vars(subject).values():
            function = getattr(member, "__func__", None) or getattr(member, "fget", None) or member
            if isinstance(function, FunctionType):
                yield from _reached(function, parts)
        return
    names = _names(subject.__code__)
    for name in sorted(names & subject.__globals__.keys()):
        value = subject.__globals__[name]
        if isinstance(value, ModuleType) and _is_own(value.__name__):
            for inner in sorted(names & vars(value).keys()):
                yield from _global(value.__name__, inner, parts)
        elif not isinstance(value, ModuleType):
            yield from _global(subject.__module__, name, parts)
    for cell in subject.__closure__ or ():
        if _filled(cell):
            yield cell.cell_contents


def _global(module: str, name: str, parts: dict[str, str]) -> Iterator[Any]:
    """What a name of a module stands for; a constant counts by the statements that make it, which say the same on every machine."""
    value = getattr(sys.modules.get(module), name, None)
    if isinstance(value, FunctionType | type) or callable(value) or hasattr(value, "contract") or hasattr(value, "plan"):
        yield value
        return
    constant = f"constant {place(module)}.{name}"
    if constant in parts:
        return
    made = []
    for statement in _statements(module):
        if isinstance(statement, ast.ImportFrom) and statement.module and not statement.level:
            aliases = [alias for alias in statement.names if (alias.asname or alias.name) == name and _is_own(statement.module)]
            for alias in aliases:
                yield from _global(statement.module, alias.name, parts)
        elif name in _bound(statement):
            made.append(ast.dump(statement))
    if made:
        parts[constant] = "\n".join(made)


def _bound(statement: ast.stmt) -> set[str]:
    """The names that an assignment gives a value."""
    if not isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        return set()
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def _statements(module: str) -> list[ast.stmt]:
    try:
        return _parsed(inspect.getsource(sys.modules[module]))
    except (KeyError, OSError, TypeError, SyntaxError):
        return []


@functools.cache
def _parsed(source: str) -> list[ast.stmt]:
    return ast.parse(source).body


def _constant(value: Any) -> Any:
    """A constant of compiled code, told the same in every process: a set has another order in each."""
    if isinstance(value, CodeType):
        return _code(value)
    if isinstance(value, frozenset):
        return ("frozenset", *sorted(map(repr, value)))
    return tuple(map(_constant, value)) if isinstance(value, tuple) else repr(value)


def _names(code: CodeType) -> set[str]:
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*(_names(part) for part in inner)) if inner else set(code.co_names)


def _filled(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 - an empty cell raises
    except ValueError:
        return False
    return True
