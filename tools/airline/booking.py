"""What changes the airline's records. Prices, seats and balances are checked here; the airline's policy is not, as it never was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Literal, NotRequired

from typing_extensions import TypedDict

from pointsman import tool
from tools.airline.records import Airline, Record, here

NOW = "2024-05-15T15:00:00"
"""The airline's present, EST."""

BAG, INSURANCE = 50, 30
"""US dollars for a bag that is not free, and for one passenger's insurance."""

Cabin = Literal["basic_economy", "economy", "business"]

Dollars = int | float
"""Whole or not as it was given: answers repeat it."""


class FlightOnDay(TypedDict):
    """One flight: its number, such as "HAT001", and its day, such as "2024-05-01". Where it goes from and to is looked up, whatever is said here."""

    origin: NotRequired[str]
    destination: NotRequired[str]
    flight_number: str
    date: str


class Passenger(TypedDict):
    """Who flies; `dob` is the date of birth, such as "1990-01-01"."""

    first_name: str
    last_name: str
    dob: str


class Payment(TypedDict):
    """What is paid with one payment method of the user's profile, in US dollars."""

    payment_id: str
    amount: int | float


class _Mistake(Exception):
    """Something that the airline's system refuses; its text is the answer."""


@tool(effect="submit", sinks=("user_id", "flights", "payment_methods"))
def book_reservation(  # noqa: PLR0913, PLR0917 - the recorded schema has so many
    user_id: str,
    origin: str,
    destination: str,
    flight_type: Literal["one_way", "round_trip"],
    cabin: Cabin,
    flights: list[FlightOnDay],
    passengers: list[Passenger],
    payment_methods: list[Payment],
    total_baggages: int,
    nonfree_baggages: int,
    insurance: Literal["yes", "no"],
) -> str:
    """Book a reservation for a user such as "sara_doe_496": which flights, who flies, what is paid with what."""
    airline = here()
    user = airline.user(user_id)
    if user is None:
        return "Error: user not found"
    try:
        booked = [_priced(airline, flight, cabin, len(passengers)) for flight in flights]
        price = sum(flight["price"] for flight in booked) * len(passengers)
        price += INSURANCE * len(passengers) * (insurance == "yes") + BAG * nonfree_baggages
        _check_payments(user, payment_methods, price)
    except _Mistake as mistake:
        return f"Error: {mistake}"
    reservation_id = next(name for name in ("HATHAT", "HATHAU", "HATHAV") if airline.reservation(name) is None or name == "HATHAV")
    given = {"origin": origin, "destination": destination, "flight_type": flight_type, "cabin": cabin, "flights": booked}
    paid = {"passengers": [dict(one) for one in passengers], "payment_history": [dict(one) for one in payment_methods], "created_at": NOW}
    bags = {"total_baggages": total_baggages, "nonfree_baggages": nonfree_baggages, "insurance": insurance}
    airline.changing("reservations", reservation_id).update({"reservation_id": reservation_id, "user_id": user_id, **given, **paid, **bags})
    customer = airline.changing("users", user_id)
    for payment in payment_methods:
        _deduct(customer, payment["payment_id"], payment["amount"], certificates=True)
    customer["reservations"].append(reservation_id)
    return json.dumps(airline.reservation(reservation_id))


@tool(effect="delete", sinks=("reservation_id",))
def cancel_reservation(reservation_id: str) -> str:
    """Cancel a whole reservation, such as "ZFA04Y"; what was paid is paid back."""
    airline = here()
    if airline.reservation(reservation_id) is None:
        return "Error: reservation not found"
    reservation = airline.changing("reservations", reservation_id)
    paid = reservation["payment_history"]
    paid.extend([{"payment_id": payment["payment_id"], "amount": -payment["amount"]} for payment in paid])
    reservation["status"] = "cancelled"
    return json.dumps(reservation)


@tool(effect="overwrite", sinks=("reservation_id", "flights", "payment_id"))
def update_reservation_flights(reservation_id: str, cabin: Cabin, flights: list[FlightOnDay], payment_id: str) -> str:
    """Change the flights of a reservation: all of them are given, those too that stay. `payment_id` pays, or is paid back, the difference."""
    airline = here()
    reservation = airline.reservation(reservation_id)
    if reservation is None:
        return "Error: reservation not found"
    people = len(reservation["passengers"])
    try:
        booked = [_kept(reservation, flight, cabin) or _priced(airline, flight, cabin, people) for flight in flights]
        price = (sum(flight["price"] for flight in booked) - sum(flight["price"] for flight in reservation["flights"])) * people
        _pay(airline, reservation, payment_id, price)
    except _Mistake as mistake:
        return f"Error: {mistake}"
    # The cabin on record stays what it was: so the recorded system does.
    airline.changing("reservations", reservation_id)["flights"] = booked
    return json.dumps(airline.reservation(reservation_id))


@tool(effect="overwrite", sinks=("reservation_id", "payment_id"))
def update_reservation_baggages(reservation_id: str, total_baggages: int, nonfree_baggages: int, payment_id: str) -> str:
    """Change how many bags a reservation has, and how many of them are not free; `payment_id` pays for those that are new."""
    airline = here()
    reservation = airline.reservation(reservation_id)
    if reservation is None:
        return "Error: reservation not found"
    try:
        _pay(airline, reservation, payment_id, BAG * max(0, nonfree_baggages - reservation["nonfree_baggages"]))
    except _Mistake as mistake:
        return f"Error: {mistake}"
    airline.changing("reservations", reservation_id).update(total_baggages=total_baggages, nonfree_baggages=nonfree_baggages)
    return json.dumps(airline.reservation(reservation_id))


@tool(effect="overwrite", sinks=("reservation_id", "passengers"))
def update_reservation_passengers(reservation_id: str, passengers: list[Passenger]) -> str:
    """Change the passengers of a reservation; their number stays."""
    airline = here()
    reservation = airline.reservation(reservation_id)
    if reservation is None:
        return "Error: reservation not found"
    if len(passengers) != len(reservation["passengers"]):
        return "Error: number of passengers does not match"
    airline.changing("reservations", reservation_id)["passengers"] = [dict(one) for one in passengers]
    return json.dumps(airline.reservation(reservation_id))


@tool(effect="send", sinks=("user_id", "amount"))
def send_certificate(user_id: str, amount: Dollars) -> str:
    """Send a certificate of so many US dollars to a user; be careful."""
    airline = here()
    if airline.user(user_id) is None:
        return "Error: user not found"
    methods = airline.changing("users", user_id)["payment_methods"]
    payment_id = next(name for number in range(3221322, 3221325) if (name := f"certificate_{number}") not in methods or number == 3221324)
    methods[payment_id] = {"source": "certificate", "amount": amount, "id": payment_id}
    return f"Certificate {payment_id} added to user {user_id} with amount {amount}."


@tool(effect="send")
def transfer_to_human_agents(summary: str) -> str:  # noqa: ARG001 - the agent at the desk reads it
    """Transfer the user to a human agent, with a summary of the issue: where the user asks for one, or no tool can resolve it."""
    return "Transfer successful"


def _priced(airline: Airline, flight: FlightOnDay, cabin: str, people: int) -> Record:
    """A flight that can be booked, with its price for one passenger. Raises `_Mistake`."""
    number, date = flight["flight_number"], flight["date"]
    known = airline.flights.get(number)
    if known is None:
        raise _Mistake(f"flight {number} not found")
    day = known["dates"].get(date)
    if day is None:
        raise _Mistake(f"flight {number} not found on date {date}")
    if day["status"] != "available":
        raise _Mistake(f"flight {number} not available on date {date}")
    if day["available_seats"][cabin] < people:
        raise _Mistake(f"not enough seats on flight {number}")
    return {**flight, "price": day["prices"][cabin], "origin": known["origin"], "destination": known["destination"]}


def _kept(reservation: Record, flight: FlightOnDay, cabin: str) -> Record | None:
    """A flight that the reservation has already, at the price it was booked for; None for a new one, or in another cabin."""
    if cabin != reservation["cabin"]:
        return None
    for one in reservation["flights"]:
        if (one["flight_number"], one["date"]) == (flight["flight_number"], flight["date"]):
            return {**flight, "price": one["price"], "origin": one["origin"], "destination": one["destination"]}
    return None


def _check_payments(user: Record, payments: Sequence[Payment], price: Any) -> None:
    for payment in payments:
        method = user["payment_methods"].get(payment["payment_id"])
        if method is None:
            raise _Mistake(f"payment method {payment['payment_id']} not found")
        if method["source"] != "credit_card" and payment["amount"] > method["amount"]:
            raise _Mistake(f"not enough balance in payment method {payment['payment_id']}")
    paid = sum(payment["amount"] for payment in payments)
    if paid != price:
        raise _Mistake(f"payment amount does not add up, total price is {price}, but paid {paid}")


def _pay(airline: Airline, reservation: Record, payment_id: str, price: Any) -> None:
    """Charge one payment method for a change of a reservation, or pay back to it. Raises `_Mistake` before anything is changed."""
    user = airline.user(reservation["user_id"])
    method = user["payment_methods"].get(payment_id) if user else None
    if method is None:
        raise _Mistake("payment method not found")
    if method["source"] == "certificate":
        raise _Mistake("certificate cannot be used to update reservation")
    if method["source"] == "gift_card" and method["amount"] < price:
        raise _Mistake("gift card balance is not enough")
    _deduct(airline.changing("users", reservation["user_id"]), payment_id, price)
    if price:
        paid = airline.changing("reservations", reservation["reservation_id"])["payment_history"]
        paid.append({"payment_id": payment_id, "amount": price})


def _deduct(user: Record, payment_id: str, amount: Any, *, certificates: bool = False) -> None:
    methods = user["payment_methods"]
    if methods[payment_id]["source"] == "gift_card":
        methods[payment_id]["amount"] -= amount
    elif methods[payment_id]["source"] == "certificate" and certificates:
        del methods[payment_id]  # what is left of a certificate is not paid back
