"""The commands that settle what waits for a person: `approve`, `reject`, `edit`, `answer`. An ID is a question's, or that of a call nobody knows the outcome of."""

# ruff: noqa: PLC0415 - a command imports what it needs when it is called, so that `--help` does not load LangGraph (four CPU-seconds)
from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from pointsman.cli.desk import DONE, FINDING, As, Desk, Graph, Json, perform
from pointsman.errors import BadInput, Conflict, NotFound

if TYPE_CHECKING:
    from pointsman.principal import Person
    from pointsman.runs import Item, Run, Runs

AskId = Annotated[str, typer.Argument(metavar="ID", help="The question's id, or its beginning; see `pointsman inbox`.")]
Note = Annotated[str, typer.Option("--note", help="Why; goes on the record.")]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="FIELD=JSON",
        help="What the card shows, but for this field of it: --set invoice.total=118.00. What is no JSON is taken as text.",
    ),
]
Given = Annotated[
    str | None,
    typer.Option("--value", metavar="JSON|FILE", help="What is given: JSON, a file of it, or - for stdin. Without it a form is shown."),
]

_OPEN = "nothing was decided, the question is still open"


def approve(approval: AskId, note: Note = "", by: As = None, graph: Graph = None, json: Json = False) -> None:
    """Let the call on the card happen, and go on.

    Exactly that call: with other arguments it is asked about again. Where several people must say yes, this is one of them. Exit code
    1 where the run parks after it.
    """

    async def said(runs: Runs, item: Item, person: Person, _: Desk) -> None:
        await runs.approve(item, by=person.name, note=note, known_by=person.known_by)

    _settle(approval, "approve", said, by=by, graph=graph, json=json)


def reject(approval: AskId, note: Note = "", by: As = None, graph: Graph = None, json: Json = False) -> None:
    """Refuse the call on the card, or to answer a question, and go on.

    Exit code 1 where the run parks after it.
    """

    async def said(runs: Runs, item: Item, person: Person, _: Desk) -> None:
        await runs.reject(item, by=person.name, note=note, known_by=person.known_by)

    _settle(approval, "reject", said, by=by, graph=graph, json=json)


def edit(
    approval: AskId, *, value: Given = None, set_: Set = None, note: Note = "", by: As = None, graph: Graph = None, json: Json = False
) -> None:
    """Change the arguments of the call on the card, and go on.

    What comes of it is a new call: the policy judges it anew, and may ask about it on a card of its own. Arguments that --value or --set
    does not name stay as they are. Exit code 1 where the run parks after it.
    """

    async def said(runs: Runs, item: Item, person: Person, desk: Desk) -> None:
        from pointsman import canonical

        async def give(arguments: Any) -> None:
            if not isinstance(arguments, dict):
                raise BadInput("the arguments are no JSON object", undone=_OPEN, remedy="give them by name: --value '{\"amount\": 450}'")
            await runs.edit(item, arguments, by=person.name, note=note, known_by=person.known_by)

        if item.kind == "question":
            raise Conflict("it asks for a value and is about no call", undone=_OPEN, remedy=f"`pointsman answer {item.approval_id[:8]}`")
        present = {name: canonical.decode(tree) for name, tree in item.card["arguments"].items()}
        if set_ and value is None:
            from pointsman.fitting import form

            await give(_changed(form(runs.graph(item.graph), item.node, item.tool, item.card), item.card["arguments"], set_))
        elif set_:
            raise BadInput(
                "say --value or --set, one of them", undone=_OPEN, remedy="--set changes what is on the card, --value gives arguments whole"
            )
        else:
            await _given(desk, runs, item, value, present, give)

    _settle(approval, "edit", said, by=by, graph=graph, json=json)


def answer(
    question: Annotated[str, typer.Argument(metavar="ID", help="A question's id, or that of a call of unknown outcome, or its beginning.")],
    *,
    value: Given = None,
    set_: Set = None,
    note: Note = "",
    happened: Annotated[
        bool | None, typer.Option("--happened/--did-not-happen", help="Of an unknown call: what you found out at the outside system.")
    ] = None,
    result: Annotated[str | None, typer.Option("--result", metavar="JSON", help="What that call answered, where it happened.")] = None,
    run: Annotated[str | None, typer.Option("--run", metavar="RUN", help="Its run, where several parked runs have such a call.")] = None,
    by: As = None,
    graph: Graph = None,
    json: Json = False,
) -> None:
    """Answer a question, or say whether an unknown effect happened, and go on.

    A question takes a value of its type: in a form, with --value, or with --set. An unknown effect takes --happened or --did-not-happen.
    """
    if happened is None and result is None and not (value and set_):
        _settle(question, "answer", _answered(value, set_ or [], note), by=by, graph=graph, json=json)
    if happened is None or value is not None or set_ or (result is not None and not happened):
        _wrong_use(json)
    _reconcile(question, run, by, graph, json, happened=bool(happened), result=result)


def _answered(value: str | None, changes: list[str], note: str) -> Callable[[Runs, Item, Person, Desk], Awaitable[None]]:
    async def said(runs: Runs, item: Item, person: Person, desk: Desk) -> None:
        from pointsman import canonical

        async def give(answer: Any) -> None:
            await runs.answer(item, answer, by=person.name, note=note, known_by=person.known_by)

        if item.kind != "question":
            short = item.approval_id[:8]
            raise Conflict("it asks about a call", undone=_OPEN, remedy=f"`pointsman approve {short}`, or reject it, or edit it")
        present = canonical.decode(item.card.get("present"))
        if changes:
            if not isinstance(present, dict):
                raise BadInput(
                    "the card shows no value with fields that could be changed", undone=_OPEN, remedy="give the whole value with --value"
                )
            await give(present | _changed(canonical.decode(item.card["schema"]), item.card["present"], changes))
        else:
            await _given(desk, runs, item, value, present, give)

    return said


def _changed(schema: Any, shown: dict[str, Any], changes: list[str]) -> dict[str, Any]:
    """The changed ones of the values that the card shows, encoded there, by name."""
    from pointsman.cli.form import is_text
    from pointsman.cli.given import a_patch

    patch = a_patch(changes, shown, lambda path: is_text(schema, path))
    if unknown := patch.keys() - shown.keys():
        raise BadInput(f"the card shows no {', '.join(sorted(unknown))}", undone=_OPEN, remedy=f"it shows: {', '.join(shown)}")
    return patch


def _wrong_use(json: bool) -> None:
    async def command(_: Desk) -> int:
        raise BadInput(
            "say --happened (with --result JSON where it answered something) or --did-not-happen; --value or --set, one of them, answers a question",
            undone="nothing was changed",
        )

    perform(command, json)


def _settle(
    approval: str,
    verb: str,
    said: Callable[[Runs, Item, Person, Desk], Awaitable[None]],
    *,
    by: str | None,
    graph: str | None,
    json: bool,
) -> None:
    async def command(desk: Desk) -> int:
        from pointsman.cli.standing import finish, ready
        from pointsman.runs import Runs

        async with Runs.open() as runs:
            person = runs.project.roles.acting(by)
            item = await _item(runs, approval) or await _closed(runs, approval, verb, person)
            run = await runs.get(item.run_id)
            await ready(runs, run, graph)
            await said(runs, item, person, desk)
            await finish(desk, runs, run)
            return FINDING if (await run.summary()).state == "parked" else DONE

    perform(command, json)


async def _item(runs: Runs, beginning: str) -> Item | None:
    """The one open question whose id begins so; None where there is none. Raises `NotFound` where there are more."""
    found = [item for item in await runs.inbox() if item.approval_id.startswith(beginning)]
    if len(found) > 1:
        raise NotFound(
            f"more than one open question has an id that begins with {beginning!r}", undone="nothing was decided", remedy="type more of it"
        )
    return found[0] if found else None


async def _closed(runs: Runs, beginning: str, verb: str, person: Person) -> NoReturn:
    """Say to a question that is not open any more what somebody wants to say: it is refused, on record, with what became of it. Raises `Conflict`, `NotFound`."""
    from pointsman.runs import Item

    found = await runs.owner.store.fetch("closed_approvals", beginning) if beginning else ()
    if len(found) == 1:
        names = ("approval_id", "run_id", "graph", "node", "tool", "role", "card_digest", "expires_at")
        item = Item(card={}, **{name: found[0][name] for name in names})
        given: tuple[Any, ...] = {"edit": ({},), "answer": (None,)}.get(verb, ())
        await getattr(runs, verb)(item, *given, by=person.name, known_by=person.known_by)
    doubt = next((doubt for doubt in await runs.in_doubt() if beginning and doubt.call.startswith(beginning)), None)
    if doubt is not None:
        what = f"{beginning!r} is a call of {doubt.tool}, of which nobody knows whether it happened"
        raise NotFound(what, undone="nothing was decided", remedy=f"`pointsman answer {beginning} --happened`, or `--did-not-happen`")
    raise NotFound(
        f"no open question has an id that begins with {beginning!r}",
        undone="nothing was decided",
        remedy="see `pointsman inbox`; what was settled, or has expired, is not in it",
    )


async def _given(desk: Desk, runs: Runs, item: Item, text: str | None, present: Any, give: Callable[[Any], Awaitable[None]]) -> None:
    """Give what `--value` says, or what is typed into a form, again until it fits."""
    from pointsman.cli.given import a_value

    if text is not None:
        return await give(a_value(text))
    if desk.json or not sys.stdin.isatty():
        raise BadInput("nobody is here to fill in a form", undone=_OPEN, remedy="give --value JSON|FILE")
    return await _form(desk, runs, item, present, give)


async def _form(desk: Desk, runs: Runs, item: Item, present: Any, give: Callable[[Any], Awaitable[None]]) -> None:
    from pydantic import ValidationError
    from rich.text import Text

    from pointsman.cli.card import card
    from pointsman.cli.form import HOW, fill, typed_line
    from pointsman.cli.listing import as_ask
    from pointsman.fitting import form
    from pointsman.plain import plain

    schema = form(runs.graph(item.graph), item.node, item.tool, item.card)
    desk.left = f"Nothing was decided: `pointsman show {item.run_id[:8]}`."
    desk.out.print(card(as_ask(item), item.run_id[:8]), Text(f"\n{HOW}", "dim"), sep="\n")
    name = str(item.card.get("writes") or item.tool)
    wrong: list[tuple[Any, ...]] | None = None
    while True:
        present = fill(schema, present, name, typed_line, wrong)
        try:
            return await give(present)
        except BadInput as error:
            desk.err.print(Text(plain(error.what.replace("; ", "\n  "), lines=True), "red"))
            cause = error.__cause__
            wrong = [fault["loc"] for fault in cause.errors(include_url=False)] if isinstance(cause, ValidationError) else None


def _reconcile(call: str, run: str | None, by: str | None, graph: str | None, json: bool, *, happened: bool, result: str | None) -> None:
    async def command(desk: Desk) -> int:
        from pointsman.cli.given import a_result
        from pointsman.cli.standing import finish, ready
        from pointsman.runs import Runs

        async with Runs.open() as runs:
            found = await (runs.get(run) if run else _run_of(runs, call))
            person = runs.project.roles.acting(by)
            await ready(runs, found, graph)
            await runs.reconcile(found, call, happened=happened, result=a_result(result), by=person.name)
            return await finish(desk, runs, found)

    perform(command, json)


async def _run_of(runs: Runs, call: str) -> Run:
    """The parked run that waits for word of this call. Raises `NotFound`."""
    found = {doubt.run_id for doubt in await runs.in_doubt() if doubt.call.startswith(call)}
    if len(found) != 1:
        raise NotFound(
            f"{'no parked run waits' if not found else 'more than one parked run waits'} for word of a call {call!r}",
            undone="nothing was changed",
            remedy="see `pointsman inbox`, or say --run RUN",
        )
    return await runs.get(found.pop())
