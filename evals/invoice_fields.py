"""How many invoice fields are read exactly, from the text of the pages alone.

    python -m evals.invoice_fields [--json]

Scores the seven fields number, date, seller, buyer, tax, total and due of each PDF under `POINTSMAN_DATA/invoices/pdf`
(default `../shared/data` beside the repository) against the XML of the same name under `cii/`. The XML that a PDF
carries is not opened. A field is `exact`, `unknown` (left to a person) or `wrong`; `posted wrong` counts the wrong
fields of the invoices which the check would let through.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from evals.measuring import measured
from nodes.invoice.check import findings
from nodes.invoice.document import read_pdf, read_xml
from nodes.invoice.text import extract_text
from tools.ledger import missing

FIELDS: Final = ("number", "date", "seller", "buyer", "tax", "total", "due")


@dataclass(frozen=True)
class Score:
    """One field of one document: what was read, what is true, and whether the invoice would be posted without a person."""

    document: str
    field: str
    read: Any
    truth: Any
    passes: bool

    @property
    def mark(self) -> str:
        """`exact`, `unknown` or `wrong`."""
        return "exact" if self.read == self.truth else "unknown" if self.read is None else "wrong"


def score(folder: Path) -> list[Score]:
    """Scores every PDF of an invoices folder. Raises `FileNotFoundError` if there is none."""
    documents = sorted((folder / "pdf").glob("*.pdf"))
    if not documents:
        raise FileNotFoundError(f"there are no PDFs in {folder / 'pdf'}")
    return [mark for document in documents for mark in _score(document, folder / "cii" / f"{document.stem}.cii.xml")]


def _score(document: Path, truth: Path) -> list[Score]:
    invoice = extract_text(read_pdf(document.read_bytes()).text).invoice
    stated = read_xml(truth.read_bytes()).invoice
    passes = not missing(invoice) and not list(findings(invoice, None))
    return [Score(document.stem, name, getattr(invoice, name), getattr(stated, name), passes) for name in FIELDS]


def summary(scores: list[Score]) -> dict[str, Any]:
    """The counts, in all and by field."""
    marks = Counter(score.mark for score in scores)
    return {
        "fields": len(scores),
        "exact": marks["exact"],
        "unknown": marks["unknown"],
        "wrong": marks["wrong"],
        "posted_wrong": sum(1 for score in scores if score.mark == "wrong" and score.passes),
        "by_field": {name: sum(1 for score in scores if score.field == name and score.mark == "exact") for name in FIELDS},
        "documents": {
            document: {score.field: score.mark for score in scores if score.document == document}
            for document in dict.fromkeys(score.document for score in scores)
        },
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns 0, or 1 if the data is missing or a wrong value would be posted."""
    about = "Scores field extraction on the measured invoices."
    scores: list[Score] = []

    def work(data: Path) -> dict[str, Any]:
        scores.extend(score(data / "invoices"))
        return summary(scores)

    told = measured("invoice_fields", about, work, lambda told: _print(scores, told), arguments)
    return 1 if told is None or told["posted_wrong"] else 0


def _print(scores: list[Score], told: dict[str, Any]) -> None:
    table = Table("document", *FIELDS, title="Invoice fields, from text only")
    for document, marks in told["documents"].items():
        table.add_row(document, *(marks[name] for name in FIELDS))
    table.add_section()
    table.add_row("exact", *(str(told["by_field"][name]) for name in FIELDS))
    Console().print(table)
    for found in scores:
        if found.mark != "exact":
            print(f"{found.document} {found.field}: read {found.read!r}, true is {found.truth!r}")
    counts = f"{told['exact']} of {told['fields']} exact, {told['unknown']} left to a person, {told['wrong']} wrong"
    print(f"{counts}, {told['posted_wrong']} of them would be posted")


if __name__ == "__main__":
    sys.exit(main())
