"""What is doubtful about an invoice, in words that a person can act on."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Finding(BaseModel):
    """One doubt. `code` is what a person puts into `confirmed` to say that the document is right as it stands."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    text: str


class Doubtful(Exception):
    """The invoice cannot be posted as it is; a person has to repair it or confirm what is doubtful.

    Its text lists every finding with the values that are at odds.
    """

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings
        super().__init__("\n".join(f"[{finding.code}] {finding.text}" for finding in findings))
