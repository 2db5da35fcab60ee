"""What an installation is: the objects for given values, and the Helm chart that makes the same ones.

Both come from one declaration (``template``, ``workloads``, ``extras``), the definitions of ``crds/`` and the roles of
``rbac/``. The chart's files in ``chart/`` are written by ``make golden``. The namespace is not of the chart: Helm makes
it (``--create-namespace``) and never takes it away; here it is printed first, with the pod security standard that our
pods keep to. No object is a hook: what Helm shows is what is there.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rayfleet import __version__
from rayfleet.deploy.extras import (
    DASHBOARDS,
    RULES_FILE,
    dashboard_file,
    gateway_api_objects,
    monitoring_objects,
    network_policies,
)
from rayfleet.deploy.template import Inputs, Namespace, When, filled, template_text
from rayfleet.deploy.values import checked_values, json_schema, values_yaml
from rayfleet.deploy.workloads import controller_objects, gateway_objects
from rayfleet.manifest.crds import fleet_crds
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.resources import NAMESPACES

DEFAULT_NAMESPACE = "rayfleet-system"
CHART = Path(__file__).parent / "chart"
_ROLES = Path(__file__).parent / "rbac"
_KEEP = "helm.sh/resource-policy"

_CHART_YAML: ReadOnlyJson = {
    "apiVersion": "v2",
    "name": "rayfleet",
    "description": "Fleets of Ray clusters that serve large language models: controller and gateway",
    "type": "application",
    "version": __version__,
    "appVersion": __version__,
    "kubeVersion": ">=1.29.0-0",
    "icon": "data:image/svg+xml;base64,PHN2ZyB4bWxucz0iaHR0cDovL3d3dy53My5vcmcvMjAwMC9zdmciLz4=",
}
_NOTES = """\
rayfleet {{ .Chart.AppVersion }} is in {{ .Release.Namespace }}. It needs KubeRay 1.3 or newer and the definitions of
the Gateway API; what is missing is in the conditions of fleets and on the controller's /readyz.

  kubectl apply -f FLEET.yaml
  kubectl wait rcf/NAME --for=condition=Available
{{- if .Values.gateway.enabled }}
  kubectl -n {{ .Release.Namespace }} port-forward service/rayfleet-gateway 8000:{{ .Values.gateway.service.port }}
{{- end }}

`helm uninstall` takes controller and gateway away; fleets go on serving
{{- if .Values.crds.keep }}, and their definitions stay{{ end }}.
"""


def install_objects(given: ReadOnlyJson, namespace: str = DEFAULT_NAMESPACE) -> list[Json]:
    """Return everything to apply, in this order, the namespace first. Raises ManifestError for wrong values."""
    inputs = Inputs(values=checked_values(given), namespace=namespace, files=chart_only_files())
    documents = [tree for trees in templates().values() for tree in trees]
    return [_namespace(namespace), *(each for tree in documents for each in filled(tree, inputs))]


def templates() -> Mapping[str, list[Any]]:
    """Return the documents of the chart, by the name of their template file, in the order of their installation."""
    return {
        "crds": [When("crds.install", _kept(crd)) for crd in fleet_crds()],
        "controller-rbac": _roles("controller"),
        "gateway-rbac": [When("gateway.enabled", each) for each in _roles("gateway")],
        "users-rbac": _roles("users"),
        "controller": controller_objects(),
        "gateway": gateway_objects(),
        "gateway-api": gateway_api_objects(),
        "network-policies": network_policies(),
        "monitoring": monitoring_objects(),
    }


def chart_files() -> dict[str, str]:
    """Return the generated files of the chart, by their path in it."""
    texts = {f"templates/{name}.yaml": template_text(documents) for name, documents in templates().items()}
    return {
        "Chart.yaml": yaml.safe_dump(dict(_CHART_YAML), sort_keys=False, width=120),
        "values.yaml": values_yaml(),
        "values.schema.json": _json_text(json_schema()),
        "templates/NOTES.txt": _NOTES,
        **texts,
    }


def chart_only_files() -> dict[str, str]:
    """Return the files that are written by hand, dashboards and alert rules, by their path in the chart."""
    return {name: (CHART / name).read_text(encoding="utf-8") for name in (*map(dashboard_file, DASHBOARDS), RULES_FILE)}


def _namespace(name: str) -> Json:
    labels = {"pod-security.kubernetes.io/enforce": "restricted", "app.kubernetes.io/name": "rayfleet"}
    return {
        "apiVersion": NAMESPACES.api_version,
        "kind": NAMESPACES.kind,
        "metadata": {"name": name, "labels": labels},
    }


def _kept(crd: Json) -> Json:
    """Return a definition that stays when the release goes, if the values say so."""
    meta = {**crd["metadata"], "annotations": When("crds.keep", {_KEEP: "keep"})}
    return {**crd, "metadata": meta}


def _roles(name: str) -> list[Any]:
    text = (_ROLES / f"{name}.yaml").read_text(encoding="utf-8")
    return [_in_namespace(document) for document in yaml.safe_load_all(text)]


def _in_namespace(tree: Any) -> Any:
    """Return a tree that stands in the installation's namespace instead of the default one."""
    if isinstance(tree, dict):
        return {name: _in_namespace(value) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_in_namespace(each) for each in tree]
    return Namespace() if tree == DEFAULT_NAMESPACE else tree


def _json_text(value: ReadOnlyJson) -> str:
    return json.dumps(value, indent=2) + "\n"
