"""Attempts on files by an agent, and by code: as many as it likes on a copy, one change that a person sees as it will be done, applied once."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from langgraph.graph import END, START
from rich.console import Console
from typing_extensions import TypedDict

from pointsman import FAILED, Context, Policy, Workflow, allow, arg, ask, code, effect, tool
from pointsman.cli.card import card
from pointsman.cli.listing import as_ask
from pointsman.evaluation.journaled import trace_of
from pointsman.evaluation.replay import replay
from pointsman.sandbox import Change, Sandbox
from pointsman.testing import ScriptedModel, calls
from tests.acceptance.fenced import FOUND, fenced
from tests.acceptance.world import OpenRuns, approve_all, go, open_items, output, told

pytestmark = pytest.mark.anyio

OLD = "workers=1\nport=80\n"
NEW = "workers=4\nport=80\n"


@pytest.fixture
def folder(home: Path) -> Path:
    """`etc` in the project's root."""
    made = home / "etc"
    made.mkdir()
    (made / "app.ini").write_text(OLD)
    return made


def there(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def enough(copy: Path) -> str:
    """A check: what is wrong with the folder."""
    return "" if "workers=4" in (copy / "app.ini").read_text() else "four workers are needed"


def asked(messages: list[Any], offered: list[str]) -> Any:
    """What the model does: looks, tries twice, applies what it tried last."""
    said = [message for message in messages if message.type == "tool"]
    before = said[1].text.partition('"sha256": "')[2][:64] if len(said) > 1 else ""

    def change(text: str) -> dict[str, Any]:
        return {"change": {"files": [{"path": "app.ini", "before": before, "after": text}]}}

    turns = [
        calls(("list_files", {}), ("read_file", {"path": "app.ini"})),
        calls(("try_change", change("workers=2\nport=80\n")), ("read_file", {"path": "../../etc/passwd"})),
        calls(("try_change", change(NEW)), ("read_file", {"path": "app.ini", "folder": "/etc"})),
        calls(("apply_change", change(NEW))),
        FOUND,
    ]
    return turns[sum(1 for message in messages if message.type == "ai")]


def mending(model: Any, policy: Policy | None = None) -> Any:
    sandbox = Sandbox("etc", check=enough)
    return fenced(
        model, policy=policy or Policy(ask(sandbox.apply_change, role=None)), tools=sandbox.tools, effects=(sandbox.apply_change,)
    )


async def test_an_agent_tries_on_a_copy_and_what_it_applies_is_what_a_person_saw(open_runs: OpenRuns, folder: Path) -> None:
    model = ScriptedModel(asked)
    graph = mending(model)
    async with open_runs(graph) as runs:
        run, summary = await go(runs, {"text": "too slow"})
        assert (summary.state, (folder / "app.ini").read_text()) == ("waiting", OLD)
        [item] = await open_items(runs, run)
        assert item.card["arguments"]["folder"] == "etc"
        assert item.card["preview"] == {
            "check": "", "diff": "diff --git a/app.ini b/app.ini\n--- a/app.ini\n+++ b/app.ini\n@@ -1,2 +1,2 @@\n-workers=1\n+workers=4\n port=80\n",
        }  # fmt: skip
        printed = StringIO()
        Console(width=100, file=printed).print(card(as_ask(item)))
        shown = [line.strip() for line in printed.getvalue().splitlines()]
        assert {'preview   check: ""', "diff:"} <= set(shown)
        assert shown[shown.index("-workers=1") :][:3] == ["-workers=1", "+workers=4", "port=80"]
        assert "four workers are needed" in model.seen[2][-2].text
        denied = [event.fields["rule"] for event in await told(runs, run, "call.denied")]
        assert denied == ["arguments", "arguments"]  # no path leads out, and the folder is no choice of the model's
        assert (await approve_all(runs, run)).state == "done"
        assert there(folder) == {"app.ini": NEW}
        again = await replay(graph, await trace_of(runs, run))
        assert again.identical, again.data()


@pytest.mark.parametrize("meanwhile", ["changed", "gone", "rejected"])
async def test_what_a_person_saw_and_is_no_longer_so_is_not_applied(open_runs: OpenRuns, folder: Path, meanwhile: str) -> None:
    async with open_runs(mending(ScriptedModel(asked))) as runs:
        run, _ = await go(runs, {"text": "too slow"})
        [item] = await open_items(runs, run)
        if meanwhile == "changed":
            (folder / "app.ini").write_text("theirs")
        if meanwhile == "gone":
            (folder / "app.ini").unlink()
        await (runs.reject if meanwhile == "rejected" else runs.approve)(item, by="dana")
        assert ((await run.settled()).state, (await output(runs, run))["end"]) == ("done", "answered")
        outcomes = [event.fields["outcome"] for event in await told(runs, run, "call.outcome") if event.fields.get("effect") == "overwrite"]
        assert "done" not in outcomes
    assert there(folder) == {"changed": {"app.ini": "theirs"}, "gone": {}, "rejected": {"app.ini": OLD}}[meanwhile]


class Filing(TypedDict, total=False):
    workers: int
    change: Change
    applied: int


async def test_code_makes_an_attempt_in_a_read_and_an_effect_applies_it(open_runs: OpenRuns, folder: Path) -> None:
    sandbox = Sandbox("etc", check=enough)

    @tool(effect="read")
    def draft(workers: int) -> Change:
        """Drafts the change of a number of workers, for example 4."""
        with sandbox.attempt() as copy:
            path = copy.path / "app.ini"
            path.write_text(path.read_text().replace("workers=1", f"workers={workers}"))
            (copy.path / "start.sh").write_text("#!/bin/sh\n")
            (copy.path / "start.sh").chmod(0o755)
            return copy.change()

    async def drafted(state: Filing, ctx: Context) -> Filing:
        return {"change": await ctx.call(draft, workers=state["workers"])}

    flow = Workflow(Filing, name="flow", policy=Policy(ask(sandbox.apply_change, when=arg("folder") == "etc"), allow("draft")))
    flow.add_node("draft", code(drafted, tools=(draft,)))
    flow.add_node("apply", effect(sandbox.apply_change, reads=("change",), writes="applied"))
    flow.add_edge(START, "draft").add_edge("draft", "apply")
    flow.add_exits("apply", done=END, default=FAILED)
    graph = flow.compile()
    async with open_runs(graph) as runs:
        run, _ = await go(runs, {"workers": 4})
        assert (await approve_all(runs, run)).state == "done"
        assert ((folder / "app.ini").read_text(), (folder / "start.sh").stat().st_mode & 0o777) == (NEW, 0o755)
        again = await replay(graph, await trace_of(runs, run))
        assert again.identical, again.data()
