"""Policies for the airline's tools, to be tried on its recorded runs: every write asked, and the airline's own rules as far as rules can say them.

What they cannot say, since it stands neither in a call nor in its arguments: whether the customer agreed to what was listed to them; the cabin, age and
insurance of the reservation that a call names; whether a flight was cancelled by the airline; whether a payment method is the customer's own.
"""

from __future__ import annotations

from pointsman import Policy, allow, arg, ask, deny
from tools.airline import (
    READS,
    WRITES,
    book_reservation,
    cancel_reservation,
    send_certificate,
    transfer_to_human_agents,
    update_reservation_baggages,
    update_reservation_flights,
    update_reservation_passengers,
)

every_write_asks = Policy(
    *(allow(tool) for tool in (*READS, transfer_to_human_agents)),
    *(ask(tool, name=f"ask-{tool.name}") for tool in WRITES),
    version="every write",
)
"""Reads pass; nothing is written that a person has not seen."""

airline_rules = Policy(
    *(allow(tool) for tool in (*READS, transfer_to_human_agents)),
    allow(book_reservation, when=arg("insurance") == "no", name="book-plain"),
    ask(book_reservation, when=arg("insurance") == "yes", name="book-insured"),
    ask(
        cancel_reservation, name="cancel-reason"
    ),  # allowed within a day, for business, by the airline, or insured: the call says none of it
    allow(update_reservation_baggages, when=arg("nonfree_baggages") == 0, name="bags-free"),
    ask(update_reservation_baggages, when=arg("nonfree_baggages") > 0, name="bags-paid"),
    deny(update_reservation_flights, when=arg("cabin") == "basic_economy", name="no-basic-economy"),
    ask(update_reservation_flights, when=arg("cabin") != "basic_economy", name="flights-change"),
    allow(update_reservation_passengers, name="passengers-change"),
    ask(send_certificate, when=arg("amount") <= 300, name="certificate"),
    deny(send_certificate, when=arg("amount") > 300, name="certificate-too-high"),
    version="airline 2024",
)
"""The airline's rules that can be told from a call alone."""
