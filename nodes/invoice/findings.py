"""What is doubtful about an invoice, in words that a person can act on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Finding(BaseModel):
    """One doubt. `code` is what a person puts into `confirmed` to say that the document is right as it stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    text: str
