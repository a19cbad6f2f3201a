"""How documents write amounts and dates, in German, English, French and Swiss notation.

Both readers return None where a text can be read in two ways: a wrong amount is worse than none.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Final, Literal

DayOrder = Literal["day first", "month first"]

# No-break spaces group thousands (1 234,56); a plain space may just as well stand between a rate and an amount.
_GROUPS: Final = "\u00a0\u202f\u2009"
AMOUNT: Final = re.compile(
    rf"""(?<![\w.,'’/-])
    (?P<open>\()?(?P<sign>[-+])?\s?(?:(?:EUR|USD|CHF|GBP|[€$£])\s?)?(?P<sign2>[-+])?
    (?P<body>\d+(?:[.,'’{_GROUPS}]\d+)*)
    (?:,-|,–|\.-|\.–)?(?P<close>\))?(?P<after>-(?![\w]))?
    (?![\w/]|[.,:]\d)""",
    re.VERBOSE,
)
_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "january januar jänner janvier jan",
            "february februar février feb fév",
            "march märz mars mar mär mrz",
            "april avril apr avr",
            "may mai",
            "june juni juin jun",
            "july juli juillet jul juil",
            "august août aug",
            "september septembre sep sept",
            "october oktober octobre oct okt",
            "november novembre nov",
            "december dezember décembre dec dez déc",
        ),
        1,
    )
    for name in names.split()
}
_MONTH: Final = "|".join(sorted(_MONTHS, key=len, reverse=True))
DATE: Final = re.compile(
    rf"""(?<![\w.,/-])(?:
    (?P<iso>\d{{4}}-\d{{2}}-\d{{2}})
    |(?P<dots>\d{{1,2}}\.\s?\d{{1,2}}\.\s?(?:\d{{4}}|\d{{2}}))
    |(?P<slashes>\d{{1,2}}[/-]\d{{1,2}}[/-]\d{{4}})
    |(?P<day>\d{{1,2}})(?:\.|st|nd|rd|th|er)?\s+(?P<month>{_MONTH})\.?,?\s+(?P<year>\d{{4}})
    |(?P<month2>{_MONTH})\.?\s+(?P<day2>\d{{1,2}})(?:st|nd|rd|th)?,?\s+(?P<year2>\d{{4}})
    )(?![\w/]|-\d|\.\d)""",
    re.VERBOSE | re.IGNORECASE,
)


def amount(text: str) -> Decimal | None:
    """The amount that a text consists of, or None if it is none or can be read in two ways (1.234)."""
    found = AMOUNT.fullmatch(text.strip())
    return _value(found) if found else None


def amounts(text: str) -> list[Decimal | None]:
    """All amounts in a text from left to right, None for each that can be read in two ways."""
    return [_value(found) for found in AMOUNT.finditer(text)]


def _value(found: re.Match[str]) -> Decimal | None:
    plain = _number(found["body"])
    if plain is None:
        return None
    negative = "-" in (found["sign"], found["sign2"]) or bool(found["after"]) or bool(found["open"] and found["close"])
    return -plain if negative else plain


def _number(body: str) -> Decimal | None:
    marks = re.findall(r"\D", body)
    if not marks:
        return Decimal(body)
    whole, last, rest = re.split(r"(\D)(?=\d*$)", body, maxsplit=1)
    grouped = all(len(part) == 3 for part in re.split(r"\D", whole)[1:]) and len(re.split(r"\D", whole)[0]) <= 3
    if len(set(marks)) == 1:
        if last in ".," and len(marks) == 1 and len(rest) != 3:
            return Decimal(f"{whole}.{rest}")
        sure = last not in ".," or len(marks) > 1  # 1.234 may be 1234 or 1,234; 1.234.567 is only one thing
        return Decimal(re.sub(r"\D", "", body)) if sure and grouped and len(rest) == 3 else None
    if last in ".," and marks.count(last) == 1 and len(set(marks)) == 2 and (grouped or len(marks) == 1):
        return Decimal(re.sub(r"\D", "", whole) + "." + rest)
    return None


def day_order(text: str) -> DayOrder | None:
    """How a document writes dates with slashes, told by those that can be read in one way only; None if they do not say."""
    said: set[DayOrder] = set()
    for found in re.finditer(r"(?<![\d/.-])(\d{1,2})[/-](\d{1,2})[/-]\d{4}(?![\d/])", text):
        first, second = int(found[1]), int(found[2])
        if first > 12 >= second:
            said.add("day first")
        if second > 12 >= first:
            said.add("month first")
    return said.pop() if len(said) == 1 else None


def dates(text: str, order: DayOrder | None = None) -> Iterator[datetime.date | None]:
    """All dates in a text from left to right, None for each that is no day or can be read in two ways."""
    for found in DATE.finditer(text):
        yield _date(found, order)


def _date(found: re.Match[str], order: DayOrder | None) -> datetime.date | None:
    if found["iso"]:
        return _day(*(int(part) for part in found["iso"].split("-")))
    if found["dots"]:
        day, month, year = (int(part) for part in found["dots"].split("."))
        return _day(year + 2000 if year < 100 else year, month, day)
    if found["slashes"]:
        first, second, year = (int(part) for part in re.split("[/-]", found["slashes"]))
        return _slashed(first, second, year, order)
    month = _MONTHS[(found["month"] or found["month2"]).lower()]
    return _day(int(found["year"] or found["year2"]), month, int(found["day"] or found["day2"]))


def _slashed(first: int, second: int, year: int, order: DayOrder | None) -> datetime.date | None:
    if first == second or first > 12 or order == "day first":
        return _day(year, second, first)
    if second > 12 or order == "month first":
        return _day(year, first, second)
    return None


def _day(year: int, month: int, day: int) -> datetime.date | None:
    try:
        return datetime.date(year, month, day)
    except ValueError:
        return None
