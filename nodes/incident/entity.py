"""Which service of a cluster an alert is about: monitoring systems name pods, services, deployments and nodes, each in its own way."""

from __future__ import annotations

import re
from typing import Final

from tools.cluster import Topology

_KIND: Final = re.compile(r"-(service|svc|pod|deployment|statefulset|replicaset|endpoint)$")
_NUMBER: Final = re.compile(r"-\d+$")


def service_of(entity: str, topology: Topology) -> str | None:
    """The service that an entity belongs to, None where the topology has none of that name.

    A pod is its service's; else the entity is a service's name, with or without a kind and a number behind it (`cart-service-1`) or the
    parts of a replica's name (`cart-7d9f-x2`). Case and dashes do not count: `productcatalog` is `product-catalog`.
    """
    for pod in topology.pods:
        if pod.name == entity:
            return pod.service
    named = {_plain(service): service for service in services(topology)}
    short = _KIND.sub("", _NUMBER.sub("", entity.casefold()))
    for name in (entity, short, *_beginnings(short)):
        for plain in (_plain(name), _plain(name).removesuffix("service")):
            if plain in named:
                return named[plain]
    return None


def services(topology: Topology) -> list[str]:
    """Every service of a topology."""
    return sorted({pod.service for pod in topology.pods} | {end for call in topology.calls for end in call})


def _beginnings(name: str) -> list[str]:
    parts = name.split("-")
    return ["-".join(parts[:many]) for many in range(len(parts) - 1, 0, -1)]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]", "", name.casefold())
