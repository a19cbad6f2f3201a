"""How far a value may be trusted, and how far it may travel."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple


class _Level(StrEnum):
    """Words in an order of their own, not the alphabet's: from the lowest to the highest. Raises `ValueError` beside any other word."""

    def _above(self, other: Any) -> int:
        order = list(type(self))
        return order.index(self) - order.index(type(self)(other))

    def __lt__(self, other: Any) -> bool:
        return self._above(other) < 0

    def __le__(self, other: Any) -> bool:
        return self._above(other) <= 0

    def __gt__(self, other: Any) -> bool:
        return self._above(other) > 0

    def __ge__(self, other: Any) -> bool:
        return self._above(other) >= 0


class Integrity(_Level):
    """Who vouches for a value: nobody, a person, or the project itself."""

    UNTRUSTED = "untrusted"
    ENDORSED = "endorsed"
    TRUSTED = "trusted"


class Confidentiality(_Level):
    """Who may see a value: anybody, whoever works here, or whom it was given to."""

    PUBLIC = "public"
    INTERNAL = "internal"
    RESTRICTED = "restricted"


class Label(NamedTuple):
    """Integrity and confidentiality of one value."""

    integrity: Integrity
    confidentiality: Confidentiality


UNTRUSTED = Label(Integrity.UNTRUSTED, Confidentiality.INTERNAL)
"""The label of every value that came from outside."""
