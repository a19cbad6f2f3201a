"""What the ledger keeps: entries and claims, beside the keys it has answered (`tools/keyed.py`)."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from tools.keyed import Keyed, plain
from tools.ledger.invoice import Claim, Invoice, Receipt, Registration, missing
from tools.serving import Rejected

SCHEMA: Final = """
create table if not exists entries (
    entry integer primary key autoincrement, key text not null unique, number text not null, kind text not null,
    seller text not null, date text not null, currency text not null, total text not null, effect text not null,
    invoice text not null);
create table if not exists claims (
    document text primary key, name text not null, text text, data text, number text not null, seller text not null,
    date text not null, total text not null);
create index if not exists claims_text on claims (text);
create index if not exists claims_data on claims (data);
create index if not exists claims_number on claims (number);
"""


class Book(Keyed):
    """The ledger's storage."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, SCHEMA)

    def post(self, invoice: Invoice, key: str) -> Receipt:
        """Enters an invoice once per key. Raises `Rejected`: 400 if a required field is unknown, 422 if the key was used otherwise."""
        return self.once(key, invoice, Receipt, lambda: self._enter(invoice, key))

    def register(self, claim: Claim, key: str) -> Registration:
        """Gives a content to the first document that claims it. Raises `Rejected` 422 if the key was used otherwise."""
        return self.once(key, claim, Registration, lambda: self._hold(claim))

    def entries(self) -> list[dict[str, Any]]:
        """All entries in their order, amounts as decimal text."""
        return [
            dict(row)
            for row in self.rows("select entry, key, number, kind, seller, date, currency, total, effect from entries order by entry")
        ]

    def _enter(self, invoice: Invoice, key: str) -> Receipt:
        if unknown := missing(invoice):
            raise Rejected(400, f"the invoice lacks {', '.join(unknown)}")
        number, currency, due = str(invoice.number), str(invoice.currency), invoice.due or Decimal(0)  # `missing` found none of them
        effect = -due if invoice.kind == "credit note" else due
        row = self.db.execute(
            "insert into entries (key, number, kind, seller, date, currency, total, effect, invoice)"
            " values (?, ?, ?, ?, ?, ?, ?, ?, ?) returning entry",
            (
                key,
                invoice.number,
                invoice.kind,
                invoice.seller,
                str(invoice.date),
                invoice.currency,
                str(invoice.total),
                str(effect),
                invoice.model_dump_json(),
            ),
        ).fetchone()
        return Receipt(entry=row["entry"], number=number, currency=currency, effect=effect)

    def _hold(self, claim: Claim) -> Registration:
        # A part that only one of two documents has cannot tell them apart: the same page with its XML cut off,
        # or the same XML sent alone, is the same invoice again.
        holder = self.db.execute(
            "select document, name from claims where document = :document"
            " or (text = :text and (data = :data or data is null or :data is null))"
            " or (data = :data and (text is null or :text is null))"
            " order by document <> :document, rowid limit 1",
            claim.model_dump(include={"document", "text", "data"}),
        ).fetchone()
        if holder is not None and holder["document"] != claim.document:
            return Registration(held="taken", holder=holder["document"], holder_name=holder["name"])
        similar = self.db.execute(
            "select name from claims where number = ? and seller = ? and date = ? and total = ? and document <> ? order by rowid",
            (claim.number, claim.seller, str(claim.date), plain(claim.total), claim.document),
        ).fetchall()
        self.db.execute(
            "insert or ignore into claims values (:document, :name, :text, :data, :number, :seller, :date, :total)",
            claim.model_dump(mode="json") | {"total": plain(claim.total)},
        )
        return Registration(held="yours", holder=claim.document, holder_name=claim.name, similar=tuple(row["name"] for row in similar))
