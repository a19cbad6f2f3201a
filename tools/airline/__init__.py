"""An airline's reservation system, in memory: what the agents of the tau-bench airline runs called.

Its fourteen tools are written from their public schemas, the airline's policy and the recorded answers; they answer as recorded, word for word, including
the texts that begin with "Error: " and what the system does not check. `with using(Airline.read(folder)):` says which airline they speak to.
"""

from tools.airline.booking import (
    book_reservation,
    cancel_reservation,
    send_certificate,
    transfer_to_human_agents,
    update_reservation_baggages,
    update_reservation_flights,
    update_reservation_passengers,
)
from tools.airline.reading import (
    calculate,
    get_reservation_details,
    get_user_details,
    list_all_airports,
    search_direct_flight,
    search_onestop_flight,
    think,
)
from tools.airline.records import Airline, using

READS = (
    calculate, get_reservation_details, get_user_details, list_all_airports, search_direct_flight, search_onestop_flight, think
)  # fmt: skip
"""Tools that change nothing."""

WRITES = (
    book_reservation, cancel_reservation, send_certificate, update_reservation_baggages, update_reservation_flights, update_reservation_passengers
)  # fmt: skip
"""Tools that change what the airline has on record of a customer."""

TOOLS = (*READS, *WRITES, transfer_to_human_agents)

__all__ = [
    "READS",
    "TOOLS",
    "WRITES",
    "Airline",
    "book_reservation",
    "calculate",
    "cancel_reservation",
    "get_reservation_details",
    "get_user_details",
    "list_all_airports",
    "search_direct_flight",
    "search_onestop_flight",
    "send_certificate",
    "think",
    "transfer_to_human_agents",
    "update_reservation_baggages",
    "update_reservation_flights",
    "update_reservation_passengers",
    "using",
]
