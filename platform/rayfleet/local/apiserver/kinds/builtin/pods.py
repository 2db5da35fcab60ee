"""Pods: defaults, what admission adds, what is checked, what may change. Pure.

Source: Kubernetes ``pkg/apis/core/v1/defaults.go``, ``validation.go`` and ``registry/core/pod`` (v1.36). Of the
validation, what a serving pod can get wrong is here; security contexts, affinity and the many volume sources are not
looked into.
"""

from collections.abc import Iterator
from typing import Any

from rayfleet.local.apiserver.grammar.label_grammar import label_key_problem
from rayfleet.local.apiserver.grammar.names import label_name_problem, subdomain_problem
from rayfleet.local.apiserver.grammar.refusal import Cause, duplicate, forbidden_field, invalid, required
from rayfleet.local.apiserver.kinds.builtin.resource_amounts import resource_problems
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.pods import is_finished, node_name

_PORTS = range(1, 65536)
_NOT_READY = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_TOLERATION_SECONDS = 300  # of the DefaultTolerationSeconds admission plugin
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_MODES = ("secret", "configMap", "projected", "downwardAPI")
_CHANGE_REFUSED = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)


def default_pod(pod: Json) -> None:
    """Fill in what a Pod leaves out, in place."""
    spec = pod.setdefault("spec", {})
    pod.setdefault("status", {})
    for container in _containers(spec):
        _default_container(container)
    for volume in spec.get("volumes") or ():
        _default_volume(volume)
    spec.setdefault("dnsPolicy", "ClusterFirst")
    spec.setdefault("restartPolicy", "Always")
    spec.setdefault("securityContext", {})
    spec["terminationGracePeriodSeconds"] = _grace(spec.get("terminationGracePeriodSeconds"))
    spec.setdefault("schedulerName", "default-scheduler")
    spec.setdefault("enableServiceLinks", True)
    if spec.get("serviceAccountName"):
        spec["serviceAccount"] = spec["serviceAccountName"]
    elif spec.get("serviceAccount"):
        spec["serviceAccountName"] = spec["serviceAccount"]
    if spec.get("hostNetwork"):
        for container in _containers(spec):
            for port in container.get("ports") or ():
                port.setdefault("hostPort", port.get("containerPort", 0))


def prepare_pod(new: Json, old: ReadOnlyJson | None) -> None:
    """Do what the registry and the default admission plugins do with a Pod, in place."""
    if old is not None:
        return
    spec = new["spec"]
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    spec.setdefault("priority", 0)
    tolerations = spec.setdefault("tolerations", [])
    for key in _NOT_READY:
        if not any(_tolerates(each, key) for each in tolerations):
            tolerations.append(
                {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _TOLERATION_SECONDS}
            )
    new["status"] = {"phase": "Pending", "qosClass": _qos_class(spec)}


def pod_problems(new: ReadOnlyJson, old: ReadOnlyJson | None) -> list[Cause]:
    """Return what is wrong with a Pod, or with the change of one."""
    if old is not None:
        return _change_problems(new, old)
    spec = new["spec"]
    volumes, causes = _volume_problems(spec)
    if not spec.get("containers"):
        causes.append(required("spec.containers"))
    names: set[str] = set()
    for field, container in _placed_containers(spec):
        causes += _container_problems(field, container, volumes)
        if container.get("name") in names:
            causes.append(duplicate(f"{field}.name", container["name"]))
        names.add(container.get("name", ""))
    for key in spec.get("nodeSelector") or {}:
        if problem := label_key_problem(key):
            causes.append(invalid("spec.nodeSelector", key, problem))
    for key in ("hostname", "subdomain"):
        if spec.get(key) and (problem := label_name_problem(spec[key])):
            causes.append(invalid(f"spec.{key}", spec[key], problem))
    return causes


def pod_grace_seconds(pod: ReadOnlyJson) -> int:
    """Return the default grace period of a deletion; a pod that nobody runs has none."""
    if not node_name(pod) or is_finished(pod):
        return 0
    return int(pod["spec"].get("terminationGracePeriodSeconds") or 0)


def _grace(seconds: int | None) -> int:
    """Return the grace period to store; a negative one counts as the shortest."""
    if seconds is None:
        return 30
    return max(seconds, 1) if seconds < 0 else seconds


_NEGATIVE = "must be greater than or equal to 0"


def _containers(spec: ReadOnlyJson) -> Iterator[Json]:
    for _, container in _placed_containers(spec):
        yield container


def _placed_containers(spec: ReadOnlyJson) -> Iterator[tuple[str, Json]]:
    for group in ("initContainers", "containers"):
        for index, container in enumerate(spec.get(group) or ()):
            yield f"spec.{group}[{index}]", container


def _default_container(container: Json) -> None:
    container.setdefault("resources", {})
    container.setdefault("terminationMessagePath", "/dev/termination-log")
    container.setdefault("terminationMessagePolicy", "File")
    if "imagePullPolicy" not in container:
        container["imagePullPolicy"] = "Always" if _is_latest(container.get("image", "")) else "IfNotPresent"
    for port in container.get("ports") or ():
        port.setdefault("protocol", "TCP")
    for variable in container.get("env") or ():
        if reference := (variable.get("valueFrom") or {}).get("fieldRef"):
            reference.setdefault("apiVersion", "v1")
    for name in _PROBES:
        if probe := container.get(name):
            _default_probe(probe)
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _default_http(hook)
    resources = container["resources"]
    if resources.get("limits"):
        resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}


def _default_probe(probe: Json) -> None:
    for key, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        if not probe.get(key):
            probe[key] = value
    if grpc := probe.get("grpc"):
        grpc.setdefault("service", "")
    _default_http(probe)


def _default_http(handler: Json) -> None:
    if (http := handler.get("httpGet")) is not None:
        http.setdefault("path", "/")
        http.setdefault("scheme", "HTTP")


def _default_volume(volume: Json) -> None:
    sources = volume.keys() - {"name"}
    if not sources:
        volume["emptyDir"] = {}
    for kind in _MODES:
        if kind in volume:
            volume[kind].setdefault("defaultMode", 0o644)
    if "hostPath" in volume:
        volume["hostPath"].setdefault("type", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        if token := source.get("serviceAccountToken"):
            token.setdefault("expirationSeconds", 3600)


def _is_latest(image: str) -> bool:
    if "@" in image:
        return False
    tag = image.rpartition("/")[2].partition(":")[2]
    return tag in ("", "latest")


def _tolerates(toleration: ReadOnlyJson, key: str) -> bool:
    return toleration.get("key") in (key, None, "") and toleration.get("effect") in ("NoExecute", None, "")


def _qos_class(spec: ReadOnlyJson) -> str:
    """Return the class: guaranteed when every container's limits of cpu and memory equal its requests."""
    has_any = False
    is_guaranteed = True
    for container in _containers(spec):
        requests = _compute(container["resources"].get("requests"))
        limits = _compute(container["resources"].get("limits"))
        has_any = has_any or bool(requests or limits)
        is_guaranteed = is_guaranteed and limits.keys() == {"cpu", "memory"} and requests == limits
    if not has_any:
        return "BestEffort"
    return "Guaranteed" if is_guaranteed else "Burstable"


def _compute(resources: ReadOnlyJson | None) -> Json:
    return {key: value for key, value in (resources or {}).items() if key in ("cpu", "memory") and value != "0"}


def _volume_problems(spec: ReadOnlyJson) -> tuple[set[str], list[Cause]]:
    causes: list[Cause] = []
    names: set[str] = set()
    for index, volume in enumerate(spec.get("volumes") or ()):
        field = f"spec.volumes[{index}]"
        name = volume.get("name", "")
        if not name:
            causes.append(required(f"{field}.name"))
        elif problem := label_name_problem(name):
            causes.append(invalid(f"{field}.name", name, problem))
        if name in names:
            causes.append(duplicate(f"{field}.name", name))
        names.add(name)
        if len(volume.keys() - {"name"}) > 1:
            extra = sorted(volume.keys() - {"name"})[1]
            causes.append(forbidden_field(f"{field}.{extra}", "may not specify more than 1 volume type"))
    return names, causes


def _container_problems(field: str, container: ReadOnlyJson, volumes: set[str]) -> list[Cause]:
    causes: list[Cause] = []
    name = container.get("name", "")
    if not name:
        causes.append(required(f"{field}.name"))
    elif problem := label_name_problem(name):
        causes.append(invalid(f"{field}.name", name, problem))
    image = container.get("image", "")
    if not image:
        causes.append(required(f"{field}.image"))
    elif image != image.strip():
        causes.append(invalid(f"{field}.image", image, "must not have leading or trailing whitespace"))
    causes += _container_port_problems(field, container)
    causes += resource_problems(container["resources"], f"{field}.resources")
    for index, variable in enumerate(container.get("env") or ()):
        causes += _variable_problems(f"{field}.env[{index}]", variable)
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        causes += _mount_problems(f"{field}.volumeMounts[{index}]", mount, volumes)
    for probe in _PROBES:
        causes += _probe_problems(f"{field}.{probe}", container.get(probe))
    return causes


def _container_port_problems(field: str, container: ReadOnlyJson) -> list[Cause]:
    causes: list[Cause] = []
    for index, port in enumerate(container.get("ports") or ()):
        number = port.get("containerPort", 0)
        at = f"{field}.ports[{index}].containerPort"
        if not number:
            causes.append(required(at))
        elif number not in _PORTS:
            causes.append(invalid(at, number, "must be between 1 and 65535, inclusive"))
    return causes


def _mount_problems(field: str, mount: ReadOnlyJson, volumes: set[str]) -> list[Cause]:
    causes: list[Cause] = []
    if mount.get("name") not in volumes:
        message = f'Not found: "{mount.get("name", "")}"'
        causes.append(Cause(field=f"{field}.name", reason="FieldValueNotFound", message=message))
    if not mount.get("mountPath"):
        causes.append(required(f"{field}.mountPath"))
    return causes


def _variable_problems(field: str, variable: ReadOnlyJson) -> list[Cause]:
    if not variable.get("name"):
        return [required(f"{field}.name")]
    if "=" in variable["name"]:
        return [invalid(f"{field}.name", variable["name"], "must not contain '='")]
    if variable.get("value") and variable.get("valueFrom"):
        return [invalid(f"{field}.valueFrom", "", "may not be specified when `value` is not empty")]
    return []


def _probe_problems(field: str, probe: ReadOnlyJson | None) -> list[Cause]:
    if not probe:
        return []
    handlers = [each for each in ("exec", "httpGet", "tcpSocket", "grpc") if each in probe]
    if not handlers:
        return [required(field, "must specify a handler type")]
    if len(handlers) > 1:
        return [forbidden_field(f"{field}.{handlers[1]}", "may not specify more than 1 handler type")]
    causes = [
        invalid(f"{field}.{key}", probe[key], _NEGATIVE)
        for key in ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")
        if probe.get(key, 0) < 0
    ]
    if "readiness" not in field and probe.get("successThreshold", 1) != 1:
        causes.append(invalid(f"{field}.successThreshold", probe["successThreshold"], "must be 1"))
    if "exec" in probe and not probe["exec"].get("command"):
        causes.append(required(f"{field}.exec.command"))
    return causes


def _change_problems(new: ReadOnlyJson, old: ReadOnlyJson) -> list[Cause]:
    allowed = _without_mutable(new["spec"]), _without_mutable(old["spec"])
    if allowed[0] == allowed[1]:
        return []
    return [forbidden_field("spec", _CHANGE_REFUSED)]


def _without_mutable(spec: ReadOnlyJson) -> Json:
    result: dict[str, Any] = {
        key: value for key, value in spec.items() if key not in ("activeDeadlineSeconds", "tolerations")
    }
    for group in ("containers", "initContainers"):
        result[group] = [{**container, "image": ""} for container in spec.get(group) or ()]
    return result


def node_name_problem(name: str) -> str:
    """Return what is wrong with the name of a node."""
    return subdomain_problem(name)
