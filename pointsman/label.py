"""How far a value may be trusted, and how far it may travel."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

from pointsman.errors import BadInput


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

    integrity: Integrity = Integrity.UNTRUSTED
    confidentiality: Confidentiality = Confidentiality.INTERNAL

    def __str__(self) -> str:
        return f"{self.integrity} {self.confidentiality}"

    @classmethod
    def of(cls, words: str) -> Label:
        """The label that `str` wrote. Raises `ValueError`."""
        integrity, confidentiality = words.split(" ")
        return cls(Integrity(integrity), Confidentiality(confidentiality))


UNTRUSTED = Label()
"""The label of every value that came from outside and of which nobody says otherwise."""

TRUSTED = Label(Integrity.TRUSTED)
"""The label of a value that the project itself vouches for."""


def checked(given: Any, whose: str) -> Label:
    """A label that somebody declared. Raises `BadInput`."""
    try:
        integrity, confidentiality = given
        return Label(Integrity(integrity), Confidentiality(confidentiality))
    except (TypeError, ValueError):
        raise BadInput(f"the label of {whose} is {given!r}", remedy="give a pointsman.label.Label, for example TRUSTED") from None
