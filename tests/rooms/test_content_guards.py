"""The worked examples of guards: what they find, and what they leave alone."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pytest

from guards.citation import Claim, cited
from guards.privacy import masked, withheld
from guards.spending import CEILING, affordable
from pointsman.guard import Ask, Deny, Revise
from tools.ledger import Invoice

TEXT = "This Agreement may be terminated by either party  upon thirty (30) days'\nwritten notice."


@pytest.mark.parametrize(
    ("quotes", "passes"),
    [
        ([], True),
        (["terminated by either party upon thirty"], True),
        (["WRITTEN notice.", "this agreement may"], False),
        (["thirty (30) days' written notice"], True),
        (["terminated by either party upon sixty"], False),
        (["may be terminated", "either party may assign"], False),
        (["be term"], False),
        (["greement may be terminated"], False),
        ([""], False),
    ],
)
def test_a_claim_must_cite_text_that_is_there(quotes: list[str], passes: bool) -> None:
    said = cited.judge({"claims": [Claim(statement="x", quote=quote) for quote in quotes], "text": TEXT})
    assert (said is None) is passes
    assert passes or isinstance(said, Deny)


def test_claims_of_another_shape_are_denied() -> None:
    assert isinstance(cited.judge({"claims": [{"statement": "x"}], "text": TEXT}), Deny)
    assert isinstance(cited.judge({"claims": "none", "text": TEXT}), Deny)
    assert isinstance(cited.judge({"claims": []}), Deny)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("Write to kim@example.org or Kim.O+x@sub.example.co.uk.", "Write to [e-mail 1] or [e-mail 2]."),
        ("kim@example.org, again kim@example.org", "[e-mail 1], again [e-mail 1]"),
        ("Pay DE89 3704 0044 0532 0130 00 or GB82WEST12345698765432", "Pay [IBAN 1] or [IBAN 2]"),
        ("IBAN DE89 3704 0044 0532 0130 00 BIC COBADEFF and CH9300762011623852957 CHF", "IBAN [IBAN 1] BIC COBADEFF and [IBAN 2] CHF"),
        ("Call +49 30 901820 or 0301 2345678", "Call [phone 1] or [phone 2]"),
        ("a@b.example and DE89370400440532013000", "[e-mail 1] and [IBAN 1]"),
    ],
)
def test_personal_data_is_masked_and_refused(text: str, after: str) -> None:
    said = masked.judge({"text": text})
    assert isinstance(said, Revise)
    assert said.values == {"text": after}
    assert masked.judge({"text": after}) is None
    for content in (text, [{"type": "text", "text": text}]):
        refused = withheld.judge({"messages": [{"role": "user", "content": "fine"}, {"role": "user", "content": content}]})
        assert isinstance(refused, Deny)
        assert text not in refused.reason
    assert withheld.judge({"messages": [{"role": "user", "content": after}]}) is None


@pytest.mark.parametrize(
    "text",
    [
        "", "Invoice 2024-117 of 2024-11-27, total 1.190,00 EUR", "GB82WEST12345698765431", "order 00123", "VAT DE123456789",
        "4 711 000 items", "see @home", "12.11.2024 10:00", "RE-2024-000117",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_stays(text: str) -> None:
    assert masked.judge({"text": text}) is None
    assert withheld.judge({"messages": [{"role": "user", "content": text}]}) is None


def bill(**fields: Any) -> Invoice:
    return Invoice(**{"currency": "EUR", "total": Decimal(100), "due": Decimal(100), **fields})


def test_spending_has_a_ceiling_and_odd_terms_are_asked_about() -> None:
    day = datetime.date(2026, 11, 27)
    for sound in (bill(), bill(total=CEILING, due=CEILING), bill(date=day, due_date=day + datetime.timedelta(days=30)), bill(date=day)):
        assert affordable.judge({"invoice": sound}) is None
    for above in (bill(total=CEILING + 1), bill(due=-CEILING - 1), bill(currency=None), bill(currency="")):
        assert isinstance(affordable.judge({"invoice": above}), Deny)
    for odd in (datetime.timedelta(days=-1), datetime.timedelta(days=400)):
        said = affordable.judge({"invoice": bill(date=day, due_date=day + odd)})
        assert isinstance(said, Ask)
        assert said.role == "controller"
    assert isinstance(affordable.judge({"invoice": {"total": "many"}}), Deny)
