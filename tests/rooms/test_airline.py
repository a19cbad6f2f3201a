"""The airline's tools against 100 recorded runs: they answer as recorded, and their end states are judged as recorded."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from langgraph.graph import END, START
from typing_extensions import TypedDict

from evals.airline_runs import measure
from pointsman import Policy, Workflow, allow, ask, effect
from pointsman.errors import Unavailable
from tests.conftest import ROOT, OpenRuns
from tools.airline import TOOLS, Airline, calculate, cancel_reservation, get_reservation_details, send_certificate, using

USERS = {"ann": {"payment_methods": {"gift_card_1": {"source": "gift_card", "amount": 90, "id": "gift_card_1"}}, "reservations": ["R1"]}}
BOOKED = {
    "reservation_id": "R1", "user_id": "ann", "cabin": "economy", "passengers": [{"first_name": "Ann", "last_name": "Li", "dob": "1990-04-05"}],
    "flights": [{"flight_number": "H1", "date": "2024-05-20", "price": 100, "origin": "JFK", "destination": "SFO"}],
    "payment_history": [{"payment_id": "gift_card_1", "amount": 100}], "total_baggages": 0, "nonfree_baggages": 0,
}  # fmt: skip


def small() -> Airline:
    return Airline(USERS, {"R1": BOOKED}, {})


def test_the_recorded_runs(data: Path) -> None:
    found = asyncio.run(measure(data / "airline"))
    assert (found["answers"], found["same"], found["drift"]) == (621, 558, {"get_user_details": 63})
    assert (found["verdicts"], found["agreed"]) == (88, 88)
    assert (found["writes"], found["wrong_writes"]) == (149, 112)


def test_the_command_without_data(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "evals.airline_runs", "--json"],
        cwd=ROOT,
        env={"POINTSMAN_DATA": str(tmp_path), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 1 and "POINTSMAN_DATA" in told.stderr


def test_every_schema_names_what_the_recorded_one_names(data: Path) -> None:
    recorded = {one["function"]["name"]: one["function"]["parameters"] for one in json.loads((data / "airline" / "tools.json").read_text())}
    assert {tool.name for tool in TOOLS} == set(recorded)
    for tool in TOOLS:
        ours = tool.contract.arguments.model_json_schema()
        assert set(ours.get("properties", {})) == set(recorded[tool.name]["properties"]), tool.name
        assert set(ours.get("required", [])) == set(recorded[tool.name]["required"]), tool.name


def test_a_copy_changes_nothing_of_what_it_was_copied_from() -> None:
    first = small()
    with using(first.fresh()) as copy:
        asyncio.run(cancel_reservation.contract.perform({"reservation_id": "R1"}, ""))
    assert copy.changes()["reservations"]["R1"]["status"] == "cancelled"
    assert first.changes() == {"users": {}, "reservations": {}}
    assert "status" not in BOOKED


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("2 + 2", "4.0"),
        ("-(3 - 10) * 2", "14.0"),
        ("1 / 3", "0.33"),
        ("1 / 0", "Error: division by zero"),
        ("2 ** 9", "Error: invalid syntax"),
        ("f()", "Error: invalid characters in expression"),
    ],
)
def test_calculate(expression: str, value: str) -> None:
    assert asyncio.run(calculate.contract.perform({"expression": expression}, "")) == value


def test_without_an_airline_nothing_is_asked() -> None:
    with pytest.raises(Unavailable, match="no airline"):
        asyncio.run(get_reservation_details.contract.perform({"reservation_id": "R1"}, ""))


class Request(TypedDict, total=False):
    reservation_id: str
    user_id: str
    amount: int
    cancelled: str
    sent: str


@pytest.mark.anyio
async def test_in_a_workflow_a_cancellation_is_asked_for_and_a_certificate_is_not_sent(open_runs: OpenRuns) -> None:
    flow = Workflow(Request, name="cancel", policy=Policy(ask(cancel_reservation, role=None), allow(send_certificate, when=None)))
    flow.add_node("cancel", effect(cancel_reservation, reads=("reservation_id",), writes="cancelled"))
    flow.add_edge(START, "cancel")
    flow.add_exits("cancel", default=END)
    with using(small()) as airline:
        async with open_runs(flow.compile()) as runs:
            run = await runs.start("cancel", {"reservation_id": "R1"})
            assert (await run.settled()).state == "waiting"
            assert airline.changes()["reservations"] == {}
            [item] = await runs.inbox()
            await runs.approve(item, by="dana")
            assert (await run.settled()).state == "done"
    assert airline.changes()["reservations"]["R1"]["payment_history"][-1] == {"payment_id": "gift_card_1", "amount": -100}
