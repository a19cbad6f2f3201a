"""Invoices: read, extracted by rule, checked, deduplicated, posted to the ledger, archived.

What is no invoice, or was posted before, is quarantined with the reason. What is in doubt parks in `check` with its findings, and
goes on when a person has repaired it: `pointsman rerun RUN --node check --set invoice.total=118.00`.
"""

from __future__ import annotations

from langgraph.graph import END, START

from guards.finance import limits, policy
from nodes.invoice import InvoiceState, check_invoice, extract_by_rule, judge_claim, read_document
from pointsman import FAILED, QUARANTINED, Workflow, effect
from tools.archive import file_document
from tools.ledger import post_invoice, register_invoice


def readable(state: InvoiceState) -> str:
    """On with what can be an invoice."""
    return QUARANTINED if state.get("reason") else "extract"


def extracted(state: InvoiceState) -> str:
    """On with what is an invoice."""
    return QUARANTINED if state.get("reason") else "check"


def first_of_its_content(state: InvoiceState) -> str:
    """On with what no other document has posted."""
    return QUARANTINED if state.get("reason") else "post"


flow = Workflow(InvoiceState, name="invoice", policy=policy, limits=limits)
flow.add_node("read", read_document)
flow.add_node("extract", extract_by_rule)
flow.add_node("check", check_invoice)
flow.add_node("register", effect(register_invoice, reads=("claim",), writes="registration"))
flow.add_node("judge", judge_claim)
flow.add_node("post", effect(post_invoice, reads=("invoice",), writes="receipt"))
flow.add_node("archive", effect(file_document, reads=("path", "receipt"), writes="archived"))
flow.add_edge(START, "read")
flow.add_conditional_edges("read", readable, ["extract", QUARANTINED])
flow.add_conditional_edges("extract", extracted, ["check", QUARANTINED])
flow.add_edge("check", "register")
flow.add_exits("register", done="judge", default=FAILED)
flow.add_conditional_edges("judge", first_of_its_content, ["post", QUARANTINED])
flow.add_exits("post", done="archive", default=FAILED)
flow.add_exits("archive", done=END, default=FAILED)
graph = flow.compile()
