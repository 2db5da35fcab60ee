"""What can be said of an installation, declared once: defaults, their schema, the chart's ``values.yaml``. Pure.

As of a manifest, what is wrong is told with its path, all at once. Values of a file are laid over the defaults as Helm
does it: mappings are merged, all else is replaced, and null takes an entry of a mapping away.
"""

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from rayfleet import __version__
from rayfleet.manifest.checking import schema_errors
from rayfleet.manifest.schema_parts import count, labels, object_of, text, text_map
from rayfleet.manifest.structural import with_defaults
from rayfleet.model.errors import ManifestError
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.policies import DEFAULT_GATEWAY

CONTROLLER_IMAGE = f"rayfleet/controller:{__version__}"
"""Controller, command line and gateway."""
_IMAGE_PATTERN = "^[a-z0-9][a-zA-Z0-9._:/-]*(:[A-Za-z0-9_][A-Za-z0-9._-]*|@sha256:[0-9a-f]{64})$"
_GATEWAY_NAME = DEFAULT_GATEWAY.name


def _flag(description: str, *, default: bool) -> Json:
    return {"type": "boolean", "description": description, "default": default}


def _image(description: str) -> Json:
    return text(
        f"{description}, with a version: never :latest.",
        pattern=_IMAGE_PATTERN,
        default=CONTROLLER_IMAGE,
        **{"not": {"pattern": ":latest$"}},
    )


def _open(description: str, default: Any) -> Json:
    kind = "array" if isinstance(default, list) else "object"
    items = {"items": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}} if kind == "array" else {}
    return {
        "type": kind,
        "description": description,
        "default": default,
        "x-kubernetes-preserve-unknown-fields": True,
        **items,
    }


def _texts(description: str) -> Json:
    return {"type": "array", "description": description, "default": [], "items": {"type": "string"}}


def _part(description: str, properties: ReadOnlyJson) -> Json:
    return object_of(description, properties, default={})


def _process(what: str, resources: ReadOnlyJson) -> Json:
    return {
        "image": _image(f"Image of the {what}"),
        "replicas": count(f"Pods of the {what}.", minimum=1, default=2),
        "logFormat": text("What a log line is.", enum=["text", "json"], default="json"),
        "extraArguments": _texts(f"More flags of the {what}, each a text."),
        "resources": _open("Requests and limits.", resources),
        "nodeSelector": {**text_map("Labels that its nodes must have."), "default": {}},
        "tolerations": _open("Taints that its pods tolerate.", []),
        "priorityClassName": text("Its pods' priority class; empty: the cluster's default.", default=""),
    }


_AUTOSCALING = _part(
    "A HorizontalPodAutoscaler instead of a fixed number of pods; it needs metrics-server.",
    {
        "enabled": _flag("Whether there is one.", default=True),
        "minReplicas": count("Pods at least.", minimum=1, default=2),
        "maxReplicas": count("Pods at most.", minimum=1, default=10),
        "cpuPercent": count("Use of the requested CPU that it aims at.", minimum=1, maximum=100, default=70),
    },
)
SCHEMA: ReadOnlyJson = object_of(
    "Values of the chart.",
    {
        "crds": _part(
            "The definitions of fleets and replica sets.",
            {
                "install": _flag("Whether they are part of the release; an upgrade renews them.", default=True),
                "keep": _flag("Whether they, and so all fleets, stay when the release goes.", default=True),
            },
        ),
        "imagePullPolicy": text("", enum=["IfNotPresent", "Always", "Never"], default="IfNotPresent"),
        "imagePullSecrets": _texts("Names of Secrets that the registry wants."),
        "controller": _part(
            "The controller: two pods, one of which leads.",
            _process("controller", {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "1Gi"}}),
        ),
        "gateway": _part(
            "The gateway of rayfleet's own.",
            {
                "enabled": _flag("Whether it is installed; another Gateway API gateway can do its part.", default=True),
                **_process("gateway", {"requests": {"cpu": "500m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}}),
                "autoscaling": _AUTOSCALING,
                "service": _part(
                    "The Service for clients.",
                    {
                        "type": text("", enum=["ClusterIP", "NodePort", "LoadBalancer"], default="ClusterIP"),
                        "port": count("Its port.", minimum=1, maximum=65535, default=80),
                        "annotations": {**text_map("For the load balancer."), "default": {}},
                    },
                ),
            },
        ),
        "routes": _part(
            "What the routes of fleets are for, where they do not say.",
            {
                "gatewayName": text("Name of the Gateway.", minLength=1, default=_GATEWAY_NAME),
                "gatewayNamespace": text("Where it lies; empty: beside the controller.", default=""),
            },
        ),
        "gatewayApi": _part(
            "Objects of the Gateway API; its definitions must be there.",
            {
                "className": text("Class of a Gateway to make; empty: none is made.", default=""),
                "controllerName": text("Controller of a GatewayClass to make; empty: none.", default=""),
                "port": count("The Gateway's port.", minimum=1, maximum=65535, default=80),
            },
        ),
        "monitoring": _part(
            "For the Prometheus operator and Grafana; the first three need the operator's definitions.",
            {
                "serviceMonitors": _flag("Whether Prometheus is told of controller and gateway.", default=False),
                "podMonitor": _flag("Whether Prometheus is told of the sidecars of all namespaces.", default=False),
                "rules": _flag("Whether there are alert rules.", default=False),
                "dashboards": _flag("Whether there are ConfigMaps with Grafana's dashboards.", default=False),
                "labels": {**labels("What Prometheus selects its objects by."), "default": {}},
                "dashboardLabels": {
                    **labels("What Grafana's sidecar selects ConfigMaps by."),
                    "default": {"grafana_dashboard": "1"},
                },
            },
        ),
        "networkPolicy": _part(
            "Who may reach what; it needs a network that enforces it.",
            {
                "enabled": _flag("Whether there are policies.", default=False),
                "prometheusNamespace": text("Namespace that scrapes.", minLength=1, default="monitoring"),
                "fleetNamespaces": _texts("Namespaces whose engines only gateway, controller and Prometheus reach."),
            },
        ),
    },
)


def default_values() -> Json:
    """Return the values when nothing is said."""
    return with_defaults({}, SCHEMA)


def checked_values(given: ReadOnlyJson) -> Json:
    """Return the defaults with ``given`` laid over them. Raises ManifestError with every wrong field."""
    errors = schema_errors(given, SCHEMA, "")
    if errors:
        raise ManifestError("the values", errors)
    return with_defaults(_merged(default_values(), given), SCHEMA)


def json_schema() -> Json:
    """Return the chart's ``values.schema.json``: what Helm holds values and defaults together to."""
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "rayfleet", **_closed(SCHEMA)}


def values_yaml() -> str:
    """Return the chart's ``values.yaml``: every value with its default, and what it is for."""
    return "\n".join(_commented(SCHEMA, default_values(), "")) + "\n"


def _merged(base: Any, over: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(over, Mapping)):
        return copy.deepcopy(over)
    merged = {**base, **{name: _merged(base.get(name), value) for name, value in over.items()}}
    return {name: value for name, value in merged.items() if value is not None}


def _closed(schema: Any) -> Any:
    """Return a schema in which an unknown field of an object with stated ones is an error, as it is here."""
    if isinstance(schema, dict):
        inner = {name: _closed(part) for name, part in schema.items() if not name.startswith("x-kubernetes-")}
        inner.pop("format", None)
        if isinstance(inner.get("properties"), dict) and schema.get("type") == "object":
            inner |= {"additionalProperties": False, "required": list(schema["properties"])}
        return inner
    return [_closed(each) for each in schema] if isinstance(schema, list) else schema


def _commented(schema: ReadOnlyJson, values: ReadOnlyJson, pad: str) -> Iterator[str]:
    for name, part in schema["properties"].items():
        meaning = " ".join(
            (part["description"], f"One of {', '.join(part['enum'])}." if "enum" in part else "")
        ).strip()
        yield f"{pad}# {meaning}"
        if "properties" in part:
            yield f"{pad}{name}:"
            yield from _commented(part, values[name], pad + "  ")
        else:
            value = values[name]
            is_block = isinstance(value, dict) and value
            shown = yaml.safe_dump({name: value}, sort_keys=False) if is_block else f"{name}: {json.dumps(value)}"
            yield from (pad + line for line in shown.splitlines())
