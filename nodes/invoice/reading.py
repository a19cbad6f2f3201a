"""Finding labelled values on a page: candidates first, and a value only if they agree."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Generic, TypeVar

from nodes.invoice.findings import Finding
from nodes.invoice.notation import AMOUNT, DATE, DayOrder, amount, dates

Value = TypeVar("Value")

CURRENCY: Final = r"(?:EUR|USD|CHF|GBP|[€$£])"
_ONLY_AMOUNT: Final = re.compile(rf"\(?{CURRENCY}?\)?\s*:?\s*(?P<amount>{AMOUNT.pattern})\s*{CURRENCY}?", re.VERBOSE)
_ALL_TOKENS: Final = re.compile(r"[A-Z0-9][A-Z0-9./_-]*(?:\s[A-Z0-9./_-]+)*")


@dataclass
class Candidates(Generic[Value]):
    """What a page offers for one field. None stands for a place that can be read in two ways."""

    name: str
    found: list[Value | None] = field(default_factory=list)
    quotes: list[str] = field(default_factory=list)

    def add(self, value: Value | None, quote: str) -> None:
        """Takes a value and the line it stands in."""
        self.found.append(value)
        self.quotes.append(quote)

    def settle(self) -> tuple[Value | None, Finding | None]:
        """The value if all places agree; else None, and why."""
        values = [value for value in self.found if value is not None]
        if len(values) == len(self.found) and len(set(values)) == 1:
            return values[0], None
        if not self.found:
            return None, None
        quoted = "; ".join(dict.fromkeys(f"“{quote}”" for quote in self.quotes))
        why = "says different things" if len(set(values)) > 1 else "can be read in more than one way"
        return None, Finding(code=f"ambiguous.{self.name}", text=f"{self.name}: the page {why}: {quoted}")


def labelled(lines: Sequence[str], label: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Each line that begins with a label: what stands after it (on the next line, if nothing does), and the line.

    Where labels are stacked (several in a row, then their values), nobody can say which value belongs to which: they are left out.
    """
    for place, line in enumerate(lines):
        found = label.match(line)
        if not found:
            continue
        rest = line[found.end() :].strip()
        if rest:
            yield rest, line
        elif place + 1 < len(lines) and not (place and lines[place - 1].endswith(":")):
            yield lines[place + 1].strip(), f"{line} {lines[place + 1]}"


def first_tier(
    name: str,
    lines: Sequence[str],
    tiers: Sequence[re.Pattern[str]],
    read: Callable[[str], list[Value | None]],
) -> Candidates[Value]:
    """The candidates under the surest label that has any."""
    for tier in tiers:
        candidates: Candidates[Value] = Candidates(name)
        for rest, line in labelled(lines, tier):
            for value in read(rest):
                candidates.add(value, line)
        if candidates.found:
            return candidates
    return Candidates(name)


def sole_amount(rest: str) -> list[Decimal | None]:
    """The amount that a text consists of, perhaps with a currency; nothing if it says more than that."""
    found = _ONLY_AMOUNT.fullmatch(rest.strip())
    return [amount(found["amount"])] if found else []


def leading_date(order: DayOrder | None) -> Callable[[str], list[datetime.date | None]]:
    """Reads the date that a text begins with; nothing if it begins otherwise."""

    def read(rest: str) -> list[datetime.date | None]:
        found = DATE.match(rest)
        return [next(dates(found[0], order))] if found else []

    return read


def identifier(rest: str) -> list[str | None]:
    """The document number that a text begins with; None if it is not clear where it ends."""
    value = re.split(r"\s{2,}|\s+(?=[A-ZÄÖÜ][\w.-]+(?:\s[\w.-]+)?\s*:)|\s+(?:vom|von|dated|issued|of|du|Datum|Date)\b", rest)[0]
    value = DATE.sub(" ", value).strip(" .,;:|")
    tokens = value.split()
    if not tokens or not any(sign.isdigit() for sign in value):
        return []
    if re.fullmatch(r"-?[\d.,']*[.,]\d{2}", value):  # an amount has strayed here
        return [None]
    if len(tokens) == 1 or (len(tokens) <= 4 and _ALL_TOKENS.fullmatch(value)):
        return [value]
    return [None]
