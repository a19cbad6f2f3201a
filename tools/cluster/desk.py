"""What clusters keep: remedies and claims on alerts, beside the keys they have answered (`tools/keyed.py`)."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.cluster.remedy import OF_PODS, Applied, Opened, Opening, Preview, Remedy
from tools.cluster.world import World
from tools.keyed import Keyed
from tools.serving import Rejected

SCHEMA: Final = """
create table if not exists remedies (
    number integer primary key autoincrement, key text not null unique, cluster text not null, action text not null,
    target text not null, at real not null);
create table if not exists claims (cluster text not null, alert text not null, incident text not null, primary key (cluster, alert));
"""

SETTLES: Final = 0.5
"""Seconds from a remedy that helps until the alerts clear."""

_TARGETS: Final = "select target from remedies where cluster = ?"

_DOES: Final = {
    "restart": "ends the pod {target} and starts it anew; requests it is serving are lost",
    "scale": "starts one more pod of {target}",
    "reschedule": "starts {target} on another node, then ends it here; requests it is serving are lost",
    "rollback": "takes {target} back to the version before its last rollout; every pod of it is replaced",
}


@dataclass
class _Stale(Rejected):
    """A remedy whose preview is not, or no longer, what it would do."""

    revision: int


class Desk(Keyed):
    """The clusters of some worlds, and what has been done to them."""

    def __init__(self, path: Path, worlds: Mapping[str, World], now: Callable[[], float] = time.time) -> None:
        super().__init__(path, SCHEMA)
        self._worlds = worlds
        self._now = now

    def world(self, name: str) -> World:
        """The world of a cluster. Raises `Rejected` 404."""
        if name not in self._worlds:
            raise Rejected(404, f"there is no cluster {name!r}; there are {', '.join(sorted(self._worlds)) or 'none'}")
        return self._worlds[name]

    def open(self, opening: Opening, key: str) -> Opened:
        """Gives alerts to the first request that claims any of them, which its key tells apart. Raises `Rejected` 422 if the key was used otherwise."""
        self.world(opening.cluster)
        return self.once(key, opening, Opened, lambda: self._open(opening))

    def preview(self, remedy: Remedy) -> Preview:
        """What a remedy would do. Raises `Rejected` 404 where there is nothing of that name to act upon."""
        return self._previewed(remedy, self.rows(_TARGETS, remedy.cluster))

    def apply(self, preview: Preview, key: str) -> Applied:
        """Does what was previewed, once per key; where it no longer holds, nothing, and the key stays free. Raises `Rejected` 404, 422."""
        self.preview(preview.remedy)
        try:
            return self.once(key, preview, Applied, lambda: self._apply(preview, key))
        except _Stale as stale:
            return Applied(remedy=preview.remedy, number=None, revision=stale.revision)

    def firing(self, cluster: str) -> tuple[str, ...]:
        """Fingerprints of the alerts whose faults last."""
        world = self.world(cluster)
        rows = self.rows("select action, target from remedies where cluster = ? and at <= ?", cluster, self._now() - SETTLES)
        cured = world.cured_by((row["action"], row["target"]) for row in rows)
        return tuple(alert.fingerprint for place, fault in enumerate(world.faults) if place not in cured for alert in fault.alerts)

    def remedies(self) -> list[dict[str, Any]]:
        """Every remedy in its order."""
        return [dict(row) for row in self.rows("select number, key, cluster, action, target from remedies order by number")]

    def _previewed(self, remedy: Remedy, given: Sequence[sqlite3.Row]) -> Preview:
        """What a remedy would do after those that its cluster was given."""
        topology = self.world(remedy.cluster).topology
        service = topology.service_of(remedy.target)
        fits = {pod.name if remedy.action in OF_PODS else pod.service for pod in topology.pods}
        if remedy.target not in fits:
            kind = "pod" if remedy.action in OF_PODS else "service"
            raise Rejected(404, f"{remedy.cluster} has no {kind} {remedy.target!r} to {remedy.action}")
        near = {service, *(end for call in topology.calls if service in call for end in call)}
        return Preview(
            remedy=remedy,
            does=_DOES[remedy.action].format(target=remedy.target),
            felt_by=tuple(sorted({caller for caller, callee in topology.calls if callee == service})),
            revision=sum(topology.service_of(row["target"]) in near for row in given),
        )

    def _open(self, opening: Opening) -> Opened:
        holder = self.db.execute(
            "select incident from claims where cluster = ? and alert in (select value from json_each(?)) limit 1",
            (opening.cluster, json.dumps(opening.alerts)),
        ).fetchone()
        if holder is not None:
            return Opened(held="taken", incident=holder["incident"])
        self.db.executemany("insert into claims values (?, ?, ?)", [(opening.cluster, alert, opening.incident) for alert in opening.alerts])
        return Opened(held="yours", incident=opening.incident)

    def _apply(self, preview: Preview, key: str) -> Applied:
        remedy = preview.remedy
        current = self._previewed(remedy, self.db.execute(_TARGETS, (remedy.cluster,)).fetchall())
        if preview != current:
            raise _Stale(409, "it was previewed otherwise", current.revision)
        row = self.db.execute(
            "insert into remedies (key, cluster, action, target, at) values (?, ?, ?, ?, ?) returning number",
            (key, remedy.cluster, remedy.action, remedy.target, self._now()),
        ).fetchone()
        return Applied(number=row["number"], remedy=remedy, revision=current.revision + 1)
