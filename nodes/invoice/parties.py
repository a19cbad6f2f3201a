"""Who sells and who buys: by label, by the sender's line above the address window, or by the letterhead."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from nodes.invoice.labels import BUYER, SELLER
from nodes.invoice.reading import Candidates
from nodes.invoice.title import titles

BLOCK: Final = 9
"""Lines within which a labelled party's name stands."""

_SEPARATOR: Final = re.compile(r"\s*[●•·|]\s*|\s+[-–—]\s+|,\s+")
_POSTCODE: Final = re.compile(
    r"(?:[A-Z]{1,2}[- ])?\d{4,5}\s+[^\W\d]|[^\W\d]+,?\s+[A-Z]{1,2}\d{1,2}\w?\s+\d[A-Z]{2}$|[^\W\d]+,\s+[A-Z]{2}\s+\d{5}$"
)
_STREET: Final = re.compile(r"[^\W\d].*\s\d{1,4}\s?[a-z]?$|\d{1,5}\s+[^\W\d].*")
_FORM: Final = re.compile(
    r"(?:GmbH(?:\s*&\s*Co\.?\s*KG)?|AG|KG|OHG|UG|SE|e\.\s?[KV]\.?|mbH|Ltd\.?|Limited|LLC|LLP|Inc\.?|Corp\.?|plc|SARL|S\.?A\.?S?|S\.?r\.?l\.?|B\.?V\.?|GbR)$"
)
_ADDRESS: Final = re.compile(r"(?:Anschrift|Adresse|Address)\s*:", re.IGNORECASE)
_INNER_LABEL: Final = re.compile(r"[^\W\d][\w.-]*\s?:(?:\s|$)")
_LABEL: Final = re.compile(r"[^\W\d][\w./ -]{0,28}:")
_NAME: Final = re.compile(r"(?:Name|Firma|Company)\s*:\s*", re.IGNORECASE)


def parties(lines: Sequence[str]) -> tuple[Candidates[str], Candidates[str]]:
    """The candidates for the seller and for the buyer."""
    sellers = _labelled("seller", lines, SELLER, BUYER)
    buyers = _labelled("buyer", lines, BUYER, SELLER)
    sender, recipient = _window(lines)
    if not sellers.found and sender:
        sellers.add(sender, sender)
    if not buyers.found and recipient:
        buyers.add(recipient, recipient)
    # A company at the very top is the sender only where somebody else is named as the recipient.
    head = next((line for line in lines if line), "")
    if not sellers.found and buyers.found and _FORM.search(head) and head not in buyers.found:
        sellers.add(head, head)
    return sellers, buyers


def same_party(one: str, other: str) -> bool:
    """Whether two names are one, but for spelling and a legal form that only one of them has."""
    first, second = (re.findall(r"\w+", name.casefold()) for name in (one, other))
    shorter, longer = sorted((first, second), key=len)
    return bool(shorter) and longer[: len(shorter)] == shorter


def _labelled(name: str, lines: Sequence[str], tiers: Sequence[re.Pattern[str]], others: Sequence[re.Pattern[str]]) -> Candidates[str]:
    for tier in tiers:
        candidates: Candidates[str] = Candidates(name)
        for place, line in enumerate(lines):
            found = tier.match(line)
            if not found or not (found.end() == len(line) or ":" in found[0]):
                continue
            party = _party(line[found.end() :].strip(), lines[place + 1 : place + 1 + BLOCK], others)
            if party:
                candidates.add(party, f"{line} {party}" if party not in line else line)
        if candidates.found:
            return candidates
    return Candidates(name)


def _party(rest: str, block: Sequence[str], others: Sequence[re.Pattern[str]]) -> str | None:
    if rest:
        return rest if _is_name(rest) and not any(other.match(rest) for other in others) else None
    for place, line in enumerate(block):
        if _ADDRESS.match(line) or any(other.match(line) for other in others):
            break
        if named := _NAME.match(line):
            name = line[named.end() :].strip() or _lines_of_name(block[place + 1 :])
            return name if name and not _INNER_LABEL.search(name) else None
    return _above_address([line for line in block if line])


def _above_address(block: Sequence[str]) -> str | None:
    """The first line of an address: a name, perhaps a second line, a street, a town."""
    town = next((place for place, line in enumerate(block) if _POSTCODE.search(line)), None)
    if town is None or not 2 <= town <= 4 or not _STREET.fullmatch(block[town - 1]):
        return None
    return block[0] if all(_is_name(line) for line in block[: town - 1]) else None


def _lines_of_name(block: Sequence[str]) -> str | None:
    name = []
    for line in block:
        if not line or _LABEL.match(line):
            break
        name.append(line)
    return " ".join(name) or None


def _is_name(line: str) -> bool:
    if not re.search(r"[^\W\d_]{2}", line) or "@" in line or _INNER_LABEL.search(line) or titles([line]):
        return False
    return bool(_FORM.search(line)) or not (_STREET.fullmatch(line) or _POSTCODE.search(line) or re.search(r"\d[.,]\d", line))


def _window(lines: Sequence[str]) -> tuple[str | None, str | None]:
    """The sender's line and the first line of the address under it, as they stand in the window of an envelope."""
    for place, line in enumerate(lines):
        parts = [part for part in _SEPARATOR.split(line) if part]
        if len(parts) < 3 or not any(_POSTCODE.match(part) for part in parts[1:]) or not any(_STREET.fullmatch(part) for part in parts[1:]):
            continue
        if _is_name(parts[0]):
            return parts[0], _above_address([line for line in lines[place + 1 : place + 8] if line])
    return None, None
