"""Where a call that may be made gets its answer: the outside world, or the record of another run.

The gateway asks for nothing else from outside: answers, what was revoked, the verdict of a cap and the labels of arguments (which can depend on
what ran first), time and chance. So whoever gives these runs the whole graph without a network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from pointsman.gateway.request import Request
from pointsman.policy.revocation import Revocation

if TYPE_CHECKING:
    from pointsman.gateway.step import Step


class Source(Protocol):
    """What stands outside of the gateway of a segment."""

    def node(self, node: Any) -> Any:
        """The `pointsman.node.Node` that is executed in the place of one of the graph."""
        ...

    async def reached(self, step: Step, target: str, digest: str, k: int) -> None:
        """Wait until a call may be judged that this run has not begun before. Raises `PointsmanError` where it is to come to that no more."""
        ...

    def sent(self, request: Request, step: Step, digest: str, k: int) -> Request:
        """A request that may be made, as it will be answered. Raises `Divergence` where there is no answer, `Withheld` where it comes too soon."""
        ...

    def revocation(self, step: Step, target: str, digest: str, k: int) -> Revocation | None:
        """What strikes a call besides what the project's database says."""
        ...

    def exceeded(self, step: Step, target: str, digest: str, k: int, worked_out: str | None) -> str | None:
        """Which cap a call would pass, given what the accounts say; None where it may begin."""
        ...

    def labels(self, step: Step, target: str, digest: str, k: int, worked_out: dict[str, str]) -> dict[str, str]:
        """The labels of what a call is given, by path, given what follows from the run's record as it stands."""
        ...

    def value(self, step: Step, target: str, digest: str, k: int, make: Callable[[], str]) -> str:
        """An instant, a number or an id by chance, as text."""
        ...


class World:
    """The outside world itself: requests are made, accounts believed, time and chance taken as they come."""

    def node(self, node: Any) -> Any:
        """The node itself."""
        return node

    async def reached(self, step: Step, target: str, digest: str, k: int) -> None:
        """At once."""

    def sent(self, request: Request, step: Step, digest: str, k: int) -> Request:
        """The request itself."""
        return request

    def revocation(self, step: Step, target: str, digest: str, k: int) -> Revocation | None:
        """Nothing."""
        return None

    def exceeded(self, step: Step, target: str, digest: str, k: int, worked_out: str | None) -> str | None:
        """What the accounts say."""
        return worked_out

    def labels(self, step: Step, target: str, digest: str, k: int, worked_out: dict[str, str]) -> dict[str, str]:
        """What follows from the record."""
        return worked_out

    def value(self, step: Step, target: str, digest: str, k: int, make: Callable[[], str]) -> str:
        """A fresh one."""
        return make()
