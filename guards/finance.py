"""What the invoice workflow may do."""

from __future__ import annotations

from pointsman import Limits, Policy, allow
from tools.archive import file_document
from tools.ledger import post_invoice, register_invoice

policy = Policy(
    allow(register_invoice, name="claim-content"),
    allow(post_invoice, name="post-checked"),
    allow(file_document, name="archive-posted"),
    version="2026-11",
)
"""Every effect of the workflow by name; whatever is not named is denied."""

limits = Limits(tool_calls=12, seconds=120)
"""Of one document: three effects, each with room for a few tries."""
