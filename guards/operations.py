"""What the incident workflow may do: nothing is done to a cluster unless an operator has approved exactly that."""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from pointsman import Limits, Policy, Price, allow, arg, ask
from tools.casebook import file_case
from tools.cluster import apply_remedy, open_incident

HARD: Final = arg("preview.remedy.action") == "rollback"
"""What replaces every pod of a service. Told by what is done, not by `risk`, which the caller says."""

policy = Policy(
    allow(open_incident, name="claim-alerts"),
    ask(apply_remedy, when=~HARD, role="operator", expires=timedelta(hours=2), name="remedy-by-operator"),
    # Not whoever named or changed it: what takes a version back is looked at by a second pair of eyes.
    ask(apply_remedy, when=HARD, role="operator", not_by=("editor",), expires=timedelta(hours=2), name="rollback-by-another-operator"),
    allow(file_case, name="file-case"),
    version="2026-11",
)
"""Every effect of the workflow by name; whatever is not named is denied. A remedy is asked about whatever it is: no rule allows one."""

limits = Limits(model_calls=60, tool_calls=400, usd=2, seconds=600, approvals=30)
"""Of one delivery, which may hold ten incidents."""

investigation = Limits(usd=1)
"""Of all agents of a delivery together. Each of them makes at most 18 calls of a model and 32 of tools, which follows from its eight turns."""

prices = {"openai:recorded-answers": Price(input=0, output=0)}
"""Recorded answers cost nothing. A model without a list price needs a line here: with a cap on money it is not asked otherwise."""
