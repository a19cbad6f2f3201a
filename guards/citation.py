"""A claim must cite text that is there: what a model says a document says is held against the document."""

from __future__ import annotations

import re

from pydantic import BaseModel

from pointsman.guard import Deny, guard


class Claim(BaseModel):
    """Something said of a document, and the words of it that say so."""

    statement: str
    quote: str


LEAST = 3
"""Words that a quote has at least: fewer are found in any text."""


@guard(on="output")
def cited(claims: list[Claim], text: str) -> Deny | None:
    """Every claim quotes the text word for word; case and white space do not count."""
    source = f" {_plain(text)} "
    for number, claim in enumerate(claims, 1):
        quote = _plain(claim.quote)
        if len(re.findall(r"\w+", quote)) < LEAST:
            return Deny(f"claim {number} quotes fewer than {LEAST} words")
        if f" {quote} " not in source:
            return Deny(f"claim {number} quotes what the text does not say")
    return None


def _plain(text: str) -> str:
    return " ".join(re.findall(r"\w+|[^\w\s]", text.casefold()))
