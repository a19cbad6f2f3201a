"""Cases of what a model reads from invoices whose fields the rules do not find: the suite, and how its cases were made.

pointsman eval score evals.invoice_reading:suite      # tries them on the workflow as it is now, with the model that POINTSMAN_MODEL names
make demo && python -m evals.invoice_reading          # cuts them from the demo's runs, labelled by what samples/invoices.json says is true
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nodes.invoice import Reading
from pointsman import Runs, canonical
from pointsman.evaluation.case import Case, Label, cut, keep
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.scorer import by_field
from pointsman.evaluation.suite import Suite

suite = Suite(name="invoice.interpret", graph="invoice", scorer=by_field())

TRUTH = Path("samples/invoices.json")


def labelled(case: Case, document: str, true: Mapping[str, Any]) -> Case:
    """A case with what is true of its document: its fields, or that they cannot be read from it."""
    told = true.get("fields")
    if told and told["number"] not in case.input["text"]:
        told = None  # the sender told it later; no page says it
    output = {"reading": canonical.encode(Reading(**{name: told[name] for name in Reading.model_fields}))} if told else {}
    return replace(
        case, cluster=document, label=Label(source="answered", exit="answered" if told else "abstained", output=output, by=str(TRUTH))
    )


async def cut_from_runs(truth: Mapping[str, Any], folder: Path) -> dict[str, str]:
    """Cut a case from every run of the present home that asked a model; what became of each, by document."""
    found: dict[str, str] = {}
    async with Runs.open() as runs:
        for summary in await runs.list(graph="invoice"):
            trace = await trace_of(runs, await runs.get(summary.run_id))
            if trace.record is None or not any(call.kind == "model" for call in trace.calls):
                continue
            accepted = trace.record.events[0]
            document = trace.record.payloads[accepted.payloads["input.path"]]["name"]
            for case in cut(trace, node="interpret"):
                found[document] = keep(folder, labelled(case, document, truth[document]))
    return found


def main() -> int:
    """Cut the cases and say so."""
    found = asyncio.run(cut_from_runs(json.loads(TRUTH.read_text(encoding="utf-8")), Path("evals/cases")))
    for document, was in sorted(found.items()):
        print(f"{document}: {was}")
    print(f"{len(found)} cases in evals/cases/{suite.name}" if found else "No run asked a model. Next: make demo, then this again.")
    return 0 if found else 1


if __name__ == "__main__":
    sys.exit(main())
