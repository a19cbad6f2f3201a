"""What makes a tool hard to use for a model, or hard to control: found in its contract and its code, before anybody calls it.

The rules are those of Anthropic's "Building effective agents", appendix 2 (write it as for a junior developer: an example, typed arguments, a choice
instead of free text, a boundary from other tools), and what the runtime needs to know of an effect: its class, what decides, how one call is
told from two, which of its errors say that nothing happened.
"""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Iterator
from itertools import combinations

from pointsman.check.fingerprint import names_in
from pointsman.tool import Contract, Tool

_EXAMPLE = re.compile(r"for example|for instance|\be\.g\.|such as|\bexamples?\s*:|>>>", re.IGNORECASE)
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SAYS_NO = frozenset(("Refused", "Unavailable", "ToolFailed"))
"""Errors that say that nothing happened."""
_CHOICE = re.compile(r"(^|_)(kind|type|status|state|mode|level|severity|priority|category|format|unit|currency|action|direction)$")
_PLAIN = frozenset(("and", "are", "for", "from", "its", "one", "that", "the", "this", "what", "which", "with"))
_ALIKE = 0.6
"""So much of the words of two descriptions may be the same."""


def lint(tools: Iterable[Tool | Contract], *, chosen: Container[str] | None = None) -> list[str]:
    """What is wrong with tools that stand together, a sentence each, with what to do.

    `chosen` are the names of those that a model chooses among (default: all): only of these does it matter how they read.
    """
    contracts = [tool.contract if isinstance(tool, Tool) else tool for tool in tools]
    shown = [contract for contract in contracts if chosen is None or contract.name in chosen]
    findings = [f"{contract.name}: {finding}" for contract in shown for finding in (*_described(contract), *_typed(contract))]
    findings += [f"{contract.name}: {finding}" for contract in contracts for finding in _controlled(contract)]
    for one, other in combinations(shown, 2):
        words, others = _words(one.description), _words(other.description)
        if words and others and len(words & others) / len(words | others) >= _ALIKE:
            findings.append(f"{one.name} and {other.name}: their descriptions say the same; say in each when to use it and not the other")
    return findings


def _described(contract: Contract) -> Iterator[str]:
    if len(contract.description.split()) < 4:
        yield "its description is a name, not an explanation; say what it does, what comes back and what it is not for"
    if not _NAME.fullmatch(contract.name):
        yield "providers of models refuse its name; use up to 64 letters of English, digits, _ and -"
    if not _EXAMPLE.search(contract.description) and '"examples":' not in json.dumps(contract.arguments.model_json_schema()):
        yield "its description has no example; say 'for example …'"


def _typed(contract: Contract) -> Iterator[str]:
    schema = contract.arguments.model_json_schema()
    for name, part in schema.get("properties", {}).items():
        if not {"type", "$ref", "anyOf", "allOf", "oneOf", "enum", "const"} & set(part):
            yield f"argument {name} may be anything; give it a type"
        elif part.get("type") == "object" and not part.get("properties"):
            yield f"argument {name} is an object without fields; give it a model"
        elif part.get("type") == "array" and not part.get("items"):
            yield f"argument {name} is a list of anything; say of what"
        elif part.get("type") == "string" and "enum" not in part and "format" not in part and _CHOICE.search(name):
            yield f"argument {name} is free text, though it sounds like a choice; make it a Literal or an enum"
    if contract.returns.core_schema.get("type") == "any":
        yield "what comes back may be anything; give it a return type"


def _words(description: str) -> set[str]:
    return set(re.findall(r"[a-z]{3,}", description.lower())) - _PLAIN


def _controlled(contract: Contract) -> Iterator[str]:
    if not contract.is_effect:
        return
    if not contract.is_declared:
        yield "it does not say what it does to the world and counts as execute; declare effect=: read, draft, write, send, delete, overwrite, submit, export, execute"
    if contract.key is None and contract.reconcile is None:
        yield "after a crash nobody can tell whether it happened; give it key= (the outside keeps idempotency keys) or reconcile="
        if not names_in(contract.function) & _SAYS_NO:
            yield "whatever goes wrong in it, nobody can tell either; raise Refused (of pointsman.errors) where the outside says no, Unavailable where nothing was sent"
    if not contract.sinks:
        yield "no argument says who, where or how much; name them in sinks="
