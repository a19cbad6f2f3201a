"""The clusters as a process of their own: `python -m tools.cluster.service --dir DIR --worlds WORLDS [--port 0] [--idle SECONDS]`.

    GET  /C/topology, /C/telemetry?since&until, /C/series?subject&metric, /C/changes, /C/preview?action&target    of the cluster C
    GET  /C/firing?fingerprints&wait    which of these alerts fire: at once when none does, else after `wait` seconds
    POST /remedies, POST /incidents     JSON, with `Idempotency-Key`; the same key and body get the stored answer, another body 422
    GET  /counts                        {key: {"requests": n, "applied": 0 or 1}}
    GET  /remedies                      every remedy that was applied
    GET  /health                        {"ok": true}

It keeps its data in `DIR/cluster.sqlite3`; how it is served: `tools/serving.py`. WORLDS is a folder with a `World` as JSON in each file.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter

from tools.cluster.alert import Changes, Firing
from tools.cluster.desk import Desk
from tools.cluster.remedy import Opening, Preview, Remedy
from tools.cluster.telemetry import Series
from tools.cluster.world import World
from tools.serving import Rejected, nothing_at, options, serve

LONGEST_WAIT: Final = 5.0
"""Seconds for which a question is held back at most."""

_INSTANT: Final = TypeAdapter(datetime)


class Clusters:
    """What is served of one `Desk`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @classmethod
    def kept(cls, folder: Path, worlds: Path) -> Clusters:
        """What is kept in a folder of the worlds in another."""
        found = [World.model_validate_json(path.read_bytes()) for path in sorted(worlds.glob("*.json"))]
        return cls(Desk(folder / "cluster.sqlite3", {world.name: world for world in found}))

    def told(self, path: str, asked: Mapping[str, str]) -> Any:
        """What is known of a cluster."""
        if path == "/counts":
            return self._desk.counts()
        if path == "/remedies":
            return self._desk.remedies()
        _, _, rest = path.partition("/")
        cluster, _, what = rest.partition("/")
        answers = {
            "topology": self._topology,
            "telemetry": self._telemetry,
            "series": self._series,
            "changes": self._changes,
            "preview": self._preview,
            "firing": self._firing,
        }
        if what not in answers:
            raise nothing_at(path)
        try:
            return answers[what](cluster, asked).model_dump(mode="json")
        except (KeyError, ValueError) as error:
            raise Rejected(400, f"the question {path} cannot be answered: {error}") from error

    def taken(self, path: str, body: bytes, key: str) -> BaseModel:
        """Applies one request, once per key."""
        if path == "/remedies":
            return self._desk.apply(Preview.model_validate_json(body), key)
        if path == "/incidents":
            return self._desk.open(Opening.model_validate_json(body), key)
        raise nothing_at(path)

    def close(self) -> None:
        """Closes the desk."""
        self._desk.close()

    def _topology(self, cluster: str, asked: Mapping[str, str]) -> BaseModel:
        return self._desk.world(cluster).topology

    def _changes(self, cluster: str, asked: Mapping[str, str]) -> BaseModel:
        return Changes(changes=self._desk.world(cluster).changes)

    def _telemetry(self, cluster: str, asked: Mapping[str, str]) -> BaseModel:
        since, until = (_INSTANT.validate_strings(asked[name]) for name in ("since", "until"))
        return self._desk.world(cluster).telemetry(since, until)

    def _series(self, cluster: str, asked: Mapping[str, str]) -> BaseModel:
        world = self._desk.world(cluster)
        until = world.start + timedelta(minutes=world.minutes)
        for series in world.telemetry(until - timedelta(hours=1), until).series:
            if (series.subject, series.metric) == (asked["subject"], asked["metric"]):
                return Series(subject=series.subject, metric=series.metric, values=series.values)
        raise Rejected(404, f"{cluster} does not measure {asked['metric']} of {asked['subject']!r}")

    def _preview(self, cluster: str, asked: Mapping[str, str]) -> BaseModel:
        remedy = {"cluster": cluster, "action": asked["action"], "target": asked["target"]}
        return self._desk.preview(Remedy.model_validate(remedy))

    def _firing(self, cluster: str, asked: Mapping[str, str]) -> BaseModel:
        wanted = {name for name in asked["fingerprints"].split(",") if name}
        deadline = time.monotonic() + min(float(asked["wait"]), LONGEST_WAIT)
        while True:
            left = tuple(name for name in self._desk.firing(cluster) if name in wanted)
            if not left or time.monotonic() >= deadline:
                return Firing(fingerprints=left)
            time.sleep(0.05)


def main(arguments: list[str] | None = None) -> int:
    """The command line. Returns the exit code."""
    parser = options("tools.cluster.service", "Simulated clusters, in a process of their own.")
    parser.add_argument("--worlds", type=Path, required=True, help="a folder with one world in each JSON file")
    chosen = parser.parse_args(arguments)
    serve("the cluster", lambda: Clusters.kept(chosen.dir, chosen.worlds), chosen.dir, chosen.port, chosen.idle)
    return 0


if __name__ == "__main__":
    sys.exit(main())
