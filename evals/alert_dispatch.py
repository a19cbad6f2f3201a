"""Whether every alert of a public catalogue goes somewhere: a queue, and minutes within which somebody has to look.

    python -m evals.alert_dispatch [--json]

The catalogue is awesome-prometheus-alerts (Samuel Berthe and contributors, CC BY 4.0): 1,155 rules. The table was written over it, so its coverage
says that it is complete, not that it is right; `split` counts the services whose rules it sends to more than one queue, which would be a mistake.
"""

from __future__ import annotations

import gzip
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from evals.measuring import measured
from nodes.incident.dispatch import MINUTES, dispatch


def rules(path: Path) -> Iterator[tuple[str, str, str]]:
    """Service, name and severity of every rule. Raises `FileNotFoundError`."""
    with gzip.open(path, "rt", encoding="utf-8") as text:
        told = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - safe, and in C where there is one
    for group in told["groups"]:
        for service in group["services"]:
            for exporter in service["exporters"]:
                for rule in exporter.get("rules") or ():
                    yield service["name"], rule["name"], rule["severity"]


def summary(path: Path) -> dict[str, Any]:
    """How many rules there are, how many go to a queue, and to which."""
    known = [(service, name, severity, dispatch(name, severity)) for service, name, severity in rules(path)]
    queues: dict[str, set[str]] = {}
    for service, _, _, sent in known:
        queues.setdefault(service, set()).add(sent.queue)
    return {
        "rules": len(known),
        "with_queue": sum(sent.known for *_, sent in known),
        "with_severity_rule": sum(severity in MINUTES for _, _, severity, _ in known),
        "split": sum(len(names) > 1 for names in queues.values()),
        "queues": dict(Counter(sent.queue for *_, sent in known).most_common()),
    }


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns 0, or 1 if the data is missing or a rule goes nowhere."""
    about = "Sends a catalogue of alerts to their queues."
    told = measured("alert_dispatch", about, lambda data: summary(data / "alerts" / "rules.yml.gz"), _print, arguments)
    return 0 if told is not None and told["with_queue"] == told["with_severity_rule"] == told["rules"] else 1


def _print(told: dict[str, Any]) -> None:
    print(
        f"{told['with_queue']} of {told['rules']} rules have a queue, {told['with_severity_rule']} a severity rule; split services: {told['split']}"
    )
    print(", ".join(f"{queue} {many}" for queue, many in told["queues"].items()))


if __name__ == "__main__":
    sys.exit(main())
