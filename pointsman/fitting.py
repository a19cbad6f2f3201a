"""Whether what a person gives fits what is asked: an answer its type, edited arguments and a result the tool's. Checked before anything is written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from pointsman import canonical
from pointsman.approval import Approval
from pointsman.controlled import Controlled
from pointsman.errors import BadInput, Conflict
from pointsman.gateway.questioning import Question
from pointsman.schema import check_kept, faults
from pointsman.tool import Contract

_UNDONE = "nothing was decided, the question is still open"


def fitting_answer(graph: Controlled, approval: Approval, card: Mapping[str, Any], value: Any) -> Any:
    """`value` as the type that the question asks for. Raises `BadInput`, and `Conflict` where the graph does not hold the question."""
    question = _question(graph, approval.node, card)
    try:
        checked = question.answer(value)
        check_kept(checked)
    except ValidationError as error:
        raise BadInput(
            f"the answer does not fit: {'; '.join(faults(question.writes, error))}",
            undone=_UNDONE,
            remedy="give a value of the type on the card",
        ) from error
    return checked


def fitting_arguments(
    graph: Controlled, approval: Approval, card: Mapping[str, Any], given: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The arguments on the card with those that are `given` in their place, typed, and the names of those that change.

    Raises `BadInput` where they do not fit or nothing changes, `Conflict` where the tool is nowhere declared.
    """
    contract = _contract(graph, approval.tool, card)
    before = {name: canonical.decode(tree) for name, tree in card["arguments"].items()}
    try:
        arguments = contract.validate(before | dict(given))
        tree = canonical.encode(arguments)
    except ValidationError as error:
        raise BadInput(
            f"the arguments do not fit: {'; '.join(faults(approval.tool, error))}", undone=_UNDONE, remedy="give values of the tool's types"
        ) from error
    changed = tuple(name for name in tree if tree[name] != card["arguments"].get(name))
    if not changed:
        raise BadInput("the arguments are those on the card: nothing was edited", undone=_UNDONE, remedy="approve it as it is")
    return arguments, changed


def fitting_result(graph: Controlled, result: Any, tool: str) -> Any:
    """`result` as what a call of `tool` answered. Raises `BadInput` where it could not have; of a tool that is nowhere declared that is not known."""
    contract = graph.contracts.get(tool)
    if contract is not None:
        try:
            contract.returns.validate_python(canonical.decode(canonical.encode(result)))
        except ValidationError as error:
            raise BadInput(
                f"{tool} cannot have answered that: {'; '.join(faults('result', error))}",
                undone="nothing was changed: whether it happened is still asked",
                remedy="give what it answered as its type has it: `--result JSON`",
            ) from error
    return result


def form(graph: Controlled, node: str, tool: str, card: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON schema of what a question takes: of an answer where `tool` is empty, else of the tool's arguments.

    Its fields stand as their types declare them; the schema on a card is sorted. Raises `Conflict` where the graph does not hold the question.
    """
    return _contract(graph, tool, card).arguments.model_json_schema() if tool else _question(graph, node, card).schema()


def _question(graph: Controlled, node: str, card: Mapping[str, Any]) -> Question:
    asked = [part.subject for part in graph.parts if part.name == node and isinstance(part.subject, Question)]
    same = [question for question in asked if (question.text, question.writes) == (card.get("question"), card.get("writes"))]
    if not same:
        raise Conflict(
            f"graph {graph.plan.name!r} has no such question in a node {node!r}, so an answer cannot be checked",
            undone=_UNDONE,
            remedy="load the version of the graph that asked, or reject it",
        )
    return same[0]


def _contract(graph: Controlled, tool: str, card: Mapping[str, Any]) -> Contract:
    contracts = [contract for part in graph.parts for contract in part.contracts if contract.name == tool]
    if not contracts or not card.get("editable"):
        raise Conflict(
            f"no node of graph {graph.plan.name!r} declares {tool}, so edited arguments cannot be checked",
            undone=_UNDONE,
            remedy="approve or reject it; `pointsman rerun` changes the state it came from",
        )
    return contracts[0]
