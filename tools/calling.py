"""How this project speaks to its outside systems over HTTP: where one serves, and what its answers and silences mean.

Errors: `Unavailable` if the system could not be reached (nothing was sent), `Refused` if it said no (nothing happened). Anything else means
that the outcome is unknown; the same key may then be sent again without harm.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

import httpx
from pydantic import BaseModel

from pointsman.errors import Refused, Unavailable
from pointsman.home import data_folder

Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Line:
    """The way to one system: `name` as people call it, the variable and the folder that say where it serves, the program that does, seconds until a call counts as unanswered."""

    name: str
    variable: str
    folder: str
    program: str
    timeout: float

    def url(self) -> str:
        """Where it serves: the variable's value, else what it wrote itself to `POINTSMAN_HOME/FOLDER/url`. Raises `Unavailable`."""
        if url := os.environ.get(self.variable):
            return url.rstrip("/")
        where = data_folder() / self.folder / "url"
        try:
            return where.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Unavailable(
                f"{self.name} has not said where it serves: {where} cannot be read ({error.strerror})",
                undone="nothing was sent",
                remedy=f"start it with python -m {self.program} --dir {where.parent}, or set {self.variable}",
            ) from error

    async def post(self, path: str, body: BaseModel, key: str, answer: type[Answer]) -> Answer:
        """What it answers to a request under an idempotency key."""
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        return answer.model_validate_json(await self._send("POST", path, content=body.model_dump_json(), headers=headers))

    async def get(self, path: str, answer: type[Answer], asked: Mapping[str, str] | None = None) -> Answer:
        """What it answers to a question."""
        return answer.model_validate_json(await self._send("GET", path, params=dict(asked or {})))

    async def _send(self, method: str, path: str, **parts: object) -> bytes:
        url = self.url()
        # The system is ours and near: a proxy from the environment would only be in the way.
        async with httpx.AsyncClient(timeout=self.timeout, trust_env=False) as client:
            try:
                response = await client.request(method, url + path, **parts)  # type: ignore[arg-type]
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                raise Unavailable(f"{self.name} at {url} cannot be reached: {error}", undone="nothing was sent") from error
        if 400 <= response.status_code < 500:
            raise Refused(f"{self.name} refused: {_reason(response)}", undone="nothing was written")
        response.raise_for_status()
        return response.content


def _reason(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"])
    except (ValueError, KeyError, TypeError):
        return f"status {response.status_code}"
