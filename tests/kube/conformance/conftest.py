"""One suite, two servers: what is asserted here holds for the embedded API server and for the real kube-apiserver."""

from collections.abc import AsyncIterator
from pathlib import Path
from uuid import uuid4

import pytest

from rayfleet.kube.config import read_address
from rayfleet.model.json import Json
from rayfleet.testing.raw_api import RawApi
from rayfleet.testing.waiting import until

GROUP = "conformance.rayfleet.dev"
_WIDGET_SCHEMA: Json = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "properties": {
                "replicas": {"type": "integer", "minimum": 0, "default": 1},
                "size": {"type": "string", "enum": ["small", "large"], "default": "small"},
                "code": {"type": "string", "pattern": "^[a-z]*$", "maxLength": 8, "minLength": 1},
                "ratio": {"type": "number", "maximum": 1},
                "share": {"x-kubernetes-int-or-string": True},
                "tags": {"type": "array", "maxItems": 3, "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
                "ports": {
                    "type": "array",
                    "maxItems": 10,
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {"type": "string", "maxLength": 20},
                            "port": {"type": "integer"},
                            "protocol": {"type": "string", "default": "TCP"},
                        },
                    },
                },
                "labels": {"type": "object", "additionalProperties": {"type": "string"}},
                "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "maybe": {"type": "string", "nullable": True},
                "closed": {"type": "object", "properties": {"a": {"type": "integer"}}},
                "fixed": {
                    "type": "string",
                    "maxLength": 20,
                    "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "fixed cannot change"}],
                },
                "when": {"type": "string", "format": "date-time"},
            },
            "x-kubernetes-validations": [
                {"rule": "self.replicas <= 10 || self.size == 'large'", "message": "more than ten must be large"},
                {
                    "rule": "!has(self.code) || self.code != 'bad'",
                    "messageExpression": "'code ' + self.code + ' is refused'",
                    "fieldPath": ".code",
                    "reason": "FieldValueForbidden",
                },
            ],
        },
        "status": {
            "type": "object",
            "properties": {
                "replicas": {"type": "integer"},
                "selector": {"type": "string"},
                "phase": {"type": "string"},
            },
        },
    },
}


def widget_definition() -> Json:
    names = {
        "plural": "widgets",
        "kind": "Widget",
        "shortNames": ["wdg"],
        "categories": ["conformance"],
    }
    columns = [
        {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
        {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
        {"name": "Port", "type": "integer", "jsonPath": ".spec.ports[?(@.name=='http')].port"},
        {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
        {"name": "Size", "type": "string", "jsonPath": ".spec.size", "priority": 1},
    ]
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": _WIDGET_SCHEMA},
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": columns,
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{GROUP}"},
        "spec": {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]},
    }


@pytest.fixture
async def api(kubeconfig: Path) -> AsyncIterator[RawApi]:
    async with RawApi(await read_address(kubeconfig)) as opened:
        yield opened


@pytest.fixture
async def ns(api: RawApi) -> str:
    """A namespace of one's own; its name."""
    name = f"conf-{uuid4().hex[:10]}"
    answer = await api.post("/api/v1/namespaces", {"metadata": {"name": name}})
    assert answer.status == 201, answer.body
    return name


@pytest.fixture
async def widgets(api: RawApi, ns: str) -> str:
    """The path of a namespace's widgets, served."""
    path = f"/apis/{GROUP}/v1/namespaces/{ns}/widgets"
    await api.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", widget_definition())
    await until(
        lambda: api.post(path, _widget("probe"), dryRun="All"),
        "widgets can be created",
        holds=lambda answer: answer.status == 201,
    )
    return path


def _widget(name: str) -> Json:
    return {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {}}
