"""How many messages the rule reads right, leaves to others, and reads wrong: `python -m evals.refund_messages`."""

from collections import Counter

from nodes.refund import read_message

MESSAGES = {
    "Order A-17 came broken, please pay 30.00 back.": ("A-17", "30.00"),
    "Refund of 12.50 for B-204, it never arrived": ("B-204", "12.50"),
    "I want 20.00 back, or 25.00 with shipping, for A-18": ("A-18", "25.00"),
    "The lamp of order C-3 is scratched, sixty euros would be fair": ("C-3", "60.00"),
    "Where is my money?": None,
}
"""Messages, and the order and amount that a person reads in them; None where there is nothing to read. Add yours."""


def mark(message: str) -> str:
    """`right`, `left` (to a model or a clerk) or `wrong`."""
    refund, truth = read_message({"message": message}).get("refund"), MESSAGES[message]
    if refund is None:
        return "left"
    return "right" if (refund.order, f"{refund.amount:.2f}") == truth else "wrong"


if __name__ == "__main__":
    print(dict(Counter(map(mark, MESSAGES))))
