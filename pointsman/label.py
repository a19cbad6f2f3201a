"""How far a value may be trusted, and how far it may travel."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple


class Integrity(StrEnum):
    """Who vouches for a value."""

    TRUSTED = "trusted"
    ENDORSED = "endorsed"
    UNTRUSTED = "untrusted"


class Confidentiality(StrEnum):
    """Who may see a value."""

    PUBLIC = "public"
    INTERNAL = "internal"
    RESTRICTED = "restricted"


class Label(NamedTuple):
    """Integrity and confidentiality of one value."""

    integrity: Integrity
    confidentiality: Confidentiality


UNTRUSTED = Label(Integrity.UNTRUSTED, Confidentiality.INTERNAL)
"""The label of every value that came from outside."""
