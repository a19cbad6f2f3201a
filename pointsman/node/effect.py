"""A node that changes the world: exactly one effectful call, decided by the policy."""

from __future__ import annotations

from pointsman.errors import BadInput, Denied, Expired, PointsmanError, Rejected
from pointsman.limit import Limits
from pointsman.node import Given, Node, Outcome
from pointsman.tool import Tool

_EXITS: tuple[tuple[type[PointsmanError], str, str], ...] = (
    (Denied, "denied", "rule"),
    (Rejected, "rejected", "human"),
    (Expired, "expired", "rule"),
)


def effect(tool: Tool, *, reads: tuple[str, ...], writes: str | None = None, limits: Limits | None = None) -> Node:
    """An effect node: calls `tool` with the state fields `reads`, each the argument of its name, and puts the result into `writes`.

    The policy decides: allow, ask a person, deny. Exits `done denied rejected expired`, and `limit`; a failed effect, or one whose
    outcome is unknown, parks the run.
    """
    contract = tool.contract
    if not contract.is_effect:
        raise BadInput(f"{tool.name!r} only reads, so it is no effect", remedy="call it from a code node: code(function, tools=(tool,))")
    missing = [name for name, field in contract.arguments.model_fields.items() if field.is_required() and name not in reads]
    unknown = [name for name in reads if name not in contract.arguments.model_fields]
    if missing or unknown:
        raise BadInput(
            f"effect({tool.name}): no field for argument {missing}, no argument for field {unknown}",
            remedy="name the tool's arguments in reads=",
        )

    async def execute(given: Given) -> Outcome:
        try:
            result = await given.gateway.call_tool(contract, {name: given.state.get(name) for name in reads})
        except (Denied, Rejected, Expired) as error:
            name, by = next((exit, by) for kind, exit, by in _EXITS if isinstance(error, kind))
            return Outcome({}, exit=name, reason=error.what, decided_by=by)
        return Outcome({writes: result} if writes else {})

    return Node(
        kind="effect", subject=contract.function, execute=execute, reads=reads, writes=(writes,) if writes else (), tools=frozenset({tool.name}),
        contracts=(contract,), calls=1, exits=("done", "denied", "rejected", "expired"), limits=limits,
    )  # fmt: skip
