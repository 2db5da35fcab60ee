"""A real Prometheus as a user runs one: a pod of another namespace, with a service account of its own.

It scrapes what the installed monitors name and evaluates the installed rules; it is asked through the API server. A
script beside it (``discovery.py``) finds the targets, with the rights of their account.
"""

import json
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from tests.kubernetes.installation import in_namespace
from tests.kubernetes.scraping import scrape_configurations, with_files

from rayfleet.model.json import Json
from rayfleet.testing.kubectl import Kubectl
from rayfleet.testing.realkube.files import Progress
from rayfleet.testing.realnode.images import CONTROLLER
from rayfleet.testing.realnode.prometheus import PrometheusPrograms
from rayfleet.testing.waiting import wait_until

NAME = "prometheus"
PLACE = "monitoring"
LIMIT_SECONDS = 180.0

_DISCOVERY = Path(__file__).with_name("discovery.py")
_PORT = 9090
_PROXY = f"/api/v1/namespaces/{PLACE}/pods/{NAME}:{_PORT}/proxy/api/v1"
_MONITORS = "servicemonitors.monitoring.coreos.com,podmonitors.monitoring.coreos.com"
_SECONDS = {"scrape_interval": "3s", "scrape_timeout": "3s", "evaluation_interval": "3s"}


class Prometheus:
    """What a running one answers."""

    def __init__(self, kubectl: Kubectl, rules: Json) -> None:
        self.rules = rules
        self._kubectl = kubectl

    def asked(self, path: str, **arguments: str) -> Json:
        """Return the data that its HTTP API gives. Fails with its words."""
        query = f"?{urlencode(arguments)}" if arguments else ""
        answer: Json = json.loads(self._kubectl("get", "--raw", f"{_PROXY}/{path}{query}"))
        assert answer["status"] == "success", answer
        return {"of": answer["data"]}

    def query(self, expression: str) -> list[Json]:
        """Return the series that an expression has now."""
        found: list[Json] = self.asked("query", query=expression)["of"]["result"]
        return found


def start(kubectl: Kubectl, programs: PrometheusPrograms, tell: Progress) -> Prometheus:
    """Let it run beside an installation that has monitors and rules, and return when it scrapes all of them."""
    system = in_namespace(kubectl)
    monitors = system.object("get", _MONITORS)["items"]
    rules = system.object("get", "prometheusrules.monitoring.coreos.com", "rayfleet")["spec"]
    configuration: Json = {
        "global": _SECONDS,
        "rule_files": ["/configuration/rules.json"],
        "scrape_configs": [with_files(each, "/targets") for each in scrape_configurations(monitors)],
    }
    files = {
        "prometheus.json": json.dumps(configuration),
        "rules.json": json.dumps(rules),
        _DISCOVERY.name: _DISCOVERY.read_text(encoding="utf-8"),
    }
    prometheus = Prometheus(kubectl, rules)
    place = Kubectl(program=kubectl.program, environment=kubectl.environment, namespace=PLACE)
    place.apply(*_objects(files, str(programs.folder)))
    wait_until(_ready(place), f"the pod {NAME} is ready", LIMIT_SECONDS, every=0.5)
    jobs = {each["job_name"] for each in configuration["scrape_configs"]}
    assert len(jobs) == len(monitors)
    tell(f"Prometheus looks for {', '.join(sorted(jobs))}")
    return prometheus


def _ready(kubectl: Kubectl) -> Callable[[], bool]:
    def is_ready() -> bool:
        conditions = kubectl.object("get", "pod", NAME)["status"].get("conditions", [])
        return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

    return is_ready


def _objects(files: Json, programs: str) -> list[Json]:
    meta = {"name": NAME, "namespace": PLACE}
    rules = [{"apiGroups": [""], "resources": ["services", "endpoints", "pods"], "verbs": ["list"]}]
    account = {"kind": "ServiceAccount", "name": NAME, "namespace": PLACE}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME}
    rbac = "rbac.authorization.k8s.io/v1"
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": PLACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {"apiVersion": rbac, "kind": "ClusterRole", "metadata": {"name": NAME}, "rules": rules},
        {
            "apiVersion": rbac,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME},
            "roleRef": role,
            "subjects": [account],
        },
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": files},
        {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": _pod(programs)},
    ]


def _pod(programs: str) -> Json:
    """Return the pod's specification: the programs lie in a folder of the node, an image has only their libraries."""
    server = {
        "name": NAME,
        "image": CONTROLLER,
        "command": [
            "/programs/prometheus",
            "--config.file=/configuration/prometheus.json",
            "--storage.tsdb.path=/data",
            f"--web.listen-address=:{_PORT}",
        ],
        "ports": [{"containerPort": _PORT}],
        "readinessProbe": {"httpGet": {"path": "/-/ready", "port": _PORT}, "periodSeconds": 1},
    }
    discovery = {
        "name": "discovery",
        "image": CONTROLLER,
        "command": ["python", "/configuration/discovery.py", "/targets"],
    }
    volumes: Json = {
        "programs": {"hostPath": {"path": programs, "type": "Directory"}},
        "configuration": {"configMap": {"name": NAME}},
        "data": {"emptyDir": {}},
        "targets": {"emptyDir": {}},
    }
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in volumes]
    return {
        "serviceAccountName": NAME,
        "containers": [{**each, "volumeMounts": mounts} for each in (server, discovery)],
        "volumes": [{"name": name, **source} for name, source in volumes.items()],
    }
