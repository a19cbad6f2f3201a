"""The archive: documents kept by their content under `POINTSMAN_HOME/archive/<SHA-256>/`.

Each folder holds the original bytes and one record per ledger entry. Files appear whole or not at all, and filing the
same document again changes nothing.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from pathlib import Path, PurePath

from pydantic import BaseModel, ConfigDict

from pointsman import InputFile, tool
from pointsman.errors import NotFound, Refused
from pointsman.home import data_folder
from tools.ledger import Receipt


class Archived(BaseModel):
    """Where a document is kept. Paths are relative to `POINTSMAN_HOME`; `sha256` is that of the document."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    sha256: str
    document: str
    record: str


async def find_archived(path: InputFile, receipt: Receipt) -> Archived | None:
    """Whether this document is already filed with this receipt: where, else None."""
    return await asyncio.to_thread(_find, path, receipt)


@tool(effect="write", sinks=("path", "receipt"), reconcile=find_archived, timeout=30.0)
async def file_document(path: InputFile, receipt: Receipt) -> Archived:
    """Files a document with the receipt of its posting, by content. Filing it again changes nothing.

    Raises `Refused` if the bytes that were accepted are gone.
    """
    return await asyncio.to_thread(put_document, path, receipt)


def _place(path: InputFile, receipt: Receipt) -> Archived:
    folder = PurePath("archive") / path.sha256
    suffix = PurePath(path.name).suffix.lower()
    document = "document" + (suffix if suffix in (".pdf", ".xml") else "")
    return Archived(sha256=path.sha256, document=str(folder / document), record=str(folder / f"record-{receipt.entry}.json"))


def _record(path: InputFile, receipt: Receipt) -> bytes:
    content = {"name": path.name, "sha256": path.sha256, "size": path.size, "receipt": receipt.model_dump(mode="json")}
    return (json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def _find(path: InputFile, receipt: Receipt) -> Archived | None:
    place = _place(path, receipt)
    try:
        kept = (data_folder() / place.document).read_bytes()
        record = (data_folder() / place.record).read_bytes()
    except FileNotFoundError:
        return None
    whole = hashlib.sha256(kept).hexdigest() == path.sha256 and record == _record(path, receipt)
    return place if whole else None


def put_document(path: InputFile, receipt: Receipt) -> Archived:
    """What `file_document` does, without the gateway."""
    if found := _find(path, receipt):
        return found
    try:
        content = path.read_bytes()
    except NotFound as error:
        raise Refused(str(error), undone="nothing was filed") from error
    place = _place(path, receipt)
    # The record comes last: where it lies, the document lies too.
    put_file(data_folder() / place.document, content)
    put_file(data_folder() / place.record, _record(path, receipt))
    return place


def put_file(target: Path, content: bytes) -> None:
    """Writes a file so that it is there whole or not at all, and stays."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        with draft.open("wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
