"""How this project speaks to the ledger: two effects, both repeatable under their idempotency key.

Errors: `Unavailable` if the ledger could not be reached (nothing was sent), `Refused` if it said no (nothing happened).
Anything else means that the outcome is unknown; the same key may then be sent again without harm.
"""

from __future__ import annotations

import os
from typing import Final, TypeVar

import httpx
from pydantic import BaseModel

from pointsman import tool
from pointsman.errors import Refused, Unavailable
from pointsman.home import data_folder
from tools.ledger.invoice import Claim, Invoice, Receipt, Registration

Answer = TypeVar("Answer", bound=BaseModel)

TIMEOUT: Final = 10.0
"""Seconds after which a call counts as unanswered."""


@tool(effect="write", key="key", timeout=TIMEOUT)
async def register_invoice(claim: Claim, key: str) -> Registration:
    """Claims a document's content at the ledger, so that no second document with the same content is posted.

    Of any number of concurrent claims on one content exactly one gets `yours`; the document that holds it always does.
    """
    return await send_claim(claim, key)


@tool(effect="write", key="key", timeout=TIMEOUT)
async def post_invoice(invoice: Invoice, key: str) -> Receipt:
    """Posts an invoice to the ledger, once per key."""
    return await send_invoice(invoice, key)


async def send_claim(claim: Claim, key: str) -> Registration:
    """What `register_invoice` does, without the gateway."""
    return await _send("/claims", claim, key, Registration)


async def send_invoice(invoice: Invoice, key: str) -> Receipt:
    """What `post_invoice` does, without the gateway."""
    return await _send("/invoices", invoice, key, Receipt)


def ledger_url() -> str:
    """Where the ledger serves: `LEDGER_URL`, else what it wrote itself to `POINTSMAN_HOME/ledger/url`."""
    if url := os.environ.get("LEDGER_URL"):
        return url.rstrip("/")
    where = data_folder() / "ledger" / "url"
    try:
        return where.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise Unavailable(
            f"the ledger has not said where it serves: {where} cannot be read ({error.strerror})",
            undone="nothing was sent",
            remedy="start it with python -m tools.ledger.service --dir DIR, or set LEDGER_URL",
        ) from error


async def _send(path: str, body: BaseModel, key: str, answer: type[Answer]) -> Answer:
    url = ledger_url()
    # The ledger is ours and near: a proxy from the environment would only be in the way.
    async with httpx.AsyncClient(timeout=TIMEOUT, trust_env=False) as client:
        try:
            response = await client.post(
                url + path,
                content=body.model_dump_json(),
                headers={"Idempotency-Key": key, "Content-Type": "application/json"},
            )
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unavailable(f"the ledger at {url} cannot be reached: {error}", undone="nothing was sent") from error
    if 400 <= response.status_code < 500:
        raise Refused(f"the ledger refused: {_reason(response)}", undone="nothing was written")
    response.raise_for_status()
    return answer.model_validate_json(response.content)


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"status {response.status_code}"
