"""What can be typed next, for each state a run can be in: real ids and node names, ready to be copied."""

from __future__ import annotations

import shlex

from pointsman.cli.story import Ask, Next, Story, Value
from pointsman.plain import plain

_LOADING = ("approve", "reject", "edit", "answer", "resume", "rerun", "compensate")
"""Commands that load the run's graph."""

_NAMED = 16
"""How many settable fields are named."""


def commands(story: Story) -> list[Next]:
    """The next commands for a run, the likeliest first."""
    ways = {
        "waiting": _waiting,
        "parked": _parked,
        "failed": _failed,
        "done": _done,
        "cancelled": _undoing,
        "paused": _going,
        "accepted": _going,
        "running": _going,
    }.get(story.state)
    return ways(story) if ways else []


def placed(steps: list[Next], place: str | None) -> list[Next]:
    """The same commands for a run whose graph `langgraph.json` does not name: those that load it say where it is."""
    if place is None:
        return steps
    return [
        Next(f"{step.command} --graph {shlex.quote(place)}", step.why) if step.command.split()[1] in _LOADING else step for step in steps
    ]


def _waiting(story: Story) -> list[Next]:
    if not story.questions:
        return [*_answers(story), Next(f"pointsman resume {story.short}", "go on: every question has its answer")]
    ask = story.questions[0]
    who = f"; needs the role {ask.role}" if ask.role else ""
    return decisions(ask, "this", who)


def decisions(ask: Ask, which: str, who: str = "") -> list[Next]:
    """What can be said to a question: of a call, or for a value."""
    short = ask.approval[:8]
    if ask.kind == "question":
        fields = isinstance(ask.card, dict) and isinstance(ask.card.get("present"), dict)
        given = "--set FIELD=JSON, or --value JSON|FILE" if fields else "--value JSON|FILE"
        return [
            Next(f"pointsman answer {short}", f"answer {which} in a form, or with {given}{who}"),
            Next(f"pointsman reject {short} --note TEXT", "leave it unanswered; the run goes on by its exit `rejected`"),
        ]
    return [
        Next(f"pointsman approve {short} --note TEXT", f"let exactly {which} happen{who}"),
        Next(f"pointsman reject {short} --note TEXT", "refuse it: it is not made, its node is told so, and the run goes on"),
        Next(f"pointsman edit {short}", "change its arguments in a form, or with --set FIELD=JSON; that is a new call, judged anew"),
    ]


def _parked(story: Story) -> list[Next]:
    failure = story.failure
    answers = _answers(story)
    resume = Next(f"pointsman resume {story.short}", "try again as it is: what is done is not repeated")
    cancel = Next(f"pointsman cancel {story.short}", "give the run up")
    if failure is not None and failure.retryable:
        return [resume, *answers, cancel]  # an effect that is safe to send again needs no answer; one whose probe says nothing can have one
    if answers:
        return [*answers, cancel]
    repair = [_rerun(story, failure.position, failure.node)] if failure is not None and failure.node else []
    return [*repair, resume, cancel]


def _answers(story: Story, again: str = "; it is made again") -> list[Next]:
    return [next for call in story.unknown for next in told(call.call, call.target, again)]


def told(call: str, target: str, again: str = "; it is made again") -> list[Next]:
    """What can be said of an effect that nobody knows the outcome of."""
    where = f"pointsman answer {call[:8]}"
    return [
        Next(f"{where} --happened --result JSON", f"{plain(target)} did happen, and this is what it answered"),
        Next(f"{where} --did-not-happen", f"{plain(target)} did not happen{again}"),
    ]


def _failed(story: Story) -> list[Next]:
    ends = [step for step in story.steps if set(step.to) & {"failed", "quarantined"}]
    again = [_rerun(story, ends[-1].position, ends[-1].node)] if ends and not story.undone else []
    return [*again, *_undoing(story)]


def _done(story: Story) -> list[Next]:
    return [Next(f"pointsman show {story.short} --verify", "prove that the record is whole"), *_undoing(story)]


def _undoing(story: Story) -> list[Next]:
    """How what an ended run did is undone: the run that does so, or how it is begun, once it is known what there is to undo."""
    if story.undone:
        return [Next(f"pointsman show {story.undone[:8]}", "see how far it is undone")]
    if story.unknown:
        return [Next(f"{step.command} --run {story.short}", step.why) for step in _answers(story, again="")]
    done = [call.target for step in story.steps for call in step.calls if call.undone_by and call.outcome == "done" and not call.given]
    names = ", ".join(map(plain, dict.fromkeys(reversed(done))))
    return [Next(f"pointsman compensate {story.short}", f"undo what it did, the last first: {names}")] if done else []


def _going(story: Story) -> list[Next]:
    return [Next(f"pointsman resume {story.short}", "go on with it, if the process that had it is gone")]


def _settable(value: Value) -> list[str]:
    """What `--set` can name of a value: its parts, or the field itself; not a file that the run was given."""
    if isinstance(value.tree, dict) and not any(name.startswith("$") for name in value.tree):
        return [] if value.tree.keys() == {"name", "sha256", "size"} else [f"{value.name}.{name}" for name in value.tree]
    return [value.name]


def _rerun(story: Story, position: str, node: str) -> Next:
    """A repair of one node. By its name where that means this step, else by its position."""
    newest = [step for step in story.steps if step.node == node]
    target = node if newest and newest[-1].position == position else position
    fields = [name for step in newest[-1:] for value in step.inputs for name in _settable(value)]
    more = ", …" if len(fields) > _NAMED else ""
    shown = f" (fields: {', '.join(map(plain, fields[:_NAMED]))}{more})" if fields else ""
    return Next(
        f"pointsman rerun {story.short} --node {shlex.quote(plain(target))} --set FIELD=JSON", f"mend its input and go on from there{shown}"
    )
