"""The ``ray start`` command that KubeRay generates. Pure. Source: KubeRay ray-operator/controllers/ray/common/pod.go (1.5)."""

import json
from collections.abc import Mapping
from typing import Any

from rayfleet.local.node.quantities import quantity_value, whole_quantity

JsonObject = Mapping[str, Any]

GCS_PORT = 6379
# A flag with the value "false" is left out, except these, whose default is true or which take a word.
_KEPT_FALSE = frozenset({"log-color", "include-dashboard", "include-log-monitor"})


def completed_start_params(
    params: Mapping[str, str], container: JsonObject, *, is_head: bool, head_address: str, group: JsonObject
) -> dict[str, str]:
    """Return the group's rayStartParams with what KubeRay adds; ``head_address`` is ``fqdn:port`` (workers only)."""
    found = dict(params)
    if is_head:
        found.setdefault("dashboard-host", "0.0.0.0")
    else:
        found["address"] = head_address
    found.setdefault("metrics-export-port", "8080")
    found.setdefault("dashboard-agent-listen-port", "52365")
    found["block"] = "true"
    for flag, value in _resource_flags(container, group).items():
        found.setdefault(flag, value)
    if group.get("labels"):
        found["labels"] = ",".join(f"{key}={value}" for key, value in sorted(group["labels"].items()))
    return found


def start_command(params: Mapping[str, str], *, is_head: bool) -> str:
    """Return the command: flags sorted, ``true`` bare, ``false`` dropped, two spaces where KubeRay leaves two."""
    flags = []
    for name, value in sorted(params.items()):
        if value.lower() == "true":
            flags.append(f" --{name} ")
        elif value.lower() != "false" or name in _KEPT_FALSE:
            flags.append(f" --{name}={value} ")
    return ("ray start --head " if is_head else "ray start ") + "".join(flags)


def gcs_port(head_params: Mapping[str, str]) -> int:
    """Return the port of the head's GCS."""
    return int(head_params.get("port") or GCS_PORT)


def _resource_flags(container: JsonObject, group: JsonObject) -> dict[str, str]:
    resources = container.get("resources") or {}
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    found: dict[str, str] = {}
    cpu = limits.get("cpu") or requests.get("cpu")
    if cpu is not None:
        found["num-cpus"] = str(whole_quantity(cpu))
    if limits.get("memory") is not None:
        found["memory"] = str(int(quantity_value(limits["memory"])))
    gpu = next((name for name in limits if name.endswith("gpu") or name.startswith("nvidia.com/mig-")), None)
    if gpu is not None and whole_quantity(limits[gpu]) > 0:
        found["num-gpus"] = str(whole_quantity(limits[gpu]))
    return found | _group_flags(group.get("resources") or {})


def _group_flags(resources: Mapping[str, Any]) -> dict[str, str]:
    """Return the flags of a group's own ``resources``, which win over the container's."""
    found: dict[str, str] = {}
    custom: dict[str, float] = {}
    for name, quantity in resources.items():
        match name.lower():
            case "cpu":
                found["num-cpus"] = str(whole_quantity(quantity))
            case "gpu":
                found["num-gpus"] = str(whole_quantity(quantity))
            case "memory":
                found["memory"] = str(int(quantity_value(quantity)))
            case _:
                custom[name] = quantity_value(quantity)
    if custom:
        found["resources"] = f"'{json.dumps(custom)}'"
    return found
