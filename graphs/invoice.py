"""Invoices: read, extracted by rule, the rest read by a model, checked, deduplicated, posted to the ledger, archived.

Code first: a model is asked only for printed fields that the rules did not find, and what it says is checked like anything else. What
is then in doubt waits for a clerk, who corrects it or confirms the document; what is above the policy's amount waits for a controller.
What is no invoice, was posted before, or is given up by the clerk is set aside with the reason. Without a model the clerk reads.
"""

from __future__ import annotations

from datetime import timedelta

from langgraph.graph import END, START

from guards.consistency import consistent
from guards.finance import limits, policy, prices
from nodes.invoice import Draft, InvoiceState, Reading, check_invoice, extract_by_rule, judge_claim, read_document, unread
from pointsman import FAILED, QUARANTINED, Workflow, effect, infer, question
from tools.archive import file_document
from tools.ledger import post_invoice, register_invoice


def readable(state: InvoiceState) -> str:
    """On with what can be an invoice."""
    return QUARANTINED if state.get("reason") else "extract"


def extracted(state: InvoiceState) -> str:
    """On with what is an invoice: to the model for printed fields that the rules did not find, else to the check."""
    if state.get("reason"):
        return QUARANTINED
    return "interpret" if unread(state) else "check"


def checked(state: InvoiceState) -> str:
    """On with what nothing is to be said against."""
    return "person" if state["findings"] else "register"


def first_of_its_content(state: InvoiceState) -> str:
    """On with what no other document has posted."""
    return QUARANTINED if state.get("reason") else "post"


correct = question(
    "Correct the draft, or confirm what is right as it stands",
    shows=("path", "findings", "draft"), returns=Draft, writes="draft", role="clerk", expires=timedelta(days=3),
)  # fmt: skip

flow = Workflow(InvoiceState, name="invoice", policy=policy, limits=limits, prices=prices)
flow.add_node("read", read_document)
flow.add_node("extract", extract_by_rule)
flow.add_node("interpret", infer(reads=("text",), writes="reading", returns=Reading, prompt="nodes/prompts/invoice.md", max_tokens=800))
flow.add_node("check", check_invoice)
flow.add_node("person", correct, max_visits=3)
flow.add_node("register", effect(register_invoice, reads=("claim",), writes="registration"))
flow.add_node("judge", judge_claim)
flow.add_node("post", effect(post_invoice, reads=("invoice",), writes="receipt"), guards=(consistent,))  # the check does not see an edit
flow.add_node("archive", effect(file_document, reads=("path", "receipt"), writes="archived"))
flow.add_edge(START, "read")
flow.add_conditional_edges("read", readable, ["extract", QUARANTINED])
flow.add_conditional_edges("extract", extracted, ["interpret", "check", QUARANTINED])
flow.add_exits("interpret", default="check")  # answered or not: the check works out what is in doubt, which is what the clerk is shown
flow.add_conditional_edges("check", checked, ["person", "register"])
flow.add_exits("person", answered="check", rejected=QUARANTINED, default=FAILED)
flow.add_exits("register", done="judge", default=FAILED)
flow.add_conditional_edges("judge", first_of_its_content, ["post", QUARANTINED])
flow.add_exits("post", done="archive", default=FAILED)
flow.add_exits("archive", done=END, default=FAILED)
graph = flow.compile()
