"""How often the triage names the pod that a fault was injected into, from metrics alone, beside a plain z-score.

    python -m evals.incident_causes [--json]

Each fault of a recording (`evals/nezha.py`) is an incident that begins at the minute of its injection; pod and type are used for
scoring only. AS@k: the share of faults whose pod is among the first k named; naming nobody (abstaining) counts as a miss, and is counted.

*Quiet minutes*, with which both methods compare, are found without labels: those of the recording in which no pod's processor or latency and no
call's way is beyond `LOUD` scales of the whole recording's median for two minutes running, nor was or will be within `MARGIN` minutes. An incident is compared with the
quiet ones of the hour before it; the first four, which have less than half an hour of them, with the `FEW` quiet ones that come soonest after it.

*The plain z-score* (`evals/plain_deviation.py`) is given the same windows and quiet minutes. The best of its variants, chosen by the labels, is
printed beside it. It looks at pods alone, as such scores do; most of what the triage gains on it comes from looking at call edges.

*Honesty.* The mechanisms in `nodes/incident/evidence.py` follow from how the metrics are made, and were written with this recording in view;
the threshold was chosen on the quiet afternoon (the least whole number at which under 2 % of quiet windows name a pod), not on the faults; `thresholds`
shows how little they hang on it. So these figures say what the triage can do there. What it can do elsewhere is said by the other recordings, where
they lie beside it; each is scored as the first, and named in the title of its table.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Column, Table

from evals.measuring import measured
from evals.nezha import Labelled, Recording, recordings
from evals.plain_deviation import VARIANTS, deviations, variants
from nodes.incident.evidence import Mechanism
from nodes.incident.examine import HISTORY, LEAD, WINDOW
from nodes.incident.group import Incident, grouped
from nodes.incident.observed import THRESHOLD, Observed
from nodes.incident.triage import Triage, triaged
from tools.cluster import Alert

LOUD: Final = 8.0
"""Scales from which a minute is not quiet."""

MARGIN: Final = 3
"""Minutes around one that is not quiet that are not either."""

FEW: Final = 30
"""With fewer quiet minutes than these before it, an incident is compared with later ones."""

MINUTE: Final = timedelta(minutes=1)
LASTS: Final = 6 * MINUTE
"""How long after an injection what begins is put down to it; injections lie seven minutes and more apart."""

SPAN: Final = WINDOW // MINUTE

MECHANISM: Final[dict[str, Mechanism]] = {"cpu_contention": "processor", "cpu_consumed": "processor", "network_delay": "network"}
"""How a fault works, of the types whose inner cause is a metric (`root_cause.json`); that of the others is a pair of log lines."""


@dataclass(frozen=True)
class Answer:
    """What one method named for one fault, the likeliest first, and whether it says that it is sure."""

    fault: Labelled
    named: tuple[str, ...]
    clear: bool = False
    mechanism: str = ""

    def at(self, place: int) -> bool:
        """Whether the pod is among the first so many named."""
        return self.fault.pod in self.named[:place]


@cache
def loud(day: Recording) -> dict[tuple[str, str], list[int]]:
    """The minutes in which a metric of a subject is loud, for two minutes running; see the head of this file."""
    minutes = range(day.telemetry.minutes)
    whole = Observed(day.telemetry, day.topology, range(0), minutes, LOUD)
    found: dict[tuple[str, str], list[int]] = {}
    for metric in ("cpu", "latency", "transit"):
        for subject in whole.subjects(metric):
            level, values = whole.usually(subject, metric), whole.at(subject, metric, minutes)
            beyond = [level is not None and value is not None and abs(level.shift(value)) >= LOUD for value in values]
            found[subject, metric] = [minute for minute in range(1, len(beyond)) if beyond[minute - 1] and beyond[minute]]
    return found


@cache
def quiet_minutes(day: Recording) -> tuple[int, ...]:
    """The minutes of a recording that are not loud, nor near a loud one."""
    heard = {minute for minutes in loud(day).values() for minute in minutes}
    return tuple(minute for minute in range(day.telemetry.minutes) if not heard & set(range(minute - MARGIN, minute + MARGIN + 1)))


def windows(day: Recording, first: int) -> tuple[range, list[int]]:
    """The window of an incident that begins in a minute, and the quiet minutes it is compared with."""
    window = range(max(first - LEAD // MINUTE, 0), max(first - LEAD // MINUTE, 0) + SPAN)
    quiet = quiet_minutes(day)
    before = [minute for minute in quiet if window.start - HISTORY // MINUTE <= minute < window.start]
    later = [minute for minute in quiet if minute >= window.stop]
    return window, before if len(before) >= FEW else later[: HISTORY // MINUTE]


def by_triage(day: Recording, first: int, threshold: float = THRESHOLD) -> Triage:
    """The workflow's own triage of an incident that begins in a minute."""
    window, quiet = windows(day, first)
    return triaged(Observed(day.telemetry, day.topology, window, quiet, threshold))


def answers(day: Recording, threshold: float = THRESHOLD) -> list[Answer]:
    """What the triage says of every fault."""
    found = []
    for fault in day.faults:
        told = by_triage(day, day.telemetry.at(fault.at), threshold)
        mechanism = told.suspects[0].mechanism if told.suspects else ""
        found.append(Answer(fault, tuple(suspect.pod for suspect in told.suspects), told.verdict == "clear", mechanism))
    return found


def plain_answers(day: Recording) -> list[Answer]:
    """What the plain z-score says of every fault."""
    return [Answer(fault, deviations(day.columns, *windows(day, day.telemetry.at(fault.at)))) for fault in day.faults]


def best_of_variants(day: Recording) -> dict[str, int]:
    """The best AS@1 and the best AS@3 that any variant of the plain z-score reaches."""
    told = [list(variants(day.columns, *windows(day, day.telemetry.at(fault.at)))) for fault in day.faults]
    hits = [
        [sum(fault.pod in named[place][:first] for fault, named in zip(day.faults, told, strict=True)) for first in (1, 3)]
        for place in range(len(VARIANTS))
    ]
    return {"variants": len(VARIANTS), "as1": max(one for one, _ in hits), "as3": max(three for _, three in hits)}


def derived_alerts(day: Recording) -> list[Alert]:
    """An alert for each time that something gets loud, on the pod, or on the caller where it is a call: recorded alerts there are none."""
    names = {"cpu": "ContainerHighCPUUtilization", "latency": "HighRequestLatency", "transit": "HighRequestLatency"}
    found = []
    for (subject, metric), minutes in loud(day).items():
        for minute in minutes:
            if minute - 1 not in minutes:
                at = day.telemetry.start + (minute - 1) * MINUTE
                found.append(Alert(name=names[metric], entity=subject.partition(">")[0], starts_at=at))
    return found


def end_to_end(day: Recording) -> dict[str, int]:
    """What becomes of the recording if nobody says when a fault began: alerts by threshold, grouped by the workflow's own code, triaged.

    An incident is a fault's if it begins within `LASTS` minutes of the injection.
    """
    incidents = grouped("nezha", derived_alerts(day), day.topology)
    told = {"alerts": sum(len(incident.alerts) for incident in incidents), "incidents": len(incidents)}
    seen: dict[Labelled, list[Incident]] = {}
    for incident in incidents:
        for fault in day.faults:
            if -MINUTE <= incident.began - fault.minute <= LASTS:
                seen.setdefault(fault, []).append(incident)
    right = 0
    for fault, begun in seen.items():
        named = by_triage(day, day.telemetry.at(min(incident.began for incident in begun))).suspects
        right += bool(named) and named[0].pod == fault.pod
    stray = [incident for incident in incidents if not any(incident in begun for begun in seen.values())]
    clear = sum(by_triage(day, day.telemetry.at(incident.began)).verdict == "clear" for incident in stray)
    return told | {"faults_seen": len(seen), "named_right": right, "of_no_fault": len(stray), "of_no_fault_clear": clear}


def quiet_afternoon(day: Recording, threshold: float = THRESHOLD) -> dict[str, int]:
    """What the triage says of windows in which nothing was injected and nothing is loud: every fifth quiet minute after the last fault."""
    quiet = quiet_minutes(day)
    last = max(day.telemetry.at(fault.at) for fault in day.faults)
    firsts = [minute for minute in quiet if minute > last + HISTORY // MINUTE and minute % SPAN == 0 and _whole(minute, quiet)]
    told = [by_triage(day, minute, threshold) for minute in firsts]
    return {
        "windows": len(told),
        "named": sum(bool(entry.suspects) for entry in told),
        "clear": sum(entry.verdict == "clear" for entry in told),
    }


def _whole(first: int, quiet: Sequence[int]) -> bool:
    return set(range(first - 1, first + SPAN - 1)) <= set(quiet)


def summary(day: Recording) -> dict[str, Any]:
    """Everything that is measured."""
    ours, plain = answers(day), plain_answers(day)
    kinds = sorted({fault.kind for fault in day.faults})
    return {
        "faults": len(day.faults),
        "triage": _scored(ours),
        "plain": _scored(plain),
        "plain_best": best_of_variants(day),
        "by_kind": {
            kind: {name: _scored([one for one in told if one.fault.kind == kind]) for name, told in (("triage", ours), ("plain", plain))}
            for kind in kinds
        },
        "clear": {"said": sum(one.clear for one in ours), "right": sum(one.clear and one.at(1) for one in ours)},
        "mechanism": {
            "asked": sum(one.fault.kind in MECHANISM for one in ours),
            "right": sum(one.at(1) and MECHANISM.get(one.fault.kind) == one.mechanism for one in ours),
        },
        "quiet_afternoon": quiet_afternoon(day),
        "thresholds": {
            str(threshold): _scored(answers(day, threshold)) | {"quiet_named": quiet_afternoon(day, threshold)["named"]}
            for threshold in (3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
        },
        "end_to_end": end_to_end(day),
        "answers": [
            {"at": one.fault.at.isoformat(), "kind": one.fault.kind, "pod": one.fault.pod, "named": list(one.named[:3]), "clear": one.clear}
            for one in ours
        ],
    }


def _scored(told: Sequence[Answer]) -> dict[str, Any]:
    counts = {"faults": len(told), "as1": sum(one.at(1) for one in told), "as3": sum(one.at(3) for one in told)}
    return counts | {"abstained": sum(not one.named for one in told)}


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns 0, or 1 if the data is missing."""
    about = "Scores the triage on Nezha's recordings."
    told = measured(
        "incident_causes",
        about,
        lambda data: {day.name: summary(day) for day in recordings(data / "incidents" / "nezha")},
        _pages,
        arguments,
    )
    return 1 if told is None else 0


def _pages(told: dict[str, Any]) -> None:
    for name, one in told.items():
        _print(name, one)


def _print(name: str, told: dict[str, Any]) -> None:
    methods = [f"{method}\n{what}" for method in ("triage", "plain") for what in ("AS@1", "AS@3", "silent")]
    table = Table(
        Column("fault", no_wrap=True), "faults", *methods, title=f"{name}: pods named by the triage and by a plain z-score", box=box.SIMPLE
    )
    for kind, row in [*told["by_kind"].items(), ("all", told)]:
        counts = [str(row[name][key]) for name in ("triage", "plain") for key in ("as1", "as3", "abstained")]
        table.add_row(kind, str(row["triage"]["faults"]), *counts)
    Console().print(table)
    many, quiet = told["faults"], told["quiet_afternoon"]
    ours, plain = told["triage"], told["plain"]
    print(
        f"AS@1 {ours['as1'] / many:.3f} against {plain['as1'] / many:.3f}, AS@3 {ours['as3'] / many:.3f} against {plain['as3'] / many:.3f}"
    )
    best = told["plain_best"]
    print(
        f"  the best of {best['variants']} variants of the z-score, chosen by the labels: {best['as1'] / many:.3f} and {best['as3'] / many:.3f}"
    )
    print(f"said to be clear: {told['clear']['said']}, of these right: {told['clear']['right']}; mechanism right: {told['mechanism']}")
    print(f"quiet windows: {quiet['windows']}, in {quiet['named']} a pod was named, in {quiet['clear']} clearly")
    for threshold, row in told["thresholds"].items():
        print(f"threshold {threshold}: AS@1 {row['as1']}, abstained {row['abstained']}, quiet windows that name a pod {row['quiet_named']}")
    print(f"without being told when: {told['end_to_end']}")


if __name__ == "__main__":
    sys.exit(main())
