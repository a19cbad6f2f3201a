"""The check: nothing is posted that is incomplete, does not add up, is not on the page, or contradicts its own XML."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from nodes.invoice.findings import Finding
from nodes.invoice.interpret import taken
from nodes.invoice.parties import same_party
from nodes.invoice.state import Draft, Embedded, InvoiceState, Reading
from tools.ledger import Claim, Invoice, Registration, TaxShare, kind_of, missing

CENT: Final = Decimal("0.01")
HIGHEST_RATE: Final = Decimal(27)
"""Per cent: no country of the EU, nor Switzerland, Norway or the United Kingdom, asks for more."""

_COMPARED: Final = ("number", "kind", "type_code", "date", "due_date", "currency", "net", "tax", "total", "prepaid", "due")
_COPY: Final = {"kopie", "duplikat", "zweitschrift", "copy", "duplicate", "copie", "duplicata"}


def check_invoice(state: InvoiceState) -> InvoiceState:
    """Checks the draft as it is in the state now: writes everything that is in doubt to `findings`, and `invoice` and `claim` only if nothing is.

    What a model read is taken into the draft first. A person settles a finding by repairing `draft.invoice` (the findings are worked out
    anew), or, where the document is right as it stands, by listing the finding's code in `draft.confirmed`. A missing field cannot be confirmed.
    """
    draft = Draft.model_validate(state["draft"])
    embedded = _embedded(state)
    notes = tuple(Finding.model_validate(note) for note in state.get("notes") or ())
    invoice, doubts = draft.invoice, list[Finding]()
    if (reading := state.get("reading")) is not None:
        invoice, doubts = taken(Reading.model_validate(reading), invoice, notes, state.get("text", ""))
    unseen = {doubt.code.removeprefix("unseen.") for doubt in doubts}
    doubts += [doubt for doubt in _missing(invoice, notes) if doubt.code.removeprefix("missing.") not in unseen]
    doubts += [doubt for doubt in findings(invoice, embedded) if doubt.code not in draft.confirmed]
    checked: InvoiceState = {
        "draft": draft.model_copy(update={"invoice": invoice}),
        "reading": None,
        "findings": tuple(doubts),
    }
    return checked if doubts else {**checked, "invoice": invoice, "claim": _claim(state, invoice, embedded)}


def judge_claim(state: InvoiceState) -> InvoiceState:
    """Writes `reason` if the ledger knows the content from another document."""
    held = Registration.model_validate(state["registration"])
    if held.held == "yours":
        return {}
    return {"reason": f"duplicate: the same invoice came before as {held.holder_name} (SHA-256 {held.holder})"}


def _embedded(state: InvoiceState) -> Embedded | None:
    found = state.get("embedded")
    return None if found is None else Embedded.model_validate(found)


def findings(invoice: Invoice, embedded: Embedded | None) -> Iterator[Finding]:
    """Every doubt about an invoice but missing fields."""
    yield from _kind(invoice)
    if invoice.seller and invoice.buyer and same_party(invoice.seller, invoice.buyer):
        yield Finding(code="parties", text=f"seller and buyer are the same: {invoice.seller} and {invoice.buyer}")
    yield from _dates(invoice)
    yield from _sums(invoice)
    yield from _taxes(invoice)
    if embedded is not None:
        yield from embedded.problems
        yield from _conflicts(invoice, embedded.invoice)


def _missing(invoice: Invoice, notes: tuple[Finding, ...]) -> Iterator[Finding]:
    why = {note.code.removeprefix("ambiguous."): note.text for note in notes}
    names = missing(invoice)
    if names and "scan" in why:
        yield Finding(code="scan", text=f"{why['scan']}: set invoice to an object with {', '.join(names)}")
        return
    for name in names:
        text = why.get(name, f"{name}: nobody found it on the document")
        yield Finding(code=f"missing.{name}", text=f"{text}; set invoice.{name}")


def _kind(invoice: Invoice) -> Iterator[Finding]:
    if invoice.type_code and kind_of(invoice.type_code) != invoice.kind:
        text = (
            f"type code {invoice.type_code} stands for {kind_of(invoice.type_code) or 'nothing that can be posted'}, not for {invoice.kind}"
        )
        yield Finding(code="kind", text=text)
    if invoice.currency and not re.fullmatch(r"[A-Z]{3}", invoice.currency):
        yield Finding(code="currency", text=f"{invoice.currency!r} is no currency code")
    if invoice.total is not None and invoice.total < 0 and invoice.kind == "credit note":
        text = f"a credit note with the negative total {invoice.total} would be owed by us"
        yield Finding(code="sign", text=f"{text}; if it is owed to us, set its amounts without the minus")
    elif invoice.total is not None and invoice.total < 0 and invoice.kind == "invoice":
        yield Finding(code="sign", text=f"the total of an invoice is negative: {invoice.total}")


def _dates(invoice: Invoice) -> Iterator[Finding]:
    if invoice.date and not 1990 <= invoice.date.year <= 2100:
        yield Finding(code="date", text=f"the invoice date {invoice.date} cannot be right")
    if invoice.date and invoice.due_date and invoice.due_date < invoice.date:
        yield Finding(code="due_date", text=f"payment is due on {invoice.due_date}, before the invoice date {invoice.date}")


def _sums(invoice: Invoice) -> Iterator[Finding]:
    if invoice.net is not None and invoice.tax is not None and invoice.total is not None:
        expected = invoice.net + invoice.tax
        if expected != invoice.total:
            text = f"net {invoice.net} + tax {invoice.tax} = {expected}, but the total is given as {invoice.total}"
            yield Finding(code="total", text=text)
    if invoice.total is not None and invoice.prepaid is not None and invoice.due is not None:
        expected = invoice.total - invoice.prepaid + invoice.rounding
        if expected != invoice.due:
            text = f"total {invoice.total} - prepaid {invoice.prepaid} + rounding {invoice.rounding} = {expected}"
            yield Finding(code="due", text=f"{text}, but the amount due is given as {invoice.due}")


def _taxes(invoice: Invoice) -> Iterator[Finding]:
    if invoice.tax is None or invoice.net is None:
        return
    # Signs are left out: a credit note may print them either way, and the sums above have seen to them.
    tax, net, shares = abs(invoice.tax), abs(invoice.net), invoice.taxes
    slack = max(2 * CENT, CENT * len(invoice.lines))
    if shares and (added := abs(sum((share.amount for share in shares), Decimal(0)))) != tax:
        yield Finding(code="tax", text=f"the taxes by rate add up to {added}, but the tax is given as {tax}")
    if len(shares) == 1 and shares[0].basis is None:
        shares = (TaxShare(rate=shares[0].rate, basis=net, amount=shares[0].amount),)
    for share in shares:
        expected = abs(share.basis if share.basis is not None else Decimal(0)) * share.rate / 100
        if share.basis is not None and abs(expected - abs(share.amount)) > slack:
            text = f"{share.rate} % of {share.basis} is {expected:.2f}, but the tax is given as {share.amount}"
            yield Finding(code="tax.rate", text=text)
    highest = max((share.rate for share in shares), default=HIGHEST_RATE)
    if tax > net * highest / 100 + slack:
        text = f"the tax {tax} is more than {highest} % of the net amount {net}"
        yield Finding(code="tax.high", text=text)


def _conflicts(invoice: Invoice, data: Invoice) -> Iterator[Finding]:
    for name in _COMPARED:
        page, xml = getattr(invoice, name), getattr(data, name)
        if page is not None and xml is not None and page != xml:
            yield _conflict(name, page, xml)
    for name in ("seller", "buyer"):
        page, xml = getattr(invoice, name), getattr(data, name)
        if page and xml and not same_party(page, xml):
            yield _conflict(name, page, xml)


def _conflict(name: str, page: object, xml: object) -> Finding:
    text = f"{name}: the invoice has {page}, its XML has {xml}; set invoice.{name} to the XML's value if that is right, else confirm"
    return Finding(code=f"conflict.{name}", text=text)


def _claim(state: InvoiceState, invoice: Invoice, embedded: Embedded | None) -> Claim:
    words = sorted(word for word in re.findall(r"\S+", state.get("text", "").casefold()) if word not in _COPY)
    document = state["path"]
    return Claim(
        document=document.sha256,
        name=document.name,
        text=hashlib.sha256(" ".join(words).encode()).hexdigest() if words else None,
        data=embedded.digest if embedded else None,
        number=str(invoice.number),
        seller=str(invoice.seller),
        date=invoice.date,  # type: ignore[arg-type]
        total=invoice.total,  # type: ignore[arg-type]
    )
