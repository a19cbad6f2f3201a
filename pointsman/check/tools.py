"""What makes a tool hard to use for a model, or hard to control: found in its contract, before anybody calls it.

The rules are those of Anthropic's "Building effective agents", appendix 2 (write it as for a junior developer: an example, typed arguments, a boundary
from other tools), and what the runtime needs to know of an effect.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import combinations

from pointsman.tool import Contract, Tool

_EXAMPLE = re.compile(r"for example|for instance|\be\.g\.|such as|example:|>>>", re.IGNORECASE)
_CHOICE = re.compile(r"(^|_)(kind|type|status|state|mode|level|severity|priority|category|format|unit|currency|action|direction|order)$")
_PLAIN = frozenset(("and", "are", "for", "from", "its", "one", "that", "the", "this", "what", "which", "with"))
_ALIKE = 0.6
"""So much of the words of two descriptions may be the same."""


def lint(tools: Iterable[Tool]) -> list[str]:
    """What is wrong with tools that stand together, a sentence each, with what to do."""
    contracts = [tool.contract for tool in tools]
    findings = [
        f"{contract.name}: {finding}"
        for contract in contracts
        for finding in (*_described(contract), *_typed(contract), *_controlled(contract))
    ]
    for one, other in combinations(contracts, 2):
        words, others = _words(one.description), _words(other.description)
        if words and others and len(words & others) / len(words | others) >= _ALIKE:
            findings.append(f"{one.name} and {other.name}: their descriptions say the same; say in each when to use it and not the other")
    return findings


def _described(contract: Contract) -> Iterator[str]:
    if len(contract.description.split()) < 4:
        yield "its description is a name, not an explanation; say what it does, what comes back and what it is not for"
    if not _EXAMPLE.search(contract.description):
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
    if contract.effect == "execute":
        yield "its effect is execute, which is what an undeclared one counts as; name what it does: draft, write, send, delete, overwrite, submit, export"
    if contract.key is None and contract.reconcile is None:
        yield "after a crash nobody can tell whether it happened; give it key= (the outside keeps idempotency keys) or reconcile="
    if not contract.sinks:
        yield "no argument says who, where or how much; name them in sinks="
