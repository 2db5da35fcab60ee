"""What the Prometheus operator makes of monitors: Prometheus' ``scrape_configs``. Pure.

Of the fields that the chart uses; another one raises, so that no test passes by what is left out here. Source:
prometheus-operator v0.92, ``pkg/prometheus/promcfg.go`` (generateServiceMonitorConfig, generatePodMonitorConfig).
"""

import re
from collections.abc import Iterable, Iterator

from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.meta import name_of, namespace_of
from rayfleet.objects.parts import mappings, part

_META = "__meta_kubernetes"
_MONITOR_FIELDS = frozenset({"namespaceSelector", "selector", "endpoints", "podMetricsEndpoints"})
_ENDPOINT_FIELDS = frozenset({"port", "path", "honorLabels"})


def with_files(configuration: ReadOnlyJson, folder: str) -> Json:
    """Return a configuration that takes its targets from the file of its role, for a Prometheus without discovery."""
    files: list[Json] = []
    namespaces: list[str] = []
    for discovery in configuration["kubernetes_sd_configs"]:
        files.append({"files": [f"{folder}/{discovery['role']}.json"], "refresh_interval": "2s"})
        namespaces += part(discovery, "namespaces").get("names", [".*"])
    regex = "|".join(name if name == ".*" else re.escape(name) for name in namespaces)
    keep = {"action": "keep", "source_labels": [f"{_META}_namespace"], "regex": regex}
    rest = {name: value for name, value in configuration.items() if name != "kubernetes_sd_configs"}
    return {**rest, "file_sd_configs": files, "relabel_configs": [keep, *rest["relabel_configs"]]}


def scrape_configurations(monitors: Iterable[ReadOnlyJson]) -> list[Json]:
    """Return a configuration for each endpoint of ServiceMonitors and PodMonitors. Raises ValueError."""
    return [each for monitor in monitors for each in _of_monitor(monitor)]


def _of_monitor(monitor: ReadOnlyJson) -> Iterator[Json]:
    kind, spec = monitor["kind"], part(monitor, "spec")
    _only(spec, _MONITOR_FIELDS)
    is_of_pods = kind == "PodMonitor"
    if not is_of_pods and kind != "ServiceMonitor":
        raise ValueError(f"{kind} is no monitor")
    names = f"{namespace_of(monitor)}/{name_of(monitor)}"
    for index, endpoint in enumerate(mappings(spec["podMetricsEndpoints" if is_of_pods else "endpoints"])):
        _only(endpoint, _ENDPOINT_FIELDS)
        relabelings = [*_selected(spec, "pod" if is_of_pods else "service"), *_found(endpoint["port"], is_of_pods)]
        job = {"target_label": "job", "replacement": names} if is_of_pods else _label("job", "service_name")
        yield {
            "job_name": f"{kind[0].lower()}{kind[1:]}/{names}/{index}",
            "honor_labels": endpoint.get("honorLabels", False),
            "metrics_path": endpoint.get("path", "/metrics"),
            "kubernetes_sd_configs": [_discovery(monitor, is_of_pods=is_of_pods)],
            "relabel_configs": [*relabelings, job, {"target_label": "endpoint", "replacement": endpoint["port"]}],
        }


def _discovery(monitor: ReadOnlyJson, *, is_of_pods: bool) -> Json:
    """Return where is looked: in the monitor's own namespace, unless it says in any."""
    role: Json = {"role": "pod" if is_of_pods else "endpoints"}
    selector = part(part(monitor, "spec"), "namespaceSelector")
    _only(selector, frozenset({"any"}))
    return role if selector.get("any") else {**role, "namespaces": {"names": [namespace_of(monitor)]}}


def _selected(spec: ReadOnlyJson, what: str) -> Iterator[Json]:
    selector = part(spec, "selector")
    _only(selector, frozenset({"matchLabels"}))
    for name, value in part(selector, "matchLabels").items():
        label = re.sub(r"\W", "_", name)
        sources = [f"{_META}_{what}_label_{label}", f"{_META}_{what}_labelpresent_{label}"]
        yield {"action": "keep", "source_labels": sources, "regex": f"({re.escape(value)});true"}


def _found(port: str, is_of_pods: bool) -> Iterator[Json]:
    """Yield what keeps one port, leaves out pods that have ended, and names the rest."""
    source = f"{_META}_pod_container_port_name" if is_of_pods else f"{_META}_endpoint_port_name"
    yield {"action": "keep", "source_labels": [source], "regex": re.escape(port)}
    yield {"action": "drop", "source_labels": [f"{_META}_pod_phase"], "regex": "(Failed|Succeeded)"}
    yield _label("namespace", "namespace")
    yield _label("pod", "pod_name")
    yield _label("container", "pod_container_name")
    if not is_of_pods:
        yield _label("service", "service_name")


def _label(name: str, of: str) -> Json:
    return {"source_labels": [f"{_META}_{of}"], "target_label": name}


def _only(fields: ReadOnlyJson, known: frozenset[str]) -> None:
    if fields.keys() - known:
        raise ValueError(f"not known here: {', '.join(sorted(fields.keys() - known))}")
