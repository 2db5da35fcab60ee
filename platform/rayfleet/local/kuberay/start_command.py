"""The ``ray start`` command that KubeRay generates.

Pure. Source: KubeRay ray-operator/controllers/ray/common/pod.go (1.6).
"""

import json
import re
from collections.abc import Mapping

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.quantity import Quantity

GCS_PORT = 6379
METRICS_PORT = 8080
AGENT_PORT = 52365
DASHBOARD_PORT = 8265
# These keep their "true" and "false": they take a word.
_WORD_FLAGS = frozenset({"log-color", "include-dashboard"})
_ACCELERATORS = {"aws.amazon.com/neuroncore": "neuron_cores", "google.com/tpu": "TPU"}
_MIG = re.compile(r"nvidia\.com/mig-\d+g\.\d+gb$")


def complete_start_params(group: ReadOnlyJson, *, is_head: bool, head_address: str = "") -> dict[str, str]:
    """Return a group's rayStartParams with all that KubeRay adds; ``head_address`` is ``fqdn:port`` (workers only)."""
    params = dict(group.get("rayStartParams") or {})
    params |= _group_resource_flags(group.get("resources") or {})
    if group.get("labels"):
        params["labels"] = ",".join(f"{key}={value}" for key, value in sorted(group["labels"].items()))
    if is_head:
        params.setdefault("dashboard-host", "0.0.0.0")
    else:
        params.setdefault("address", head_address)
    params.setdefault("metrics-export-port", str(METRICS_PORT))
    params["block"] = "true"
    params.setdefault("dashboard-agent-listen-port", str(AGENT_PORT))
    return _with_container_resources(params, group["template"]["spec"]["containers"][0].get("resources") or {})


def ray_start_command(params: Mapping[str, str], *, is_head: bool) -> str:
    """Return the command: flags sorted, ``true`` bare, ``false`` dropped, a space on each side of every flag."""
    flags = []
    for name, value in sorted(params.items()):
        if value.lower() not in {"true", "false"} or name in _WORD_FLAGS:
            flags.append(f" --{name}={value} ")
        elif value.lower() == "true":
            flags.append(f" --{name} ")
    return ("ray start --head " if is_head else "ray start ") + "".join(flags)


def gcs_port(cluster: ReadOnlyJson) -> str:
    """Return the port of the head's GCS."""
    params = cluster["spec"]["headGroupSpec"].get("rayStartParams") or {}
    return str(params.get("port", GCS_PORT))


def is_gpu(resource: str) -> bool:
    """Whether a resource is a GPU or a slice of one."""
    return resource.endswith("gpu") or _MIG.search(resource) is not None


def _with_container_resources(params: Mapping[str, str], resources: ReadOnlyJson) -> dict[str, str]:
    completed = dict(params)
    limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
    cpu = next((each["cpu"] for each in (limits, requests) if Quantity.parse(each.get("cpu", 0)).amount), None)
    if cpu is not None:
        completed.setdefault("num-cpus", str(Quantity.parse(cpu).whole))
    if Quantity.parse(limits.get("memory", 0)).amount:
        completed.setdefault("memory", str(Quantity.parse(limits["memory"]).whole))
    for name, quantity in sorted(limits.items()):
        if is_gpu(name) and Quantity.parse(quantity).amount:
            completed.setdefault("num-gpus", str(Quantity.parse(quantity).whole))
    return completed | _accelerator_flag(completed, limits)


def _accelerator_flag(params: Mapping[str, str], limits: ReadOnlyJson) -> dict[str, str]:
    """Return ``resources`` with the first accelerator that Ray knows by another name, unless the user named one."""
    try:
        custom: dict[str, float] = json.loads(params.get("resources", "{}").strip("'\"` "))
    except json.JSONDecodeError:
        return {}
    if not set(_ACCELERATORS.values()).isdisjoint(custom):
        return {}
    for name, quantity in sorted(limits.items()):
        if name in _ACCELERATORS and Quantity.parse(quantity).amount:
            return {"resources": _quoted({**custom, _ACCELERATORS[name]: Quantity.parse(quantity).number})}
    return {}


def _group_resource_flags(resources: ReadOnlyJson) -> dict[str, str]:
    """Return the flags of a group's own ``resources``; what is no quantity is skipped."""
    flags: dict[str, str] = {}
    custom: dict[str, int | float] = {}
    for name, quantity in resources.items():
        try:
            amount = Quantity.parse(quantity)
        except ValueError:
            continue
        known = {"cpu": "num-cpus", "memory": "memory"}.get(name.lower())
        if known is None and is_gpu(name.lower()):
            known = "num-gpus"
        if known is None:
            custom[name] = amount.number
        else:
            flags[known] = str(amount.whole)
    return flags | ({"resources": _quoted(custom)} if custom else {})


def _quoted(resources: Mapping[str, float]) -> str:
    numbers = {name: int(value) if value == int(value) else float(value) for name, value in resources.items()}
    return f"'{json.dumps(numbers, separators=(',', ':'), sort_keys=True)}'"
