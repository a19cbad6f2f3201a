"""What a model's tokens cost, in US dollars: the list prices that the package `genai-prices` carries, and what a workflow declares.

A list price is looked up by where the call is sent: the same name behind another address is another product. What has no price is refused
where a cap on money is in force, unless the workflow declares one: `Workflow(prices={"openai:my-model": Price(input=0, output=0)})`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol

import genai_prices
from genai_prices import Usage

from pointsman.errors import BadInput


class Tariff(Protocol):
    """Anything that prices tokens."""

    def cost(self, input_tokens: int, output_tokens: int) -> Decimal:
        """US dollars for so many tokens."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """A declared price of a model: US dollars per million tokens; 0 for one that costs nothing, such as a model of one's own."""

    input: Decimal | float
    output: Decimal | float

    def __post_init__(self) -> None:
        if not all(0 <= amount < Decimal("Infinity") for amount in (self.input, self.output)):
            raise BadInput(f"{self!r} is no price", remedy="give dollars per million tokens, 0 or more")

    def cost(self, input_tokens: int, output_tokens: int) -> Decimal:
        """US dollars for so many tokens."""
        return (Decimal(str(self.input)) * input_tokens + Decimal(str(self.output)) * output_tokens) / 1_000_000

    def data(self) -> dict[str, str]:
        """The price as plain data, for the graph's fingerprint."""
        return {"input": str(self.input), "output": str(self.output)}


@dataclass(frozen=True, slots=True)
class ListPrice:
    """A price from the tables of `genai-prices`."""

    model: str
    base_url: str

    def cost(self, input_tokens: int, output_tokens: int) -> Decimal:
        """US dollars for so many tokens, discounts for cached input left out. Raises `LookupError` where the tables do not know the model."""
        used = Usage(input_tokens=input_tokens, output_tokens=output_tokens)
        return genai_prices.calc_price(used, self.model, provider_api_url=self.base_url).total_price


def list_price(model: str, base_url: str) -> ListPrice | None:
    """The list price of a model at an address; None where the tables have none."""
    found = ListPrice(model, base_url)
    try:
        found.cost(1, 1)
    except (LookupError, ValueError):
        return None
    return found
