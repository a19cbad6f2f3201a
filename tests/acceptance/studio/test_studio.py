"""Runs through LangGraph's development server, over real HTTP: what Studio and chat interfaces show, and what is refused through it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pointsman import Runs
from pointsman.event import Event
from pointsman.evidence import canonical_record, verify
from pointsman.runs import Run
from tests.acceptance.studio.desk import Desk, approve, ask, edit, told, until

pytestmark = pytest.mark.anyio


async def kinds(runs: Runs, run: Run) -> list[str]:
    """The kinds of a run's events, without the segments they fell into."""
    return [event.kind for event in await runs.events(run)]


async def first(runs: Runs, run: Run, kind: str) -> Event:
    """A run's first event of a kind."""
    return next(event for event in await runs.events(run) if event.kind == kind)


async def refusals(runs: Runs, run: Run) -> set[tuple[str, str]]:
    """Who was refused on record, and why."""
    return {(event.fields["by"], event.fields["reason"]) for event in await runs.events(run) if event.kind == "ask.refused"}


async def status(client: Any, thread: str) -> str:
    found = await client.threads.get(thread)
    return str(found["status"])


async def test_a_graph_is_drawn_with_kinds_and_every_exit(desk: Desk) -> None:
    async with desk.client() as nobody:
        drawn = await nobody.assistants.get_graph("payment", xray=True)
    assert {node["id"]: (node.get("metadata") or {}).get("kind") for node in drawn["nodes"]} == {
        "__start__": None, "price": "code", "pay": "effect", "told": "code", "failed": None, "__end__": None,
    }  # fmt: skip
    labelled = {(edge["source"], edge["target"]): edge.get("data") for edge in drawn["edges"]}
    assert labelled["pay", "__end__"] == "done"
    assert labelled["pay", "told"] == "rejected · expired"
    assert labelled["pay", "failed"] == "denied · limit"


async def test_an_agent_is_drawn_with_its_tools_and_exits_and_asks_from_within(desk: Desk) -> None:
    async with desk.client("dana") as dana, desk.client("kim") as kim:
        drawn = await dana.assistants.get_graph("spender", xray=True)
        asked = await ask(dana, "spender", {"item": "chair"})
        assert 33 not in desk.paid()
        result = await kim.runs.wait(asked.thread, "spender", command={"resume": approve(asked.question)})
    assert {"buy:model", "buy:tools"} <= {node["id"] for node in drawn["nodes"]}
    ends = {edge["target"]: edge.get("data") for edge in drawn["edges"] if edge["source"] == "buy:__end__"}
    assert ends == {"__end__": "answered", "failed": "abstained · needs_person · limit · loop · tool_failure · denied · unavailable"}
    assert (result["text"], desk.paid().count(33)) == ("bought", 1)


async def test_forms_have_their_fields(desk: Desk) -> None:
    async with desk.client() as nobody:
        [assistant] = await nobody.assistants.search(graph_id="payment")
        schemas = await nobody.assistants.get_schemas(assistant["assistant_id"])
    for form in ("input_schema", "output_schema", "state_schema"):
        assert {"amount", "item", "order", "log"} <= set(schemas[form]["properties"])
    assert schemas["input_schema"]["properties"]["amount"]["type"] == "integer"


async def test_the_record_is_that_of_a_run_from_code(desk: Desk) -> None:
    async with desk.client("dana") as dana, desk.client("kim") as kim, desk.runs() as runs:
        asked = await ask(dana, "payment", {"amount": 480})
        await kim.runs.wait(asked.thread, "payment", command={"resume": approve(asked.question)})
        ours = await runs.start("payment", {"amount": 480}, by="dana")
        await ours.settled()
        [item] = [item for item in await runs.inbox() if item.run_id == ours.run_id]
        await runs.approve(item, by="kim")
        await ours.settled()
        theirs = await runs.get(asked.thread)
        records = [canonical_record(await runs.events(run), await runs.payloads(run)) for run in (theirs, ours)]
        assert records[0] == records[1]
        assert await kinds(runs, theirs) == await kinds(runs, ours)
        assert [await verify(runs.owner.store, run.run_id) for run in (theirs, ours)] == [[], []]
        decided = await first(runs, theirs, "ask.decided")
        assert (await first(runs, theirs, "run.accepted")).fields["by"] == "dana"
        assert (decided.fields["by"], decided.fields["known_by"]) == ("kim", "api")
        assert decided.fields["approval"] == asked.question
        assert (await runs.payloads(theirs))[decided.payloads["card"]] == asked.shown["value"]["card"]
        assert decided.payloads["card"] == asked.shown["value"]["card_digest"]
        summaries = [await run.summary() for run in (theirs, ours)]
        assert summaries[0].version == summaries[1].version, "however the graph's file was loaded"


async def test_state_history_and_question_are_shown_as_they_were_written(desk: Desk) -> None:
    async with desk.client("dana") as dana:
        asked = await ask(dana, "payment", {"amount": 300})
        state = await dana.threads.get_state(asked.thread)
        assert (state["next"], state["values"]["amount"], state["values"]["log"]) == (["pay"], 300, ["300 asked for"])
        assert [interrupt["id"] for interrupt in state["interrupts"]] == [asked.question]
        thread = await dana.threads.get(asked.thread)
        assert (thread["status"], [i["id"] for found in thread["interrupts"].values() for i in found]) == ("interrupted", [asked.question])
        history = await dana.threads.get_history(asked.thread)
        assert [step["next"] for step in history] == [["pay"], ["price"], ["__start__"]]
        found = await dana.threads.search(status="interrupted", limit=100)
        assert asked.thread in {thread["thread_id"] for thread in found}

        value = asked.shown["value"]
        assert value["action_requests"] == [{"name": "pay", "args": {"amount": 300}, "description": "rule ask-2 of policy 1"}]
        assert value["review_configs"] == [{"action_name": "pay", "allowed_decisions": ["approve", "reject", "edit"]}]
        assert (value["approval"], value["command"]) == (asked.question, f"pointsman approve {asked.question[:8]}")


async def test_a_run_goes_through_both_doors(desk: Desk) -> None:
    async with desk.client("dana") as dana:
        asked = await ask(dana, "payment", {"amount": 310})
        code, said = await asyncio.to_thread(desk.command, "approve", asked.question[:8], "--as", "kim")
        assert code == 0, said
        assert (await dana.threads.get_state(asked.thread))["values"]["receipt"] == "paid 310"
        code, said = await asyncio.to_thread(desk.command, "show", asked.thread, "--verify")
        assert (code, "chain whole" in said, "by dana" in said) == (0, True, True), said
        async with desk.runs() as runs:  # and one that code started
            run = await runs.start("payment", {"amount": 320}, by="lee")
            await run.settled()
        await dana.threads.create(thread_id=run.run_id, graph_id="payment")
        state = await dana.threads.get_state(run.run_id)
        result = await dana.runs.wait(run.run_id, "payment", command={"resume": approve(state["interrupts"][0]["id"])})
        assert result["receipt"] == "paid 320"


async def test_what_would_pass_the_checks_is_refused_and_480_stays_480(desk: Desk) -> None:
    before = len(desk.paid())
    async with desk.client("dana") as dana, desk.client("max") as max, desk.client() as nobody, desk.client(token="made up") as stranger:
        asked, other = await ask(dana, "payment", {"amount": 480}), await ask(dana, "payment", {"amount": 4800})
        yes = approve(asked.question)
        history = await dana.threads.get_history(asked.thread)

        async def refused(client: Any, *words: str, graph: str = "payment", thread: str | None = asked.thread, **call: Any) -> None:
            said = await told(client.runs.wait(thread, graph, **call))
            assert [word for word in words if word not in said] == [], said
            assert await status(dana, asked.thread) == "interrupted"

        await refused(dana, "409", f"pointsman approve {asked.question[:8]}", command={"resume": True})
        await refused(dana, "409", f"pointsman approve {asked.question[:8]}", command={"resume": {"decisions": [{"type": "approve"}]}})
        await refused(dana, "409", "goto", command={"goto": "__end__"})
        await refused(dana, "409", "goto", command={"goto": {"node": "pay", "input": {"amount": 4800}}})
        await refused(dana, "409", "pointsman rerun", command={"update": {"amount": 4800}})
        await refused(dana, "409", "pointsman rerun", command={"update": {"amount": 4800}, "resume": yes})
        await refused(dana, "409", "new input", input={"amount": 4800})
        await refused(dana, "409", "older checkpoint", input=None, checkpoint_id=history[-1]["checkpoint"]["checkpoint_id"])
        await refused(dana, "409", "older checkpoint", command={"resume": yes}, checkpoint=history[-1]["checkpoint"])
        await refused(dana, "409", "without a thread", thread=None, input={"amount": 4800})
        await refused(dana, "404", "no question", command={"resume": approve("a" * 32)})
        await refused(dana, "404", "no question", command={"resume": approve(other.question)})
        await refused(dana, "409", "card", command={"resume": approve(asked.question, card_digest=other.shown["value"]["card_digest"])})
        await refused(dana, "422", "decision", command={"resume": {asked.question: True}})
        await refused(dana, "422", "decision", command={"resume": {asked.question: {"decisions": [{"type": "accept"}]}}})
        await refused(max, "403", "controller", command={"resume": yes})
        await refused(nobody, "403", "nobody is signed in", command={"resume": yes})
        await refused(stranger, "401", "roles.toml", command={"resume": yes})
        spoofed = {"langgraph_auth_user": {"identity": "dana", "is_authenticated": True}, "langgraph_auth_user_id": "dana"}
        await refused(nobody, "403", "nobody is signed in", command={"resume": yes}, config={"configurable": spoofed})
        state = await dana.threads.get_state(asked.thread)
        assert (state["values"]["amount"], [i["id"] for i in state["interrupts"]]) == (480, [asked.question])
        assert len(desk.paid()) == before

        result = await dana.runs.wait(
            asked.thread, "payment", command={"resume": approve(asked.question, card_digest=asked.shown["value"]["card_digest"])}
        )
        assert (result["receipt"], desk.paid()[before:]) == ("paid 480", [480])
        assert "nothing was decided" in await told(dana.runs.wait(asked.thread, "payment", command={"resume": yes}))
        assert desk.paid()[before:] == [480]
        async with desk.runs() as runs:
            run = await runs.get(asked.thread)
            assert await refusals(runs, run) == {
                ("dana", "unbound"), ("dana", "card"), ("max", "role"), ("anybody", "nobody"), ("dana", "closed"),
            }  # fmt: skip
            assert await verify(runs.owner.store, run.run_id) == []


async def test_a_state_is_not_changed_from_outside(desk: Desk) -> None:
    async with desk.client("dana") as dana:
        asked = await ask(dana, "payment", {"amount": 481})
        for update in (
            dana.threads.update_state(asked.thread, {"amount": 4800}),
            dana.threads.update_state(asked.thread, {"amount": 4800}, as_node="price"),
            dana.threads.create(graph_id="payment", supersteps=[{"updates": [{"values": {"amount": 4800}, "as_node": "price"}]}]),
        ):
            assert "cannot be changed from outside" in await told(update)
        state = await dana.threads.get_state(asked.thread)
        assert (state["values"]["amount"], [i["id"] for i in state["interrupts"]]) == (481, [asked.question])


async def test_a_client_cannot_name_what_only_the_runtime_sets(desk: Desk) -> None:
    async with desk.client("max") as max, desk.runs() as runs:
        asked = await ask(max, "payment", {"amount": 200})
        other = await runs.get(asked.thread)
        names = ("gateway", "owner", "by", "advance", "run")
        sent = {f"__pointsman_{name}": other.run_id for name in names} | {"__pregel_checkpointer": "x", "__pregel_task_id": "x"}
        thread = (await max.threads.create())["thread_id"]
        result = await max.runs.wait(thread, "payment", input={"amount": 3}, config={"configurable": sent})
        assert result["receipt"] == "paid 3"
        run = await runs.get(thread)
        assert (await first(runs, run, "run.accepted")).fields["by"] == "max"
        assert await verify(runs.owner.store, run.run_id) == []
        assert (await other.summary()).state == "waiting"


@pytest.mark.parametrize(
    ("page", "heard"),
    [
        ("https://smith.langchain.com", True),
        ("https://eu.smith.langchain.com", True),
        ("http://localhost:3000", True),
        ("https://example.com", False),
        ("https://smith.langchain.com.example.com", False),
        ("http://localhost.example.com", False),
        ("null", False),
    ],
)
async def test_a_strangers_page_is_not_heard(desk: Desk, page: str, *, heard: bool) -> None:
    async with desk.client() as nobody, desk.client("dana") as dana:
        if heard:
            await nobody.threads.create(headers={"origin": page})
        else:
            assert "403" in await told(nobody.threads.create(headers={"origin": page}))
        await dana.threads.create(headers={"origin": page})


async def test_studios_own_credentials_say_nothing_here(desk: Desk) -> None:
    async with desk.client() as nobody:
        asked = await ask(nobody, "payment", {"amount": 480})
        signed = {"x-auth-scheme": "langsmith", "x-api-key": "lsv2_of_somebody"}
        said = await told(nobody.runs.wait(asked.thread, "payment", command={"resume": approve(asked.question)}, headers=signed))
        assert "nobody is signed in" in said


async def test_an_edit_is_a_new_call_and_the_old_question_is_settled(desk: Desk) -> None:
    before = len(desk.paid())
    async with desk.client("dana") as dana, desk.client("kim") as kim:
        asked = await ask(dana, "payment", {"amount": 480})
        assert "not 'send'" in await told(
            dana.runs.wait(asked.thread, "payment", command={"resume": {asked.question: edit("send", amount=450)}})
        )
        result = await dana.runs.wait(asked.thread, "payment", command={"resume": {asked.question: edit("pay", amount="450")}})
        [anew] = result["__interrupt__"]
        assert anew["value"]["action_requests"][0]["args"] == {"amount": 450}
        assert "been edited" in await told(kim.runs.wait(asked.thread, "payment", command={"resume": approve(asked.question)}))
        result = await kim.runs.wait(asked.thread, "payment", command={"resume": approve(anew["id"])})
        assert (result["receipt"], desk.paid()[before:]) == ("paid 450", [450])


async def test_a_no_is_one_word(desk: Desk) -> None:
    async with desk.client("dana") as dana:
        asked = await ask(dana, "payment", {"amount": 990})
        no = {"decisions": [{"type": "reject", "message": "not this year"}]}
        result = await dana.runs.wait(asked.thread, "payment", command={"resume": {asked.question: no}})
        assert result["log"] == ["990 asked for", "not paid"]
        async with desk.runs() as runs:
            run = await runs.get(asked.thread)
            decided = await first(runs, run, "ask.decided")
            assert (await runs.payloads(run))[decided.payloads["note"]] == "not this year"


async def test_two_people_are_two(desk: Desk) -> None:
    before = len(desk.paid())
    async with desk.client("max") as max, desk.client("dana") as dana, desk.client("kim") as kim:
        mine = await ask(dana, "pair", {"amount": 8})
        assert "dana started the run" in await told(dana.runs.wait(mine.thread, "pair", command={"resume": approve(mine.question)}))
        asked = await ask(max, "pair", {"amount": 7})
        yes = {"resume": approve(asked.question)}
        result = await dana.runs.wait(asked.thread, "pair", command=yes)
        assert [interrupt["id"] for interrupt in result["__interrupt__"]] == [asked.question]
        assert "approved" in await told(dana.runs.wait(asked.thread, "pair", command=yes))
        assert desk.paid()[before:] == []
        result = await kim.runs.wait(asked.thread, "pair", command=yes)
        assert (result["receipt"], desk.paid()[before:]) == ("paid 7", [7])


async def test_of_two_at_once_one_decides(desk: Desk) -> None:
    before = len(desk.paid())
    async with desk.client("dana") as dana, desk.client("kim") as kim:
        asked = await ask(dana, "payment", {"amount": 640})
        both = (client.runs.wait(asked.thread, "payment", command={"resume": approve(asked.question)}) for client in (dana, kim))
        results = await asyncio.gather(*both, return_exceptions=True)
        assert desk.paid()[before:] == [640]
        assert [result["receipt"] for result in results if isinstance(result, dict)] == ["paid 640"], results
        async with desk.runs() as runs:
            run = await runs.get(asked.thread)
            assert (await kinds(runs, run)).count("ask.decided") == 1
            assert await verify(runs.owner.store, run.run_id) == []


async def test_what_has_expired_is_not_approved_and_the_run_goes_on(desk: Desk) -> None:
    before = len(desk.paid())
    async with desk.client("dana") as dana:
        asked = await ask(dana, "late", {"amount": 5})
        await asyncio.sleep(1.1)
        assert "expired" in await told(dana.runs.wait(asked.thread, "late", command={"resume": approve(asked.question)}))
        state = await dana.threads.get_state(asked.thread)
        assert (state["next"], state["values"]["log"], desk.paid()[before:]) == ([], ["5 asked for", "not paid"], [])


async def test_nobody_decides_what_is_open_to_anybody_but_by_its_id(desk: Desk) -> None:
    before = len(desk.paid())
    async with desk.client() as nobody:
        asked = await ask(nobody, "loose", {"amount": 11})
        for unbound in (True, "approve", {"decisions": [{"type": "approve"}]}):
            said = await told(nobody.runs.wait(asked.thread, "loose", command={"resume": unbound}))
            assert f"pointsman approve {asked.question[:8]}" in said
        assert desk.paid()[before:] == []
        result = await nobody.runs.wait(asked.thread, "loose", command={"resume": approve(asked.question)})
        assert (result["receipt"], desk.paid()[before:]) == ("paid 11", [11])
        async with desk.runs() as runs:
            run = await runs.get(asked.thread)
            decided = await first(runs, run, "ask.decided")
            assert (decided.fields["by"], decided.fields["known_by"]) == ("anybody", "nobody")
            assert (await runs.events(run))[0].fields.get("by") is None


async def test_a_bare_value_answers_the_one_question_that_is_open_to_anybody(desk: Desk) -> None:
    async with desk.client() as nobody:
        asked = await ask(nobody, "count", {"item": "chair"})
        assert asked.shown["response_schema"] == {"type": "integer"}
        assert asked.shown["value"]["action_requests"] == [
            {"name": "person", "args": {"item": "chair", "count": None}, "description": "How many?"}
        ]
        said = await told(nobody.runs.wait(asked.thread, "count", command={"resume": "a few"}))
        assert "valid integer" in said and "still open" in said
        thread = await nobody.threads.get(asked.thread)
        assert "valid integer" in thread["error"]["message"]
        assert (await nobody.runs.wait(asked.thread, "count", command={"resume": 12}))["count"] == 12

        form = await ask(nobody, "count", {"item": "chair"})  # as agent-chat-ui sends a form: no id, and text for everything
        result = await nobody.runs.wait(form.thread, "count", command={"resume": edit("person", item="chair", count="9")})
        assert result["count"] == 9


async def test_a_question_for_a_role_is_answered_by_who_holds_it(desk: Desk) -> None:
    async with desk.client("dana") as dana, desk.client("max") as max:
        asked = await ask(dana, "clerk", {"order": {"item": "chair", "price": "4.10"}})
        assert asked.shown["value"]["action_requests"][0]["args"] == {"order": {"item": "chair", "price": "4.1"}}
        assert asked.shown["response_schema"]["properties"].keys() == {"item", "price"}
        for client, resume in ((dana, {asked.question: {"item": "table", "price": 5}}), (max, {"item": "table", "price": 5})):
            said = await told(client.runs.wait(asked.thread, "clerk", command={"resume": resume}))
            assert "nothing was decided" in said
        filled = edit("person", order={"item": "table", "price": "5.10"})
        result = await max.runs.wait(asked.thread, "clerk", command={"resume": {asked.question: filled}})
        assert result["order"] == {"item": "table", "price": 5.1}
        async with desk.runs() as runs:
            run = await runs.get(asked.thread)
            decided = await first(runs, run, "ask.decided")
            assert (await runs.payloads(run))[decided.payloads["value"]] == {"item": "table", "price": {"$decimal": "5.1"}}
            assert await refusals(runs, run) == {("dana", "role"), ("max", "unbound")}


async def test_answers_to_several_questions_go_each_to_its_own(desk: Desk) -> None:
    async with desk.client("dana") as dana:
        thread = (await dana.threads.create())["thread_id"]
        result = await dana.runs.wait(thread, "both", input={})
        asked = {interrupt["value"]["action_requests"][0]["name"]: interrupt["id"] for interrupt in result["__interrupt__"]}
        said = await told(dana.runs.wait(thread, "both", command={"resume": 3}))
        assert all(f"pointsman answer {question[:8]}" in said for question in asked.values())
        answers = {asked["many"]: "a few", asked["which"]: "the red one"}
        assert "valid integer" in await told(dana.runs.wait(thread, "both", command={"resume": answers})), "one is refused, the other taken"
        state = await dana.threads.get_state(thread)
        assert [interrupt["id"] for interrupt in state["interrupts"]] == [asked["many"]]
        result = await dana.runs.wait(thread, "both", command={"resume": {asked["many"]: 3}})
        assert (result["count"], result["item"]) == (3, "the red one")


async def test_a_parked_run_says_what_to_do_and_can_be_resumed(desk: Desk) -> None:
    broken = desk.root / "broken.txt"
    broken.touch()
    (desk.root / "paper.txt").write_text("to whom it may concern")
    async with desk.client("dana") as dana:
        thread = (await dana.threads.create())["thread_id"]
        said = await told(dana.runs.wait(thread, "reading", input={"paper": "paper.txt"}))
        assert "out of order" in said and "pointsman show" in said
        broken.unlink()
        assert (await dana.runs.wait(thread, "reading", input=None))["text"] == "to whom it may concern"
        async with desk.runs() as runs:
            run = await runs.get(thread)
            continued = await first(runs, run, "run.continued")
            assert continued.fields["by"] == "dana"
        said = await told(dana.runs.wait((await dana.threads.create())["thread_id"], "reading", input={"papers": 1}))
        assert "there is no field 'papers'" in said


async def test_an_input_on_a_finished_thread_is_a_new_run(desk: Desk) -> None:
    async with desk.client("dana") as dana, desk.runs() as runs:
        thread = (await dana.threads.create())["thread_id"]
        await dana.runs.wait(thread, "payment", input={"amount": 1})
        first = await runs.get(thread)
        await dana.runs.wait(thread, "payment", input={"amount": 2})
        second = await runs.get(thread)
        assert first.run_id != second.run_id
        assert [await verify(runs.owner.store, run.run_id) for run in (first, second)] == [[], []]


async def test_a_breakpoint_stops_between_two_nodes(desk: Desk) -> None:
    async with desk.client("dana") as dana:
        thread = (await dana.threads.create())["thread_id"]
        await dana.runs.wait(thread, "payment", input={"amount": 4}, interrupt_before=["pay"])
        assert (await dana.threads.get_state(thread))["next"] == ["pay"]
        assert (await dana.runs.wait(thread, "payment", input=None))["receipt"] == "paid 4"


async def test_the_record_outlives_what_the_server_forgets(desk: Desk) -> None:
    async with desk.client("dana") as dana, desk.runs() as runs:
        asked = await ask(dana, "payment", {"amount": 500})
        [segment] = await dana.runs.list(asked.thread)
        for refused in (
            dana.threads.delete(asked.thread),
            dana.threads.copy(asked.thread),
            dana.runs.delete(asked.thread, segment["run_id"]),
            dana.runs.wait(asked.thread, "payment", command={"resume": approve(asked.question)}, multitask_strategy="rollback"),
        ):
            assert "nothing was changed" in await told(refused)
        assert (await dana.threads.get_state(asked.thread))["next"] == ["pay"]
        assert (await dana.runs.wait(asked.thread, "payment", command={"resume": approve(asked.question)}))["receipt"] == "paid 500"
        empty = (await dana.threads.create())["thread_id"]
        await dana.threads.delete(empty)
        run = await runs.get(asked.thread)
        assert await verify(runs.owner.store, run.run_id) == []


async def test_cancelling_lets_go_and_no_more(desk: Desk) -> None:
    held, go = desk.root / "held.txt", desk.root / "go.txt"
    async with desk.client("dana") as dana, desk.runs() as runs:
        thread = (await dana.threads.create())["thread_id"]
        segment = await dana.runs.create(thread, "holding", input={})
        await until(held)
        assert "running" in await told(dana.runs.wait(thread, "holding", input={"item": "x"}))
        said = await told(dana.runs.cancel(thread, segment["run_id"], action="rollback"))
        assert "rolled back" in said
        await dana.runs.cancel(thread, segment["run_id"], wait=True)
        go.touch()
        run = await runs.get(thread)
        assert (await run.summary()).state == "running"
        assert (await dana.runs.wait(thread, "holding", input=None))["log"] == ["went on"]
        assert await verify(runs.owner.store, run.run_id) == []


async def test_a_chat_interface_streams_to_the_question_and_on(desk: Desk) -> None:
    async with desk.client("dana") as dana:
        thread = (await dana.threads.create())["thread_id"]
        parts = [part async for part in dana.runs.stream(thread, "payment", input={"amount": 700}, stream_mode=["values", "updates"])]
        assert "error" not in {part.event for part in parts}
        asked = [part.data["__interrupt__"][0] for part in parts if "__interrupt__" in part.data][-1]
        resume = approve(asked["id"], card_digest="0" * 64)
        assert "card" in await told(anext(aiter(dana.runs.stream(thread, "payment", command={"resume": resume}))))
        parts = [part async for part in dana.runs.stream(thread, "payment", command={"resume": approve(asked["id"])})]
        assert parts[-1].data["receipt"] == "paid 700"


@pytest.mark.parametrize("name", ["held"])
async def test_a_killed_server_leaves_nothing_behind(name: str, url: str, tmp_path: Path, desk: Desk) -> None:
    del desk  # only so that this is skipped where it is
    own = Desk.on(tmp_path, url)
    with own.serving():
        async with own.client("dana") as dana:
            thread = (await dana.threads.create())["thread_id"]
            await dana.runs.create(thread, "holding", input={})
            await until(tmp_path / f"{name}.txt")
            assert own.process is not None
            own.process.kill()
    (tmp_path / "go.txt").touch()
    with own.serving():
        async with own.client("kim") as kim, own.runs() as runs:
            await kim.threads.create(thread_id=thread, graph_id="holding", if_exists="do_nothing")
            assert (await kim.runs.wait(thread, "holding", input=None))["log"] == ["went on"]
            run = await runs.get(thread)
            assert (await run.summary()).state == "done"
            assert await verify(runs.owner.store, run.run_id) == []
