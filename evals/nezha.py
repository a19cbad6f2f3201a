"""Nezha's recordings as this project reads them, each the metrics of one system on one day: telemetry and topology in, labelled faults beside.

`DAY` is the one that the triage was written with. Any other that lies beside it is read as well: the set has a second day of OnlineBoutique and
two of TrainTicket (`rca_data/`), the latter without calls, so without a service graph.

Joined on the `Time` column (the `TimeStamp` of one pod is wrong throughout), faults by `inject_time`. Empty and NaN cells are minutes that were
not measured. Of `dependency`, addresses of nodes are left out. Source: Yu et al., Nezha, FSE 2023 (IntelligentDDS/Nezha, MIT).
"""

from __future__ import annotations

import csv
import gzip
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tools.cluster import Metric, Pod, Series, Telemetry, Topology

DAY: Final = "onlineboutique-2022-08-22"
"""The recording that everybody has looked at."""

COLUMNS: Final[dict[Metric, str]] = {
    "cpu": "CpuUsageRate(%)",
    "memory": "MemoryUsageRate(%)",
    "latency": "PodServerLatencyP90(s)",
    "workload": "PodWorkload(Ops)",
    "reads": "SyscallRead",
    "writes": "SyscallWrite",
}
"""Which column each metric of a pod is. The success rate of pods is 0 throughout, so there are no errors."""


@dataclass(frozen=True)
class Labelled:
    """A fault that was injected: when, into which pod, and of which type."""

    at: datetime
    pod: str
    kind: str

    @property
    def minute(self) -> datetime:
        """The minute in which it began."""
        return self.at.replace(second=0)


@dataclass(frozen=True, eq=False)
class Recording:
    """One day: what was measured, every number column of every pod besides, and what is true."""

    name: str
    """Of its folder: system and date."""
    telemetry: Telemetry
    topology: Topology
    columns: dict[str, dict[str, tuple[float | None, ...]]]
    """Pod to column to values: for the plain baseline, which looks at everything."""
    faults: tuple[Labelled, ...]


def recordings(folder: Path) -> list[Recording]:
    """`DAY`, and every other recording under `incidents/nezha`. Raises `FileNotFoundError` where `DAY` is missing."""
    more = sorted({path.parents[1].name for path in folder.glob("*/faulty/*_metric.csv.gz")} - {DAY})
    return [recording(folder, name) for name in (DAY, *more)]


def recording(folder: Path, name: str = DAY) -> Recording:
    """One recording under `incidents/nezha`. Raises `FileNotFoundError` where it is missing."""
    files = sorted((folder / name / "faulty").glob("*_metric.csv.gz"))
    if not files:
        raise FileNotFoundError(f"there are no metrics in {folder / name / 'faulty'}")
    pods = {path.name.removesuffix("_metric.csv.gz"): _rows(path) for path in files}
    start = min(_instant(rows[0]["Time"]) for rows in pods.values()).replace(second=0)
    columns = {name: _columns(rows) for name, rows in pods.items()}
    series = [Series(subject=name, metric=metric, values=columns[name][column]) for name in pods for metric, column in COLUMNS.items()]
    series += _edges(folder / name / "faulty" / "source_50.csv.gz", "caller_latency")
    series += _edges(folder / name / "faulty" / "destination_50.csv.gz", "callee_latency")
    return Recording(
        name,
        Telemetry(start=start, series=tuple(series)),
        _topology(folder / name, list(pods)),
        columns,
        tuple(_faults(folder / name / "fault_list.json")),
    )


def _rows(path: Path) -> list[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def _calls(path: Path) -> list[dict[str, str]]:
    return _rows(path) if path.exists() else []


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text[:19]).replace(tzinfo=UTC)


def _number(text: str) -> float | None:
    value = float(text) if text else math.nan
    return None if math.isnan(value) else value


def _columns(rows: list[dict[str, str]]) -> dict[str, tuple[float | None, ...]]:
    names = [name for name in rows[0] if name not in ("Time", "TimeStamp", "PodName")]
    return {name: tuple(_number(row[name]) for row in rows) for name in names}


def _edges(path: Path, metric: Metric) -> list[Series]:
    rows = _calls(path)
    names = [name for name in rows[0] if name not in ("time", "timestamp")] if rows else []
    return [Series(subject=name.replace("_", ">"), metric=metric, values=tuple(_number(row[name]) for row in rows)) for name in names]


def _topology(folder: Path, pods: list[str]) -> Topology:
    served = {name: name.rsplit("-", 2)[0] for name in pods}
    calls = ((row["Source"], row["Target"]) for row in _calls(folder / "faulty" / "dependency.csv.gz"))
    known = set(served.values())
    return Topology(
        calls=tuple((caller, callee) for caller, callee in calls if caller in known and callee in known),
        pods=tuple(Pod(name=name, service=service) for name, service in served.items()),
    )


def _faults(path: Path) -> Iterator[Labelled]:
    for hour in json.loads(path.read_text(encoding="utf-8")).values():
        for entry in hour:
            yield Labelled(_instant(entry["inject_time"]), entry["inject_pod"], entry["inject_type"])
