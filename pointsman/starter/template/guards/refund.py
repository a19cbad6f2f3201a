"""Which refunds are paid: small ones at once, large ones when a lead has said yes to exactly that payment, huge ones never."""

from datetime import timedelta

from pointsman import Policy, allow, arg, ask, deny

from tools.till import pay_back

amount = arg("refund.amount")

policy = Policy(
    allow(pay_back, when=amount <= 50, name="small"),
    ask(pay_back, when=amount > 50, role="lead", expires=timedelta(days=3), name="large"),
    deny(pay_back, when=amount > 1000, name="huge"),
    version="1",
)
"""Deny wins over ask, ask over allow; an effect that no rule names is denied."""
