"""A call of a model in the form the gateway judges: what it can cost at most, what it did cost, and what leaves the house with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter

from pointsman import canonical
from pointsman.errors import ModelFailed
from pointsman.gateway.request import Request
from pointsman.gateway.step import Step
from pointsman.limit import Spend
from pointsman.model import answer
from pointsman.model.call import ModelCall
from pointsman.price import Price, Tariff, list_price
from pointsman.tool import RESULT_BYTES

_ANSWER: TypeAdapter[dict[str, Any]] = TypeAdapter(dict[str, Any])


def model_request(call: ModelCall, step: Step, prices: Mapping[str, Price]) -> Request:
    """A request to call a model. A tokeniser makes at most one token of a byte, so the size of the request bounds its input tokens."""
    size = len(canonical.dumps(call.payload))
    tariff: Tariff | None = prices.get(call.target) or list_price(call.model, call.base_url)
    worst = _spend(size, call.output_tokens or 0, tariff)
    address = urlsplit(call.base_url)
    host = f"{address.hostname or ''}{f':{address.port}' if address.port else ''}"

    def cost(told: Any) -> Spend:
        if isinstance(told, ModelFailed) and told.refused:
            return Spend(model_calls=1)
        used = answer.usage(told) if isinstance(told, Mapping) else None
        return _spend(*used, tariff) if used else worst

    fields = {name: {"bytes": count, "digest": step.inputs.get(f"input.{name}", "")} for name, count in step.sends.items()}
    return Request(
        target=call.target,
        effect="model",
        public=call.payload,
        typed={"model": call.model, "provider": call.provider, "host": host, "bytes": size, "output_tokens": call.output_tokens},
        timeout=call.timeout,
        worst=worst,
        result_bytes=RESULT_BYTES,
        keyed=True,
        returns=_ANSWER,
        perform=call.perform,
        plain=call.plain,
        unbounded=_unbounded(call, step, tariff),
        cost=cost,
        facts={"egress": {"provider": call.provider, "model": call.model, "host": host, "bytes": size, "fields": fields}},
    )


def _spend(asked: int, answered: int, tariff: Tariff | None) -> Spend:
    if tariff is None:
        return Spend(model_calls=1, tokens=asked + answered)
    return Spend(model_calls=1, tokens=asked + answered, usd=tariff.cost(asked, answered))


def _unbounded(call: ModelCall, step: Step, tariff: Tariff | None) -> str:
    money = step.account.is_capped("usd")
    if call.output_tokens is None and (money or step.account.is_capped("tokens")):
        return f"tokens or money are capped, and nothing caps the answer of {call.target}; give max_tokens"
    if money and tariff is None:
        return f"money is capped, and the price of {call.target} is not known; declare it: Workflow(prices={{{call.target!r}: Price(input=…, output=…)}})"
    return ""
