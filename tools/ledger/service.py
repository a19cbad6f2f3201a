"""The ledger as a process of its own: `python -m tools.ledger.service --dir DIR [--port 0] [--idle SECONDS]`.

    POST /invoices, POST /claims   JSON, with `Idempotency-Key`; the same key and body get the stored answer, another body 422
    GET  /counts                   {key: {"requests": n, "applied": 0 or 1}}
    GET  /entries                  all entries
    GET  /health                   {"ok": true}

It keeps its data in `DIR/ledger.sqlite3`; how it is served: `tools/serving.py`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from tools.ledger.book import Book
from tools.ledger.invoice import Claim, Invoice
from tools.serving import nothing_at, options, serve


class Ledger:
    """What is served of one `Book`."""

    def __init__(self, folder: Path) -> None:
        self._book = Book(folder / "ledger.sqlite3")

    def told(self, path: str, asked: Mapping[str, str]) -> Any:
        """What is stored."""
        if path == "/counts":
            return self._book.counts()
        if path == "/entries":
            return self._book.entries()
        raise nothing_at(path)

    def taken(self, path: str, body: bytes, key: str) -> BaseModel:
        """Applies one request, once per key."""
        if path == "/invoices":
            return self._book.post(Invoice.model_validate_json(body), key)
        if path == "/claims":
            return self._book.register(Claim.model_validate_json(body), key)
        raise nothing_at(path)

    def close(self) -> None:
        """Closes the book."""
        self._book.close()


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code."""
    chosen = options("tools.ledger.service", "The ledger, in a process of its own.").parse_args(arguments)
    serve("the ledger", lambda: Ledger(chosen.dir), chosen.dir, chosen.port, chosen.idle)
    return 0


if __name__ == "__main__":
    sys.exit(main())
