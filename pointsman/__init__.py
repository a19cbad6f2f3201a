"""The runtime for AI workflows in which the workflow controls the next step."""

from langgraph.types import Command, Send

from pointsman.file import InputFile
from pointsman.limit import Limits
from pointsman.node.code import code
from pointsman.node.context import Context
from pointsman.node.effect import effect
from pointsman.node.infer import infer
from pointsman.policy import Policy, allow, arg, ask, deny
from pointsman.price import Price
from pointsman.runs import Runs
from pointsman.tool import tool
from pointsman.workflow import FAILED, QUARANTINED, Workflow

__all__ = [
    # A graph
    "FAILED", "QUARANTINED", "Command", "Context", "InputFile", "Limits", "Send", "Workflow",
    # What may stand in it
    "code", "effect", "infer", "tool",
    # What is done with it
    "Runs",
    # What may be done
    "Policy", "Price", "allow", "arg", "ask", "deny",
]  # fmt: skip
