"""What the ledger speaks: an invoice, the claim on its content, and the answers to both."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, Field

Kind = Literal["invoice", "credit note", "correction"]

CREDIT_CODES: Final = frozenset({"81", "83", "261", "262", "296", "308", "381", "396", "420", "458", "532"})
"""UNTDID 1001 codes whose positive amounts are owed to the buyer."""

CORRECTION_CODES: Final = frozenset({"384"})

INVOICE_CODES: Final = frozenset(
    [
        "80",
        "82",
        "84",
        "130",
        "202",
        "203",
        "204",
        "211",
        "218",
        "219",
        "295",
        "326",
        "331",
        "380",
        "382",
        "383",
        "385",
        "386",
        "387",
        "388",
        "389",
        "390",
        "393",
        "394",
        "395",
        "456",
        "457",
        "527",
        "553",
        "575",
        "623",
        "633",
        "751",
        "780",
        "817",
        "870",
        "875",
        "876",
        "877",
        "935",
    ]
)
"""UNTDID 1001 codes which EN 16931 counts as invoices; 325 (pro forma) is left out on purpose: it claims nothing."""


def kind_of(code: str) -> Kind | None:
    """Which kind a UNTDID 1001 type code stands for; None where it stands for no claim at all."""
    if code in CREDIT_CODES:
        return "credit note"
    if code in CORRECTION_CODES:
        return "correction"
    return "invoice" if code in INVOICE_CODES else None


class Frozen(BaseModel):
    """A value: it cannot be changed and has no fields but its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TaxShare(Frozen):
    """One row of the tax breakdown. `rate` in per cent, amounts in the invoice's currency."""

    rate: Decimal
    basis: Decimal | None = None
    amount: Decimal


class Line(Frozen):
    """One line of goods or services. `amount` is net of tax, in the invoice's currency."""

    name: str
    quantity: Decimal | None = None
    price: Decimal | None = None
    amount: Decimal


class Invoice(Frozen):
    """An invoice, credit note or correction as its document states it.

    A field is None while it is not known for sure; the ledger refuses an invoice with any of `REQUIRED` unknown.
    Amounts are exact decimals in `currency`, with the sign of the document: a credit note's positive total is owed
    to the buyer. `net` + `tax` + `rounding` = `total`, and `total` - `prepaid` = `due`.
    """

    number: str | None = None
    kind: Kind | None = None
    type_code: str | None = Field(default=None, description="UNTDID 1001, for instance 380, 381, 384, 389, 575")
    date: datetime.date | None = None
    due_date: datetime.date | None = None
    seller: str | None = None
    buyer: str | None = None
    currency: str | None = Field(default=None, description="ISO 4217")
    net: Decimal | None = None
    tax: Decimal | None = None
    total: Decimal | None = None
    prepaid: Decimal | None = None
    rounding: Decimal = Decimal(0)
    due: Decimal | None = None
    taxes: tuple[TaxShare, ...] = ()
    lines: tuple[Line, ...] = ()


REQUIRED: Final = ("number", "kind", "type_code", "date", "seller", "buyer", "currency", "net", "tax", "total", "prepaid", "due")
"""The fields without which nothing may be posted."""


def missing(invoice: Invoice) -> list[str]:
    """The names of the required fields that are unknown, in their order."""
    return [name for name in REQUIRED if getattr(invoice, name) in (None, "")]


class Receipt(Frozen):
    """What the ledger answers when an invoice is posted.

    `effect` is what the entry adds to what the buyer owes: `due` for an invoice or a correction, -`due` for a credit note.
    """

    entry: int
    number: str
    currency: str
    effect: Decimal


class Claim(Frozen):
    """A document's claim to be the only one with its content.

    `document` is the SHA-256 of the file; `text` and `data` are digests of what the page says and of what the XML says
    (None where the document has no such part). Layout, white space and metadata are in neither.
    """

    document: str
    name: str
    text: str | None = None
    data: str | None = None
    number: str
    seller: str
    date: datetime.date
    total: Decimal


class Registration(Frozen):
    """The ledger's answer to a claim.

    `held` says whose the content is: the asking document's, or that of an earlier document, which `holder` (SHA-256)
    and `holder_name` name. `similar` names documents with the same number, seller, date and total but other content:
    they are different documents, and worth a look.
    """

    held: Literal["yours", "taken"]
    holder: str
    holder_name: str
    similar: tuple[str, ...] = ()
