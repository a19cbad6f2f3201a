"""How well alerts alone are put together and traced back, on ITBench's scenarios; and what the workflow's four actions can and cannot mend.

    python -m evals.incident_groups [--json]

*Grouping*: each scenario is one incident, delivered with the alerts of another application mixed in. Recall: the share of a scenario's alerts that
are in its largest group; foreign: alerts of the other application in any group of it. Scenarios carry no times, so grouping by time is not measured.

*Root*: of the services that `suspects` names, is the first (or one of the first three) the service at which the fault enters? That is the service of
the entity marked as root cause or of what aliases make equal to it; where that is no service (a flag, a chaos experiment, a quota), the nearest
service on the truth's propagation path. `marked` counts those that are named by the mark itself. In `unseen` scenarios no alert is on that
service. Beside it: the service with the most alerts. The rules of `suspects` were written with these scenarios in view.

*Mending*: without telemetry the workflow has no mechanism and proposes nothing, so there are no proposals to score here. What is counted is
the parts of the solutions for which one alternative consists of nothing but the workflow's actions: the ceiling of any proposal it could make.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from evals.itbench import NOON, TOPOLOGY, Scenario, is_of, scenarios
from evals.measuring import measured
from nodes.incident.entity import service_of, services
from nodes.incident.group import grouped
from nodes.incident.suspects import suspects
from tools.cluster import Action, Alert

OTHERS: Final = tuple(
    Alert(name=name, entity=entity, starts_at=NOON)
    for name, entity in (("HighRequestErrorRate", "productpage-service"), ("NoRequestsReceived", "ratings-service"))
)
"""Alerts of BookInfo, for the scenarios of the other demo."""

ACTIONS: Final[dict[Action, str]] = {
    "rollback": r"rollout undo|revert the last change|roll ?back",
    "restart": r"rollout restart|delete pod|restart all|restart the",
    "scale": r"\bscale\b",
    "reschedule": r"\buncordon|\bdrain\b",
}
"""By which words a step of the truth is one of the workflow's actions."""


def entry(scenario: Scenario) -> set[str]:
    """The services at which a scenario's fault enters, by its truth; empty where its path meets none."""
    seen, edge = set(scenario.roots), set(scenario.roots)
    while edge:
        if found := {service for service in services(TOPOLOGY) for entity in edge if is_of(service, entity, scenario)}:
            return found
        edge = {target for source, target in scenario.edges if source in edge} - seen
        seen |= edge
    return set()


def grouping(given: Sequence[Scenario]) -> dict[str, Any]:
    """How many alerts lie in the largest group of their scenario, and how many of another application among them."""
    alerts = together = whole = foreign = 0
    for scenario in given:
        theirs = set() if any("productpage" in alert.entity for alert in scenario.alerts) else {alert.fingerprint for alert in OTHERS}
        groups = grouped(scenario.name, [*scenario.alerts, *(OTHERS if theirs else ())], TOPOLOGY)
        mine = [[alert for alert in group.alerts if alert.fingerprint not in theirs] for group in groups]
        largest = max(range(len(groups)), key=lambda place: len(mine[place]))
        alerts += sum(map(len, mine))
        together += len(mine[largest])
        whole += len(mine[largest]) == sum(map(len, mine))
        foreign += len(groups[largest].alerts) - len(mine[largest])
    return {"alerts": alerts, "in_largest_group": together, "scenarios_whole": whole, "foreign": foreign}


def roots(given: Sequence[Scenario]) -> dict[str, Any]:
    """How often the service at which the fault enters is named, beside the service with the most alerts."""
    told: Counter[str] = Counter()
    for scenario in given:
        true = entry(scenario)
        on = [service for alert in scenario.alerts if (service := service_of(alert.entity, TOPOLOGY))]
        named = suspects(scenario.alerts, TOPOLOGY)
        most = [service for service, _ in Counter(on).most_common()]
        told["first"] += bool(true & set(named[:1]))
        told["first_three"] += bool(true & set(named[:3]))
        told["most_alerts_first"] += bool(true & set(most[:1]))
        told["most_alerts_first_three"] += bool(true & set(most[:3]))
        told["marked"] += any(is_of(service, root, scenario) for service in named[:1] for root in scenario.roots)
        told["unseen"] += not true & set(on)
    return dict(told)


def mending(given: Sequence[Scenario]) -> dict[str, int]:
    """For how many parts of the solutions one alternative consists of the workflow's actions alone."""
    parts = [part for scenario in given for part in scenario.solutions]
    return {"parts": len(parts), "within_reach": sum(any(all(map(_action, way)) for way in part) for part in parts)}


def _action(step: str) -> bool:
    return any(re.search(words, step, re.IGNORECASE) for words in ACTIONS.values())


def summary(given: Sequence[Scenario]) -> dict[str, Any]:
    """Everything that is measured."""
    return {"scenarios": len(given), "grouping": grouping(given), "roots": roots(given), "mending": mending(given)}


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns 0, or 1 if the data is missing."""
    about = "Scores grouping and root services on ITBench."
    told = measured("incident_groups", about, lambda data: summary(scenarios(data / "incidents" / "itbench")), _print, arguments)
    return 1 if told is None else 0


def _print(told: dict[str, Any]) -> None:
    many, heap, root = told["scenarios"], told["grouping"], told["roots"]
    print(f"grouping: {heap['in_largest_group']} of {heap['alerts']} alerts in the largest group of their scenario,")
    print(f"  {heap['scenarios_whole']} of {many} scenarios whole, {heap['foreign']} alerts of another application among them")
    print(f"root service: first {root['first']} of {many} (most alerts: {root['most_alerts_first']}),")
    print(f"  among three {root['first_three']} (most alerts: {root['most_alerts_first_three']}); on it no alert: {root['unseen']}")
    print(f"  by the mark itself {root['marked']}: what is marked is mostly a flag, a quota or an experiment, which no alert names")
    print(f"mending: {told['mending']['within_reach']} of {told['mending']['parts']} parts are within reach of the four actions")


if __name__ == "__main__":
    sys.exit(main())
