"""The report: one static HTML file without an external request, for a screen, a phone, paper, light and dark.

Everything in it is data escaped by the template: what a model or a document said cannot become markup, nor turn a line round.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from jinja2 import DictLoader, Environment, StrictUndefined

from pointsman.evaluation.compare import Comparison
from pointsman.evaluation.gate import Gate
from pointsman.evaluation.report.figure import Curve, Forest, Scatter, curve, forest, scatter
from pointsman.evaluation.report.timeline import Timeline, timeline
from pointsman.evaluation.results import Results, told_apart
from pointsman.plain import plain

__all__ = ["Difference", "Report", "Timeline", "render", "sentence", "timeline"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One place where a replay did not do what its trace says."""

    run: str
    position: str
    kind: str
    """The class of the divergence."""
    diff: str
    """Readable, line by line; lines that begin with - are the trace's, with + the replay's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What a report tells. Parts without content are left out of it."""

    title: str
    made: str
    """When it was made, as text."""
    comparison: Comparison | None = None
    results: Sequence[Results] = ()
    """Versions to show; of a comparison both are shown anyway."""
    differences: Sequence[Difference] = ()
    replayed: tuple[int, int] | None = None
    """How many runs were replayed, and how many of them were identical."""
    timelines: Sequence[Timeline] = ()
    hourly: float = 0.0
    """US dollars an hour of a person's time costs, in the cost of a pass."""


def render(report: Report) -> str:
    """The report as the text of an HTML file."""
    folder = files("pointsman.evaluation.report")
    sources = {name: (folder / name).read_text(encoding="utf-8") for name in ("report.html", "figures.html", "style.css")}
    environment = Environment(
        loader=DictLoader(sources), autoescape=True, finalize=_shown, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"points": _points, "share": _share, "usd": _usd, "bounds": _bounds}
    compared = report.comparison
    versions = told_apart([compared.baseline, compared.candidate, *report.results] if compared else list(report.results))
    costs = [version.cost(hourly=report.hourly) for version in versions]
    return environment.get_template("report.html").render(
        report=report,
        compared=compared,
        sentence=sentence(compared) if compared else "",
        versions=list(zip(versions, costs, strict=True)),
        forest=_forest(compared) if compared else None,
        curve=_curve(versions),
        scatter=_scatter(versions, costs),
        paths=_paths(versions),
        spend=[_spend(version) for version in versions if version.trials],
    )


def _shown(value: Any) -> Any:
    return plain(value, lines=True) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _forest(compared: Comparison) -> Forest:
    rows: list[tuple[str, str, Gate]] = [("all tasks", "", compared.overall)]
    rows += [(name, "suite", one) for name, one in compared.suites.items()]
    rows += [(name, "node", one) for name, one in compared.nodes.items()]
    return forest(rows)


def _curve(versions: Sequence[Results]) -> Curve | None:
    return curve([(version.name, version.pass_hat()) for version in versions])


def _scatter(versions: Sequence[Results], costs: Sequence[Any]) -> Scatter | None:
    known = [(version, cost) for version, cost in zip(versions, costs, strict=True) if cost is not None]
    return scatter({version.name: (cost, version.mean().estimate) for version, cost in known})


def _paths(versions: Sequence[Results]) -> list[dict[str, Any]]:
    shown = []
    for version in versions:
        paths = version.paths()
        if any(trial.path for trial in version.trials):
            most = max(paths.values())
            counts = [(number, sum(1 for value in paths.values() if value == number)) for number in range(1, most + 1)]
            shown.append({"name": version.name, "mean": sum(paths.values()) / len(paths), "counts": counts, "tasks": len(paths)})
    return shown


def _spend(version: Results) -> dict[str, Any]:
    usd = sorted(trial.usd for trial in version.trials if trial.usd is not None)
    return {
        "name": version.name,
        "usd": usd,
        "p95": usd[math.ceil(0.95 * len(usd)) - 1] if usd else math.nan,
        "estimated": any(trial.estimated for trial in version.trials),
        "approvals": sum(trial.approvals for trial in version.trials),
        "minutes": sum(trial.minutes for trial in version.trials),
        "runs": len(version.trials),
    }


def sentence(compared: Comparison) -> str:
    """What a comparison came to, in a sentence or two."""
    overall, margin = compared.overall, _points(compared.overall.margin).lstrip("+")
    more = f"worse by more than {margin} points"
    if overall.verdict == "INCONCLUSIVE":
        needed = f"; about {overall.needed} independent tasks would tell" if overall.needed else ""
        said = f"whether that is {more} is not known{needed}"
    else:
        said = f"that is {'not ' if overall.verdict == 'PASS' else ''}{more}"
    failing = [name for name, one in (*compared.suites.items(), *compared.nodes.items()) if one.verdict == "FAIL"]
    alone = f" By itself {', '.join(failing)} is {more}." if failing and overall.verdict != "FAIL" else ""
    both = f"{compared.candidate.name} differs from {compared.baseline.name}"
    return f"{both} by {_points(overall.difference.estimate)} points [{_bounds(overall.difference)}] over {overall.pairs} tasks: {said}.{alone}"


def _points(value: float) -> str:
    return f"{100 * value:+.1f}".replace("-", "−")


def _bounds(interval: Any) -> str:
    return f"{_points(interval.low)}, {_points(interval.high)}"


def _share(value: float) -> str:
    return f"{100 * value:.1f} %"


def _usd(value: float) -> str:
    if not math.isfinite(value):
        return "–"
    return f"${value:.3f}" if value < 10 else f"${value:,.2f}"
