"""Who an alert belongs to and how urgent it is, by the name of the rule that fired.

The table names the systems that a platform is made of, by the words with which the names of their rules begin. What it does not know
goes to a person: a rule nobody has thought of is no reason to guess.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

Queue = Literal[
    "applications", "platform", "hosts", "databases", "messaging", "network", "security", "delivery", "storage", "observability", "cost"
]

PERSON: Final = "person"
"""The queue of what the table does not know."""

_TABLE: Final[dict[Queue, str]] = {
    "applications": """high request|no requests|no database operations|request error|request latency|http|php|jvm|golang|go|ruby|python|sidekiq|
        flink|spark|hadoop|litellm|graph node|provider failed|store connection|subgraph""",
    "platform": """kube|kubernetes|container|docker|nomad|consul|etcd|openstack|failed pods|pod|virtual machine|vmware|high number of snapshots|
        outdated snapshots|pve|proxmox|cloudwatch|aws|stackdriver|google cloud|digitalocean|azure|ebpf|process exporter|process group|systemd""",
    "hosts": "host|node|windows|smart|s.m.a.r.t|ipmi|apc|ups|netdata",
    "databases": """mysql|postgresql|postgres|sql server|oracle|patroni|pgbouncer|redis|memcached|mongodb|mgob|elasticsearch|opensearch|meilisearch|
        cassandra|clickhouse|couchdb|solr|valkey""",
    "messaging": "rabbitmq|zookeeper|kafka|high kafka|pulsar|nats",
    "network": """nginx|apache|haproxy|traefik|caddy|envoy|linkerd|istio|blackbox|speedtest|juniper|coredns|freeswitch|cloudflare|snmp|cilium|
        wireguard|no requests opened""",
    "security": "ssl|cert-manager|certificate|hashicorp|vault|keycloak",
    "delivery": "jenkins|argocd|fluxcd|flux|gitlab|spinnaker",
    "storage": "ceph|zfs|openebs|minio|disk",
    "observability": "prometheus|thanos|loki|promtail|cortex|tempo|grafana|mimir|alloy|opentelemetry|otel|jaeger",
    "cost": "cpu spend|memory spend|spend|budget",
}

_BEGINNINGS: Final = {re.sub(r"\W", "", word): queue for queue, words in _TABLE.items() for word in words.split("|")}

MINUTES: Final[Mapping[str, int]] = {"critical": 5, "warning": 30, "info": 8 * 60}
"""Within how many minutes somebody has to look, by severity."""


class Dispatch(BaseModel):
    """Where an alert goes: a queue, and the minutes within which somebody there has to look."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queue: str
    minutes: int

    @property
    def known(self) -> bool:
        """Whether the table knows the rule."""
        return self.queue != PERSON


def parts(name: str) -> list[str]:
    """The words of a rule's name in lower case: `KubePodNotReady` and `Kube pod not ready` have the same."""
    return [word.casefold() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


def dispatch(name: str, severity: str) -> Dispatch:
    """Where an alert goes. A severity that is none of the three counts as critical.

    The longest beginning counts: `no requests opened` is the network's, `no requests received` the application's.
    """
    told = parts(name)
    beginnings = ("".join(told[:many]) for many in range(len(told), 0, -1))
    queue = next((_BEGINNINGS[beginning] for beginning in beginnings if beginning in _BEGINNINGS), PERSON)
    return Dispatch(queue=queue, minutes=MINUTES[severity] if severity in MINUTES else MINUTES["critical"])
