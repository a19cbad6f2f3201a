"""What a model read: it fills what the rules did not find, where the pages bear it out, and overrules nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nodes.invoice.findings import Finding
from nodes.invoice.parties import same_party
from nodes.invoice.shown import SHOWN, is_borne_out
from nodes.invoice.state import Draft, InvoiceState, Reading
from tools.ledger import Invoice, missing


def unread(state: InvoiceState) -> list[str]:
    """The required fields that a model may find: printed ones for which the rules found nothing, on pages that have text.

    Not those that the page states in two ways: that is for a person.
    """
    if not state.get("text", "").strip():
        return []
    ambiguous = _ambiguous(tuple(Finding.model_validate(note) for note in state.get("notes") or ()))
    return [name for name in missing(Draft.model_validate(state["draft"]).invoice) if name in SHOWN and name not in ambiguous]


def taken(reading: Reading, invoice: Invoice, notes: Sequence[Finding], text: str) -> tuple[Invoice, list[Finding]]:
    """The invoice with what was read and is borne out; and a finding for each value that is not, or that the rules read otherwise."""
    ambiguous = _ambiguous(notes)
    fill: dict[str, Any] = {}
    doubts: list[Finding] = []
    for name in SHOWN:
        read, known = getattr(reading, name), getattr(invoice, name)
        if read is None or read == known or (name in ("seller", "buyer") and known and same_party(read, known)):
            continue
        if known is not None:
            doubts.append(Finding(code=f"disputed.{name}", text=f"{name}: the rules read {known}, the model {read}; set invoice.{name}"))
        elif not is_borne_out(name, read, text):
            said = f"{name}: the model read {read}, which the document does not show"
            doubts.append(Finding(code=f"unseen.{name}", text=f"{said}; set invoice.{name}"))
        elif name not in ambiguous:
            fill[name] = read
    return invoice.model_copy(update=fill), doubts


def _ambiguous(notes: Sequence[Finding]) -> set[str]:
    return {note.code.removeprefix("ambiguous.") for note in notes}
