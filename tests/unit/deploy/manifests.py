"""Rendered Kubernetes objects, and who may talk to whom among them by their NetworkPolicies."""

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[3]
KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("cpu", "gpu")
NAMESPACE = "spiral"

Object = dict[str, Any]


def has_kubectl() -> bool:
    return shutil.which("kubectl") is not None


def render(overlay: str) -> list[Object]:
    """An overlay's objects as `kubectl apply -k` would send them."""
    command = ["kubectl", "kustomize", str(KUBERNETES / "overlays" / overlay)]
    rendered = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert rendered.returncode == 0, rendered.stderr
    return list(yaml.safe_load_all(rendered.stdout))


def of_kind(objects: list[Object], kind: str) -> dict[str, Object]:
    return {one["metadata"]["name"]: one for one in objects if one["kind"] == kind}


def workloads(objects: list[Object]) -> dict[str, Object]:
    """The pod template of everything that makes pods, by the workload's name."""
    templates = {}
    for one in objects:
        if one["kind"] in ("Deployment", "StatefulSet"):
            templates[one["metadata"]["name"]] = one["spec"]["template"]
        elif one["kind"] == "CronJob":
            templates[one["metadata"]["name"]] = one["spec"]["jobTemplate"]["spec"]["template"]
    return templates


def environment(container: Object) -> dict[str, Object]:
    return {entry["name"]: entry for entry in container.get("env", ())}


def named(value: Any, key: str) -> Iterator[Object]:
    """Every object that stands under `key`, at any depth."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == key and isinstance(inner, dict):
                yield inner
            yield from named(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from named(inner, key)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector takes something with these labels; an empty one takes everything."""
    expressions = selector.get("matchExpressions", ())
    assert all(one["operator"] == "In" for one in expressions), "only In is understood here"
    return all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items()) and all(
        labels.get(one["key"]) in one["values"] for one in expressions
    )


@dataclass(frozen=True)
class Endpoint:
    """A pod, here or in another namespace."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()
    namespace_labels: tuple[tuple[str, str], ...] = (("kubernetes.io/metadata.name", NAMESPACE),)

    @property
    def is_ours(self) -> bool:
        return dict(self.namespace_labels)["kubernetes.io/metadata.name"] == NAMESPACE


def pods(objects: list[Object]) -> list[Endpoint]:
    return [Endpoint(name, tuple(template["metadata"]["labels"].items())) for name, template in workloads(objects).items()]


def may_reach(objects: list[Object], source: Endpoint, target: Endpoint, port: int) -> bool:
    """Whether the NetworkPolicies let a TCP connection pass, on both sides."""
    policies = list(of_kind(objects, "NetworkPolicy").values())
    leaves = not source.is_ours or _passes(policies, source, target, port, "egress", "to")
    arrives = not target.is_ours or _passes(policies, target, source, port, "ingress", "from")
    return leaves and arrives


def _passes(policies: list[Object], subject: Endpoint, peer: Endpoint, port: int, direction: str, side: str) -> bool:
    mine = [one["spec"] for one in policies if selects(one["spec"]["podSelector"], dict(subject.labels))]
    mine = [spec for spec in mine if direction.capitalize() in spec["policyTypes"]]
    if not mine:
        return True
    return any(
        any(_is_peer(one, peer) for one in rule[side])
        and any(one["port"] == port and one.get("protocol", "TCP") == "TCP" for one in rule["ports"])
        for spec in mine
        for rule in spec.get(direction, ())
    )


def _is_peer(peer: Object, endpoint: Endpoint) -> bool:
    if "ipBlock" in peer:
        # An address outside of the cluster; pods are named by their labels alone.
        return endpoint.name == "the internet"
    in_namespace = selects(peer["namespaceSelector"], dict(endpoint.namespace_labels)) if "namespaceSelector" in peer else endpoint.is_ours
    return in_namespace and selects(peer.get("podSelector", {}), dict(endpoint.labels))
