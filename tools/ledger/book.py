"""What the ledger keeps: entries, claims and answered keys in one SQLite file.

An answer is given only after the transaction that holds it, its key and its effect is on disk (`synchronous=FULL`),
so a process that is killed loses nothing it acknowledged, and a repeated key finds either all of it or nothing.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from tools.ledger.invoice import Claim, Invoice, Receipt, Registration, missing

Answer = TypeVar("Answer", bound=BaseModel)

SCHEMA: Final = """
create table if not exists keys (
    key text primary key, digest text not null, requests integer not null, applied integer not null, answer text);
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


@dataclass
class Rejected(Exception):
    """A request that was not applied. `status` is the HTTP status, `reason` says why in plain words."""

    status: int
    reason: str


class Book:
    """The ledger's storage. Safe to use from several threads; one process at a time (the service holds a lock)."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=full")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        """Closes the file; open transactions are rolled back."""
        with self._lock:
            self._db.close()

    def post(self, invoice: Invoice, key: str) -> Receipt:
        """Enters an invoice once per key. Raises `Rejected`: 400 if a required field is unknown, 422 if the key was used otherwise."""
        return self._once(key, invoice, Receipt, lambda: self._enter(invoice, key))

    def register(self, claim: Claim, key: str) -> Registration:
        """Gives a content to the first document that claims it. Raises `Rejected` 422 if the key was used otherwise."""
        return self._once(key, claim, Registration, lambda: self._hold(claim))

    def counts(self) -> dict[str, dict[str, int]]:
        """How often each key came (`requests`) and whether it took effect (`applied`, 0 or 1)."""
        rows = self._rows("select key, requests, applied from keys order by rowid")
        return {row["key"]: {"requests": row["requests"], "applied": row["applied"]} for row in rows}

    def entries(self) -> list[dict[str, Any]]:
        """All entries in their order, amounts as decimal text."""
        return [
            dict(row)
            for row in self._rows("select entry, key, number, kind, seller, date, currency, total, effect from entries order by entry")
        ]

    def _rows(self, query: str) -> list[sqlite3.Row]:
        with self._lock:
            return self._db.execute(query).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self._db.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._db.execute("rollback")
                raise
            self._db.execute("commit")

    def _once(self, key: str, request: BaseModel, kind: type[Answer], apply: Callable[[], Answer]) -> Answer:
        """Counts the request, and applies it unless its key was answered before."""
        digest = _digest(request)
        refusal: Rejected | None = None
        answer: Answer | None = None
        with self._transaction():
            self._db.execute(
                "insert into keys (key, digest, requests, applied) values (?, ?, 1, 0)"
                " on conflict (key) do update set requests = requests + 1",
                (key, digest),
            )
            row = self._db.execute("select digest, applied, answer from keys where key = ?", (key,)).fetchone()
            if row["applied"] and row["digest"] != digest:
                refusal = Rejected(422, "this key was used for another request; nothing was changed")
            elif row["applied"]:
                answer = kind.model_validate_json(row["answer"])
            else:
                try:
                    answer = apply()
                except Rejected as error:  # a refused request is counted, and its key stays free
                    refusal = error
                else:
                    self._db.execute(
                        "update keys set digest = ?, applied = 1, answer = ? where key = ?", (digest, answer.model_dump_json(), key)
                    )
        if answer is None:
            raise refusal or AssertionError("neither answered nor refused")
        return answer

    def _enter(self, invoice: Invoice, key: str) -> Receipt:
        if unknown := missing(invoice):
            raise Rejected(400, f"the invoice lacks {', '.join(unknown)}")
        number, currency, due = str(invoice.number), str(invoice.currency), invoice.due or Decimal(0)  # `missing` found none of them
        effect = -due if invoice.kind == "credit note" else due
        row = self._db.execute(
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
        holder = self._db.execute(
            "select document, name from claims where document = :document"
            " or (text = :text and (data = :data or data is null or :data is null))"
            " or (data = :data and (text is null or :text is null))"
            " order by document <> :document, rowid limit 1",
            claim.model_dump(include={"document", "text", "data"}),
        ).fetchone()
        if holder is not None and holder["document"] != claim.document:
            return Registration(held="taken", holder=holder["document"], holder_name=holder["name"])
        similar = self._db.execute(
            "select name from claims where number = ? and seller = ? and date = ? and total = ? and document <> ? order by rowid",
            (claim.number, claim.seller, str(claim.date), _plain(claim.total), claim.document),
        ).fetchall()
        self._db.execute(
            "insert or ignore into claims values (:document, :name, :text, :data, :number, :seller, :date, :total)",
            claim.model_dump(mode="json") | {"total": _plain(claim.total)},
        )
        return Registration(held="yours", holder=claim.document, holder_name=claim.name, similar=tuple(row["name"] for row in similar))


def _digest(request: BaseModel) -> str:
    # 10.5 and 10.50 are one amount: a client that was restarted may have either.
    content = json.dumps(request.model_dump(), sort_keys=True, default=_plain)
    return hashlib.sha256(f"{type(request).__name__} {content}".encode()).hexdigest()


def _plain(value: object) -> str:
    return format(value.normalize(), "f") if isinstance(value, Decimal) else str(value)
