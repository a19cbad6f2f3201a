"""Personal data before it leaves: masked in what a node is given, or refused in what a model is sent.

Found by form and checksum, not by guessing: e-mail addresses, IBANs (ISO 13616, checked modulo 97), telephone numbers. Names and addresses of
people have no such form and are not found; the first means is to declare only the fields that a node needs.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from pointsman.guard import Deny, Revise, guard

_EMAIL: Final = re.compile(r"(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_IBAN: Final = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]){11,30}\b")
_PHONE: Final = re.compile(
    r"(?<![\w.,/-])(?:\+|00)\d{1,3}(?:[ ./-]?\(?\d+\)?){2,6}(?![\w])|(?<![\w.,/-])0\d{2,4}[ /-]\d{3,}(?:[ -]?\d+)*(?![\w])"
)

_LENGTHS: Final = {
    15: "NO",
    16: "BE",
    18: "DK FI FO GL NL",
    19: "MK SI",
    20: "AT BA EE KZ LT LU XK",
    21: "CH HR LI LV",
    22: "BG BH CR DE GB GE IE ME RS VA",
    23: "AE GI IL",
    24: "AD CZ ES MD PK RO SA SE SK TN",
    25: "PT",
    26: "IS TR",
    27: "FR GR IT MC SM",
    28: "AL AZ CY HU LB PL",
    29: "BR EG QA UA",
    30: "JO KW MU",
    31: "MT",
}
"""Letters and digits of an IBAN, and the countries whose IBANs have so many (the registry of ISO 13616)."""

_SIGNS: Final = {country: length for length, countries in _LENGTHS.items() for country in countries.split()}


def _iban(found: str) -> str:
    """The IBAN that a text begins with, blanks and all; empty where its checksum is wrong."""
    signs, wanted = 0, _SIGNS.get(found[:2], len(found))  # of other countries all that follows is taken
    end = next((place for place, sign in enumerate(found, 1) if (signs := signs + (sign != " ")) == wanted), len(found))
    text = found[:end].replace(" ", "")
    digits = "".join(str(int(sign, 36)) for sign in text[4:] + text[:4])
    return found[:end] if int(digits) % 97 == 1 else ""


def _phone(found: str) -> str:
    return found if 8 <= sum(sign.isdigit() for sign in found) <= 15 else ""


_KINDS: Final[tuple[tuple[str, re.Pattern[str], Callable[[str], str]], ...]] = (
    ("e-mail", _EMAIL, lambda found: found),
    ("IBAN", _IBAN, _iban),
    ("phone", _PHONE, _phone),
)
"""What is found: its name, its form, and what of it counts."""


@guard(on="input")
def masked(text: str) -> Revise | None:
    """Each address and number in a text is replaced by its kind and a count; the same one by the same count."""
    counts: dict[str, int] = {}
    for kind, pattern, part in _KINDS:
        known: dict[str, str] = {}

        def put(match: re.Match[str], kind: str = kind, known: dict[str, str] = known, part: Callable[[str], str] = part) -> str:
            one = part(match[0])
            return known.setdefault(one, f"[{kind} {len(known) + 1}]") + match[0].removeprefix(one) if one else match[0]

        text, counts[kind] = pattern.sub(put, text), len(known)
    told = ", ".join(f"{count} {kind}" for kind, count in counts.items() if count)
    return Revise(text=text, reason=f"masked {told}") if told else None


@guard(on="arguments", calls=("model",))
def withheld(messages: list[dict[str, Any]]) -> Deny | None:
    """Nothing that a model is sent holds such an address or number."""
    for content in _texts([message.get("content") for message in messages]):
        for kind, pattern, part in _KINDS:
            if any(part(match[0]) for match in pattern.finditer(content)):
                return Deny(f"the request holds personal data ({kind})")
    return None


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)
