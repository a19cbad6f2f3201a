"""The runtime for AI workflows in which the workflow controls the next step."""

import importlib
import sys
import types
import typing

if typing.TYPE_CHECKING:
    from langgraph.types import Command, Send

    from pointsman.file import InputFile
    from pointsman.limit import Limits
    from pointsman.node.agent import agent
    from pointsman.node.code import code
    from pointsman.node.context import Context
    from pointsman.node.effect import effect
    from pointsman.node.infer import infer
    from pointsman.node.question import question
    from pointsman.policy import Policy, allow, arg, ask, deny
    from pointsman.price import Price
    from pointsman.runs import Runs
    from pointsman.tool import tool
    from pointsman.workflow import FAILED, QUARANTINED, Workflow

__all__ = [
    # A graph
    "FAILED", "QUARANTINED", "Command", "Context", "InputFile", "Limits", "Send", "Workflow",
    # What may stand in it
    "agent", "code", "effect", "infer", "question", "tool",
    # What is done with it
    "Runs",
    # What may be done
    "Policy", "Price", "allow", "arg", "ask", "deny",
]  # fmt: skip

_HOMES = {
    "langgraph.types": ("Command", "Send"),
    "pointsman.file": ("InputFile",),
    "pointsman.limit": ("Limits",),
    "pointsman.node.agent": ("agent",),
    "pointsman.node.code": ("code",),
    "pointsman.node.context": ("Context",),
    "pointsman.node.effect": ("effect",),
    "pointsman.node.infer": ("infer",),
    "pointsman.node.question": ("question",),
    "pointsman.policy": ("Policy", "allow", "arg", "ask", "deny"),
    "pointsman.price": ("Price",),
    "pointsman.runs": ("Runs",),
    "pointsman.tool": ("tool",),
    "pointsman.workflow": ("FAILED", "QUARANTINED", "Workflow"),
}


class _Package(types.ModuleType):
    """This package, loading what it exports when it is asked for: LangGraph takes seconds, and who asks for help need not wait for it."""

    def __getattribute__(self, name: str) -> typing.Any:
        # Before the ordinary look-up: a submodule of the same name (`tool`) must not stand in for what is exported.
        for home, names in _HOMES.items():
            if name in names:
                return getattr(importlib.import_module(home), name)
        return super().__getattribute__(name)


sys.modules[__name__].__class__ = _Package
