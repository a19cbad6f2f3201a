"""What an outside system keeps: one SQLite file, in which every idempotency key is answered once.

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
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import BaseModel

from tools.serving import Rejected

Answer = TypeVar("Answer", bound=BaseModel)

KEYS: Final = """
create table if not exists keys (
    key text primary key, digest text not null, requests integer not null, applied integer not null, answer text);
"""


class Keyed:
    """A file of answered keys, with whatever else a system keeps in it. Safe to use from several threads; one process at a time (the service holds a lock)."""

    def __init__(self, path: Path, schema: str) -> None:
        self._lock = threading.Lock()
        self.db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self.db.row_factory = sqlite3.Row
        self.db.execute("pragma journal_mode=wal")
        self.db.execute("pragma synchronous=full")
        self.db.executescript(KEYS + schema)

    def close(self) -> None:
        """Closes the file; open transactions are rolled back."""
        with self._lock:
            self.db.close()

    def counts(self) -> dict[str, dict[str, int]]:
        """How often each key came (`requests`) and whether it took effect (`applied`, 0 or 1)."""
        rows = self.rows("select key, requests, applied from keys order by rowid")
        return {row["key"]: {"requests": row["requests"], "applied": row["applied"]} for row in rows}

    def rows(self, query: str, *parameters: Any) -> list[sqlite3.Row]:
        """What a query finds."""
        with self._lock:
            return self.db.execute(query, parameters).fetchall()

    def once(self, key: str, request: BaseModel, kind: type[Answer], apply: Callable[[], Answer]) -> Answer:
        """Counts the request, and applies it in the same transaction unless its key was answered before.

        Raises `Rejected`: what `apply` raises, 400 without a key, 422 if the key was used for another request.
        """
        if not key:
            raise Rejected(400, "the header Idempotency-Key is missing")
        digest = _digest(request)
        refusal: Rejected | None = None
        answer: Answer | None = None
        with self._transaction():
            self.db.execute(
                "insert into keys (key, digest, requests, applied) values (?, ?, 1, 0)"
                " on conflict (key) do update set requests = requests + 1",
                (key, digest),
            )
            row = self.db.execute("select digest, applied, answer from keys where key = ?", (key,)).fetchone()
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
                    self.db.execute(
                        "update keys set digest = ?, applied = 1, answer = ? where key = ?", (digest, answer.model_dump_json(), key)
                    )
        if answer is None:
            raise refusal or AssertionError("neither answered nor refused")
        return answer

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock:
            self.db.execute("begin immediate")
            try:
                yield
            except BaseException:
                self.db.execute("rollback")
                raise
            self.db.execute("commit")


def _digest(request: BaseModel) -> str:
    # 10.5 and 10.50 are one amount: a client that was restarted may have either.
    content = json.dumps(request.model_dump(), sort_keys=True, default=plain)
    return hashlib.sha256(f"{type(request).__name__} {content}".encode()).hexdigest()


def plain(value: object) -> str:
    """A value as text that equal values share."""
    return format(value.normalize(), "f") if isinstance(value, Decimal) else str(value)
