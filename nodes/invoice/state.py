"""The state of an invoice's run, field by field in the order in which the nodes write them."""

from __future__ import annotations

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


class InvoiceState(TypedDict, total=False):
    """What a run knows of its invoice.

    A person repairs `invoice`, or lists in `confirmed` the codes of findings in which the document is right as it stands.
    """

    path: InputFile
    text: str
    """What the pages say, one line for each printed line; empty for XML and for scans."""
    images: int
    """How many pictures the pages show."""
    embedded: Embedded | None
    invoice: Invoice
    notes: tuple[Finding, ...]
    """What the rules could not settle while extracting; each explains a field that is None."""
    confirmed: list[str]
    claim: Claim
    registration: Registration
    receipt: Receipt
    archived: Archived
    reason: str
    """Why the document is set aside; empty while it is not."""
