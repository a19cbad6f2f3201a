"""What can be asked of the airline, and the two tools that only help to think."""

from __future__ import annotations

import ast
import json
import operator
from collections.abc import Callable
from typing import Any

from pointsman import tool
from tools.airline.records import Record, here

AIRPORTS = {
    "SFO": "San Francisco", "JFK": "New York", "LAX": "Los Angeles", "ORD": "Chicago", "DFW": "Dallas", "DEN": "Denver", "SEA": "Seattle",
    "ATL": "Atlanta", "MIA": "Miami", "BOS": "Boston", "PHX": "Phoenix", "IAH": "Houston", "LAS": "Las Vegas", "MCO": "Orlando",
    "EWR": "Newark", "CLT": "Charlotte", "MSP": "Minneapolis", "DTW": "Detroit", "PHL": "Philadelphia", "LGA": "LaGuardia",
}  # fmt: skip

_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.UAdd: operator.pos, ast.USub: operator.neg,
}  # fmt: skip


@tool(effect="read")
def get_user_details(user_id: str) -> str:
    """Get the details of a user, including their reservations. `user_id` is such as "sara_doe_496"."""
    user = here().user(user_id)
    return "Error: user not found" if user is None else json.dumps(user)


@tool(effect="read")
def get_reservation_details(reservation_id: str) -> str:
    """Get the details of a reservation. `reservation_id` is such as "8JX2WO"."""
    reservation = here().reservation(reservation_id)
    return "Error: reservation not found" if reservation is None else json.dumps(reservation)


@tool(effect="read")
def list_all_airports() -> str:
    """List all airports and their cities."""
    return json.dumps(AIRPORTS)


@tool(effect="read")
def search_direct_flight(origin: str, destination: str, date: str) -> str:
    """Search direct flights between two cities on a day: airports as in "JFK", the day as in "2024-01-01"."""
    found = [_on(flight, date) for flight in here().flights.values() if (flight["origin"], flight["destination"]) == (origin, destination)]
    return json.dumps([flight for flight in found if flight])


@tool(effect="read")
def search_onestop_flight(origin: str, destination: str, date: str) -> str:
    """Search pairs of flights between two cities on a day, with one stop: airports as in "JFK", the day as in "2024-05-01"."""
    flights = list(here().flights.values())
    found = []
    for first in flights:
        if first["origin"] != origin:
            continue
        for second in flights:
            if (second["origin"], second["destination"]) != (first["destination"], destination) or not _connects(first, second):
                continue
            onward = f"2024-05-{int(date[-2:]) + 1}" if "+1" in first["scheduled_arrival_time_est"] else date
            leg = _on(first, date)
            if leg and _on(second, onward):
                # Seats and prices of the first leg's day, also where the second leaves on the next: so the recorded system answers.
                found.append([{**leg, "date": date}, {**_offer(second, date), "date": onward}])
    return json.dumps(found)


@tool(effect="read")
def calculate(expression: str) -> str:
    """Calculate the result of an expression of numbers, + - * /, parentheses and spaces, such as "2 + 2"; two decimals."""
    if not all(sign in "0123456789+-*/(). " for sign in expression):
        return "Error: invalid characters in expression"
    try:
        return str(round(float(_value(ast.parse(expression, mode="eval").body)), 2))
    except (SyntaxError, ArithmeticError, ValueError, RecursionError) as error:
        return f"Error: {error}"


@tool(effect="read")
def think(thought: str) -> str:  # noqa: ARG001 - to have been written down is all there is to a thought
    """Use the tool to think about something. It obtains nothing new and changes nothing; the thought is on record."""
    return ""


def _on(flight: Record, date: str) -> Record | None:
    """A flight on a day, as it is offered; None where it cannot be booked."""
    return _offer(flight, date) if flight["dates"].get(date, {}).get("status") == "available" else None


def _offer(flight: Record, date: str) -> Record:
    day = flight["dates"].get(date, {})
    return {**{name: value for name, value in flight.items() if name != "dates"}, **day}


def _connects(first: Record, second: Record) -> bool:
    # Compared as text, as the recorded system does: "03:00:00+1" comes before "05:00:00".
    return bool(first["scheduled_arrival_time_est"] <= second["scheduled_departure_time_est"])


def _value(node: ast.AST) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.left), _value(node.right))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _OPERATORS:
        return _OPERATORS[type(node.op)](_value(node.operand))
    raise ValueError("invalid syntax")
