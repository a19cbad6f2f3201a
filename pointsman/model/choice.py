"""Which model a node speaks to: its own, else the workflow's, else the environment's, else none."""

from __future__ import annotations

import os
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from langchain_core.language_models.chat_models import BaseChatModel

from pointsman import canonical
from pointsman.errors import BadInput

MODEL = "POINTSMAN_MODEL"


@dataclass(frozen=True, slots=True)
class Environment:
    """What the environment says of models."""

    model: str | None = None
    """`openai:NAME`, for nodes that name none."""
    url: str | None = None
    key: str | None = None


environment: ContextVar[Environment | None] = ContextVar("pointsman_environment", default=None)
"""The environment of a replayed run, in the place of the process's own."""


def choose(declared: BaseChatModel | str | None) -> BaseChatModel | None:
    """The model that `declared` or the environment names, not yet behind the gateway; None where there is none to speak to.

    `openai:NAME` speaks to any server with OpenAI's chat completions: `OPENAI_BASE_URL` says where (default OpenAI itself), `OPENAI_API_KEY`
    with which key; a server of one's own needs none. Raises `BadInput` for a name of another form.
    """
    if isinstance(declared, BaseChatModel):
        return declared
    told = environment.get() or Environment(*(os.environ.get(name) or None for name in (MODEL, "OPENAI_BASE_URL", "OPENAI_API_KEY")))
    name = declared or told.model
    if not name:
        return None
    check(name)
    if told.key is None and told.url is None:
        return None
    return _openai(name.partition(":")[2], told.url, told.key or "none")


def check(declared: Any) -> None:
    """Raise `BadInput` where a declaration names no model that can be used."""
    if declared is None or isinstance(declared, BaseChatModel):
        return
    provider, _, name = declared.partition(":") if isinstance(declared, str) else ("", "", "")
    if provider != "openai" or not name:
        raise BadInput(f"{declared!r} names no model", remedy="give 'openai:NAME' (any OpenAI-compatible server) or a LangChain chat model")


def model_data(declared: BaseChatModel | str | None) -> Any:
    """What a declaration says, as plain data, for the graph's fingerprint; the environment's choice is not part of it."""
    if not isinstance(declared, BaseChatModel):
        return declared
    name = type(declared).__qualname__
    try:
        return [name, canonical.encode(declared.asdict())]
    except BadInput:
        return [name]


def direct(model: BaseChatModel) -> dict[str, Any]:
    """An option of OpenAI's client for `model`: an HTTP client that follows no redirect, where the model brings none of its own.

    Followed, a redirect would carry what a node sends to an address that no policy has judged and no record names.
    """
    if getattr(model, "http_async_client", None) is not None:
        return {}
    return {"http_client": _undiverted(getattr(model, "openai_proxy", None) or None)}


@lru_cache(maxsize=16)
def _undiverted(proxy: str | None) -> Any:
    from openai import DefaultAsyncHttpxClient

    return DefaultAsyncHttpxClient(follow_redirects=False, proxy=proxy)


@lru_cache(maxsize=16)
def _openai(name: str, url: str | None, key: str) -> BaseChatModel:
    # Half a second that a run without a model does not pay.
    from langchain_openai import ChatOpenAI
    from pydantic import SecretStr

    return ChatOpenAI(
        model=name, base_url=url, api_key=SecretStr(key), use_responses_api=False, max_retries=0, stream_usage=True, cache=False
    )
