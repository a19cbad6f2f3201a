"""What a document says it is: an invoice, a credit note, a correction, or something else altogether."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nodes.invoice.labels import OTHER_TITLES, TITLES
from nodes.invoice.notation import DATE
from nodes.invoice.reading import identifier
from tools.ledger import Kind, kind_of

_ANY: Final = re.compile(rf"(?:{'|'.join(pattern for pattern, _ in TITLES)})(?![\w-])", re.IGNORECASE)
_OTHER: Final = re.compile(rf"(?P<title>{OTHER_TITLES})(?:\s+(?:N[ro°]\.?|Nummer|number|#)?\s*:?\s*\S*\d\S*)?", re.IGNORECASE)
_BETWEEN: Final = r"N[ro°º]\.?|Nummer|Number|[:#|/–-]|ID|vom|von|of|dated|issued|at|on|du"
_WORD: Final = re.compile(rf"(?:{_BETWEEN})[:.]?|[:#]?\S*\d\S*", re.IGNORECASE)


@dataclass(frozen=True)
class Title:
    """One title line: the kind, its UNTDID 1001 code if the line is clear about it, the number and the line itself."""

    kind: Kind | None
    code: str | None
    numbers: tuple[str | None, ...]
    line: str


def titles(lines: Sequence[str]) -> list[Title]:
    """Every line that reads as the title of an invoice, credit note or correction."""
    return [title for line in lines if (title := _title(line))]


def other_title(lines: Sequence[str]) -> str | None:
    """The title of another kind of document (a reminder, an order) that stands above any invoice title; None if there is none."""
    for line in lines:
        if _title(line):
            return None
        if found := _OTHER.fullmatch(line.strip()):
            return found["title"]
    return None


def _title(line: str) -> Title | None:
    found = _ANY.match(line)
    if not found:
        return None
    rest = line[found.end() :]
    # A code, a number, a date, and the words between them may stand after a title. Anything else is prose.
    words = re.sub(r"\([^)]*\)|:", " ", DATE.sub(" ", rest)).split()
    if not all(_WORD.fullmatch(word) for word in words):
        return None
    code = next((code for pattern, code in TITLES if re.search(rf"(?<!\w)(?:{pattern})(?![\w-])", line, re.IGNORECASE)), None)
    if said := re.search(r"\((\d{2,3})\)", rest):
        code = said[1]
    named = " ".join(word for word in words if any(sign.isdigit() for sign in word)).lstrip("#")
    return Title(kind=kind_of(code) if code else "invoice", code=code, numbers=tuple(identifier(named)), line=line)
