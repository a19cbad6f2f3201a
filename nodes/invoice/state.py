"""The state of an invoice's run, field by field in the order in which the nodes write them."""

from __future__ import annotations

import datetime
from decimal import Decimal

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict

from nodes.invoice.findings import Finding
from pointsman import InputFile
from tools.archive import Archived
from tools.ledger import Claim, Invoice, Receipt, Registration


class Embedded(BaseModel):
    """The XML of a document: what it states, what is wrong with it, and a digest of its content.

    `digest` is None where the XML could not be read; `invoice` is then empty and `problems` says why.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    invoice: Invoice = Invoice()
    problems: tuple[Finding, ...] = ()
    digest: str | None = None


class Draft(BaseModel):
    """An invoice that has not been checked yet, and the codes of findings in which a person says that its document is right as it stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    invoice: Invoice = Invoice()
    confirmed: tuple[str, ...] = ()


class Reading(BaseModel):
    """What a model read: the fields that pages print, None for what they do not state. Amounts in the invoice's currency, as printed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    number: str | None = None
    date: datetime.date | None = None
    due_date: datetime.date | None = None
    seller: str | None = None
    buyer: str | None = None
    currency: str | None = None
    net: Decimal | None = None
    tax: Decimal | None = None
    total: Decimal | None = None
    prepaid: Decimal | None = None
    due: Decimal | None = None


class InvoiceState(TypedDict, total=False):
    """What a run knows of its invoice. A person repairs `draft`; `invoice` is there only once everything about it has been checked."""

    path: InputFile
    text: str
    """What the pages say, one line for each printed line; empty for XML and for scans."""
    images: int
    """How many pictures the pages show."""
    embedded: Embedded | None
    draft: Draft
    notes: tuple[Finding, ...]
    """What the rules could not settle while extracting; each explains a field that is None."""
    reading: Reading | None
    """What a model read and the check has not looked at yet."""
    findings: tuple[Finding, ...]
    """What the check doubts in the draft."""
    invoice: Invoice
    claim: Claim
    registration: Registration
    receipt: Receipt
    archived: Archived
    reason: str
    """Why the document is set aside; there only if it is."""
