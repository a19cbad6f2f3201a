"""Refunds: read by rule, by a model where the rule finds nothing, by a clerk where neither does, and paid as the policy says."""

from langgraph.graph import END, START
from pointsman import FAILED, Limits, Workflow, effect, infer, question

from guards.refund import policy
from nodes.refund import RefundState, read_message
from tools.till import Refund, pay_back


def is_read(state: RefundState) -> str:
    """On to the payment with what the rule could read."""
    return "pay" if "refund" in state else "interpret"


flow = Workflow(RefundState, name="refund", policy=policy, limits=Limits(model_calls=2, tool_calls=3, seconds=60))
flow.add_node("read", read_message)  # code first: a plain function is a node
flow.add_node("interpret", infer(reads=("message",), writes="refund", returns=Refund, prompt="nodes/prompts/refund.md"))
flow.add_node("clerk", question("Which order, and how much?", shows=("message",), returns=Refund, writes="refund", role="clerk"))
flow.add_node("pay", effect(pay_back, reads=("refund",), writes="receipt"))  # the policy says: allow, ask a person, deny
flow.add_edge(START, "read")
flow.add_conditional_edges("read", is_read, ["pay", "interpret"])
flow.add_exits("interpret", answered="pay", default="clerk")  # abstained, no model, a limit reached: a person reads it
flow.add_exits("clerk", answered="pay", default=FAILED)
flow.add_exits("pay", done=END, default=FAILED)  # denied, rejected: the run fails with the reason
graph = flow.compile()
