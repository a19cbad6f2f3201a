"""An approval for 480 does not post 4 800: each way to try it, through each door, is refused, and is on record.

A door is where people decide: `Runs` in code, or the command line, where each word is a process of its own.
"""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import pytest

from pointsman import Runs
from pointsman.errors import PointsmanError
from pointsman.event import Event
from pointsman.evidence import verify
from pointsman.store.embedded import EmbeddedPostgres
from tests.acceptance.test_cli_project import Project

GRAPHS = '''"""Payments that a controller is asked about, under three rules."""

import os
from datetime import timedelta
from pathlib import Path

from langgraph.graph import END, START
from typing_extensions import TypedDict

from pointsman import Policy, Workflow, ask, effect, tool


class State(TypedDict, total=False):
    amount: int
    receipt: str


@tool(effect="submit", key="key")
def post(amount: int, key: str = "") -> str:
    """Post an amount."""
    with (Path(os.environ["WORLD"]) / "posted").open("a") as posted:
        posted.write(f"{amount}\\n")
    return f"posted {amount}"


def flow(name, **rule):
    made = Workflow(State, name=name, policy=Policy(ask(post, role="controller", **rule)))
    made.add_node("post", effect(post, reads=("amount",), writes="receipt"))
    made.add_edge(START, "post").add_exits("post", done=END, default=END)
    return made.compile()


one = flow("one")
two = flow("two", quorum=2)
brief = flow("brief", expires=timedelta(milliseconds=1))
'''


class Door:
    """What an attack can do through one door. Each word returns why it was refused, or an empty string where it was not."""

    async def asked(self, graph: str = "one", amount: int = 480) -> tuple[str, str]:
        """A run that asks whether an amount may be posted; its id and the question's."""
        raise NotImplementedError

    async def say(self, word: str, question: str, by: str, value: Any = None) -> str:
        """Say something to a question, whether it is still open or not."""
        raise NotImplementedError

    async def patch(self, run: str, amount: int) -> str:
        """Repair a run: another amount in its state."""
        raise NotImplementedError

    async def revoke(self, person: str) -> None:
        """Take from a person what they may do."""
        raise NotImplementedError

    async def open(self, run: str) -> list[str]:
        """The open questions of a run."""
        raise NotImplementedError


class Code(Door):
    """`Runs`, by whoever keeps an item from before."""

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self.items: dict[str, Any] = {}

    async def asked(self, graph: str = "one", amount: int = 480) -> tuple[str, str]:
        run = await self.runs.start(graph, {"amount": amount})
        await run.settled()
        return run.run_id, (await self.open(run.run_id))[0]

    async def say(self, word: str, question: str, by: str, value: Any = None) -> str:
        item = self.items[question]
        try:
            await getattr(self.runs, word)(item, *([value] if value is not None else []), by=by)
            await (await self.runs.get(item.run_id)).settled()
        except PointsmanError as error:
            return str(error)
        return ""

    async def patch(self, run: str, amount: int) -> str:
        handle = await self.runs.get(run)
        await self.runs.rerun(handle, node="post", patch={"amount": amount}, by="lee", reason="a repair")
        await handle.settled()
        return ""

    async def revoke(self, person: str) -> None:
        await self.runs.revoke(principal=person, by="dana", reason="left the house")

    async def open(self, run: str) -> list[str]:
        rows = await self.runs.owner.store.fetch("approvals_of", run)  # without the look that lets what is overdue expire
        names = ("approval_id", "run_id", "node", "tool", "role", "card_digest", "expires_at")
        from pointsman.runs import Item

        graph = (await self.runs.row(run))["graph"]
        self.items |= {row["approval_id"]: Item(graph=graph, card={}, **{name: row[name] for name in names}) for row in rows}
        return [row["approval_id"] for row in rows if row["state"] == "open"]


class Terminal(Door):
    """The command line."""

    def __init__(self, project: Project) -> None:
        self.project = project

    async def asked(self, graph: str = "one", amount: int = 480) -> tuple[str, str]:
        told = self.project.run("run", graph, "--input", json.dumps({"amount": amount}), "--json").data
        return told["run"], told["questions"][0]["approval"]

    async def say(self, word: str, question: str, by: str, value: Any = None) -> str:
        given = ("--value", json.dumps(value)) if value is not None else ()
        ended = self.project.run(word, question, "--as", by, *given)
        assert ended.code in (0, 1), ended.err
        assert bool(ended.err) == (ended.code == 1)
        return " ".join(ended.err.split())

    async def patch(self, run: str, amount: int) -> str:
        return self.project.run("rerun", run, "--node", "post", "--set", f"amount={amount}", "--as", "lee").err

    async def revoke(self, person: str) -> None:
        ended = self.project.run("revoke", "--principal", person, "--as", "dana", "--reason", "left the house")
        assert ended.code == 0, ended.err

    async def open(self, run: str) -> list[str]:
        return [item["approval_id"] for item in self.project.json("inbox") if item["run_id"] == run]


@pytest.fixture(scope="module")
def project() -> Iterator[Project]:
    root = Path(tempfile.mkdtemp(prefix="pm-"))
    made = Project(root)
    (root / "payments.py").write_text(GRAPHS)
    names = {name: f"./payments.py:{name}" for name in ("one", "two", "brief")}
    (root / "langgraph.json").write_text(json.dumps({"dependencies": ["."], "graphs": names}))
    (root / "guards" / "roles.toml").write_text(
        'allow_as = true\n[roles]\ncontroller = ["dana", "kim", "gone-code", "gone-terminal"]\nclerk = ["lee"]\n'
    )
    client = EmbeddedPostgres.start(root / "h", linger=0)
    yield made
    made.close()
    client.close()
    shutil.rmtree(root, ignore_errors=True)


@dataclass
class Scene:
    """One attack under way: the door it comes through, and what is looked at afterwards."""

    door: Door
    runs: Runs
    project: Project
    before: int

    def posted(self) -> list[str]:
        """What reached the outside in this scene."""
        return self.project.lines("posted")[self.before :]

    async def events(self, run: str, kind: str) -> list[Event]:
        assert await verify(self.runs.owner.store, run) == []
        return [event for event in await self.runs.events(await self.runs.get(run)) if event.kind == kind]

    async def refusals(self, run: str) -> list[tuple[str, str, str]]:
        """Who was refused what, and why, on record."""
        return [(e.fields["by"], e.fields["decision"], e.fields["reason"]) for e in await self.events(run, "ask.refused")]


Attack = Callable[[Scene], Any]


async def patched_state(scene: Scene) -> None:
    """The state is changed behind the question, and the old yes sent."""
    run, question = await scene.door.asked()
    await scene.door.patch(run, 4800)
    assert "has expired" in await scene.door.say("approve", question, "dana")
    assert scene.posted() == []
    assert await scene.refusals(run) == [("dana", "approved", "closed")]
    [new] = await scene.door.open(run)
    assert new != question
    assert await scene.door.say("reject", new, "kim") == ""
    assert scene.posted() == []


async def patched_after_the_yes(scene: Scene) -> None:
    """The state is changed after 480 was posted, and the old yes sent again."""
    run, question = await scene.door.asked()
    await scene.door.say("approve", question, "dana")
    await scene.door.patch(run, 4800)
    assert "the call was made" in await scene.door.say("approve", question, "dana")
    assert scene.posted() == ["480"]
    assert await scene.refusals(run) == [("dana", "approved", "closed")]
    [new] = await scene.door.open(run)
    assert await scene.door.say("reject", new, "kim") == ""
    assert scene.posted() == ["480"]


async def replayed(scene: Scene) -> None:
    """A yes is sent a second time, by the same person and by another."""
    run, question = await scene.door.asked()
    assert await scene.door.say("approve", question, "dana") == ""
    for by in ("dana", "kim"):
        assert "the call was made" in await scene.door.say("approve", question, by)
    assert scene.posted() == ["480"]
    assert await scene.refusals(run) == [("dana", "approved", "closed"), ("kim", "approved", "closed")]


async def for_another_run(scene: Scene) -> None:
    """A yes to 480 in one run is none to 4 800 in another that stands beside it."""
    small, question = await scene.door.asked()
    large, other = await scene.door.asked(amount=4800)
    assert await scene.door.say("approve", question, "dana") == ""
    assert scene.posted() == ["480"]
    assert await scene.door.open(large) == [other]
    assert len(await scene.events(small, "ask.decided")) == 1
    assert await scene.door.say("reject", other, "dana") == ""


async def too_late(scene: Scene) -> None:
    """A yes after the time has run out."""
    run, question = await scene.door.asked("brief")
    await anyio.sleep(0.01)
    assert "expired" in await scene.door.say("approve", question, "dana")
    assert scene.posted() == []
    assert len(await scene.events(run, "ask.expired")) == 1


async def without_the_role(scene: Scene) -> None:
    """A yes, and an edit, of somebody who may not."""
    run, question = await scene.door.asked()
    assert "does not hold the role controller" in await scene.door.say("approve", question, "lee")
    assert "does not hold the role controller" in await scene.door.say("edit", question, "lee", {"amount": 4800})
    assert scene.posted() == []
    assert await scene.refusals(run) == [("lee", "approved", "role"), ("lee", "edited", "role")]
    assert await scene.door.say("reject", question, "dana") == ""


async def twice_by_one_person(scene: Scene) -> None:
    """Two people are needed, and one says yes twice."""
    run, question = await scene.door.asked("two")
    assert await scene.door.say("approve", question, "dana") == ""
    assert "has approved" in await scene.door.say("approve", question, "dana")
    assert scene.posted() == []
    assert await scene.refusals(run) == [("dana", "approved", "twice")]
    assert await scene.door.say("reject", question, "kim") == ""


async def revoked(scene: Scene) -> None:
    """A yes of somebody who was revoked since, before it was said and after."""
    gone = f"gone-{type(scene.door).__name__.lower()}"
    run, question = await scene.door.asked()
    shared, both = await scene.door.asked("two")
    assert await scene.door.say("approve", both, gone) == ""
    await scene.door.revoke(gone)
    assert "was revoked" in await scene.door.say("approve", question, gone)
    assert await scene.refusals(run) == [(gone, "approved", "revoked")]
    for open_question in await scene.door.open(shared):
        await scene.door.say("approve", open_question, "dana")
    assert scene.posted() == [], "the yes of somebody who was revoked is none of two"
    assert await scene.door.say("reject", question, "dana") == ""
    for open_question in await scene.door.open(shared):
        assert await scene.door.say("reject", open_question, "kim") == ""


async def edited_arguments(scene: Scene) -> None:
    """The arguments are edited to 4 800, and the yes to 480 sent: it counts for neither."""
    run, question = await scene.door.asked()
    assert await scene.door.say("edit", question, "kim", {"amount": 4800}) == ""
    assert "has been edited" in await scene.door.say("approve", question, "dana")
    assert scene.posted() == []
    assert await scene.refusals(run) == [("dana", "approved", "closed")]
    [new] = await scene.door.open(run)
    assert await scene.door.say("reject", new, "dana") == ""
    assert scene.posted() == []


ATTACKS: list[Attack] = [
    patched_state, patched_after_the_yes, replayed, for_another_run, too_late, without_the_role, twice_by_one_person, revoked, edited_arguments,
]  # fmt: skip


@pytest.fixture
async def scene(project: Project, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name, value in project.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(project.root)
    async with Runs.open() as runs:
        door = Code(runs) if request.param == "runs" else Terminal(project)
        yield Scene(door, runs, project, len(project.lines("posted")))


@pytest.mark.anyio
@pytest.mark.parametrize("scene", ["runs", "cli"], indirect=True)
@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_it_is_refused_and_on_record(scene: Scene, attack: Attack) -> None:
    await attack(scene)


@pytest.mark.anyio
@pytest.mark.parametrize("scene", ["cli"], indirect=True)
@pytest.mark.parametrize("graph", ["one", "two"])
async def test_two_processes_that_decide_at_once(scene: Scene, graph: str) -> None:
    """Of one question one decides; of two yeses each counts once, and the call is made once."""
    run, question = await scene.door.asked(graph)
    both = [scene.project.start("approve", question, "--as", by) for by in ("dana", "kim")]
    deadline = time.monotonic() + 60
    while any(not (command.out.exists()) for command in both) and time.monotonic() < deadline:
        await anyio.sleep(0.01)
    codes = sorted(command.ended().code for command in both)
    assert scene.posted() == ["480"]
    decided, refused = await scene.events(run, "ask.decided"), await scene.refusals(run)
    if graph == "one":
        assert (codes, len(decided), [reason for _, _, reason in refused]) == ([0, 1], 1, ["closed"])
    else:
        assert (codes, sorted(event.fields["by"] for event in decided), refused) == ([0, 0], ["dana", "kim"], [])


@pytest.mark.anyio
@pytest.mark.parametrize("scene", ["runs"], indirect=True)
async def test_a_yes_on_another_card_is_refused(scene: Scene) -> None:
    """Whoever hands on a card of their own making, or that of another question, has shown something else."""
    from dataclasses import replace

    door = scene.door
    assert isinstance(door, Code)
    run, question = await door.asked()
    _, large = await door.asked(amount=4800)
    for digest in ("0" * 64, door.items[question].card_digest):
        door.items["forged"] = replace(door.items[large], card_digest=digest)
        assert "card" in await door.say("approve", "forged", "dana")
    assert scene.posted() == []
    assert await scene.refusals(run) == []
    assert await scene.refusals(door.items[large].run_id) == [("dana", "approved", "card")]
