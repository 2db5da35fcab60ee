"""Checks of what an engine says: problems, launch plan, and what its import costs."""

import re
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import entry_points

from rayfleet.manifest.ray_template import ray_template_errors
from rayfleet.model.ports import SIDECAR_PORT
from rayfleet.planning.render import NODE_MANAGER_PORT, RAY_PORTS
from rayfleet.plugin.contracts import ENTRY_POINT_GROUP
from rayfleet.plugin.registry import load
from rayfleet.testing.suites.engine.tested import TestedEngine

SECRET = "a-token-that-must-not-be-written-down"  # noqa: S105 - a test's own
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|CREDENTIAL|API_?KEY", re.IGNORECASE)
_EVERY_ADDRESS = re.compile(r"(?<![\d.])0\.0\.0\.0(?![\d.])|\[::\]")
_SERIES = re.compile(r'[a-zA-Z_:][\w:]*(\{\w+="[^"\s,]*"(,\w+="[^"\s,]*")*\})?')
_IMAGE = re.compile(r"[a-z0-9][a-z0-9./_-]*(:[\w.-]+)?(@sha256:[0-9a-f]{64})?")
# Set by Kubernetes, by KubeRay or by rayfleet in every Ray container.
_VARIABLE_OF_OTHERS = re.compile(r"POD_IP|FQ_RAY_IP|RAY_(IP|PORT|ADDRESS|AUTH_.*|CLUSTER_NAME)|KUBERAY_.*")
_FLAGS_OF_OTHERS = frozenset(
    {"head", "address", "port", "block", "node-ip-address", "node-manager-port", "metrics-export-port", "temp-dir"}
)


class AnswerChecks(TestedEngine):
    """The engine as data."""

    def test_its_plugin_contributes_it(self) -> None:
        """The registry takes it, by the hook alone."""
        installed = [point.name for point in entry_points(group=ENTRY_POINT_GROUP)]
        assert self.name in load(disabled=installed, extra={"tested": self.plugin}).engines

    def test_what_it_can_do_has_no_problem(self) -> None:
        """On each number of nodes, with its arguments and without."""
        for nodes in self.node_counts:
            serving = self.serving(nodes)
            assert self.engine.problems(serving) == ()
            assert self.engine.problems(replace(serving, arguments=self.arguments)) == ()

    def test_its_answers_follow_from_the_serving_alone(self) -> None:
        """Two processes agree: a plan that varies would replace every replica again and again."""
        first, second = (self.asked_anew(self.most, seed).answers for seed in ("1", "2"))
        assert first == second

    def test_it_is_imported_without_its_engine(self) -> None:
        """Every process loads every plugin: the standard library, rayfleet and the plugin itself have to do."""
        own = {"rayfleet", "pluggy", self.plugin.__name__.partition(".")[0], *sys.stdlib_module_names}
        imported = self.asked_anew(self.most, "1").imported
        assert [name for name in imported if name.partition(".")[0] not in own or name == "asyncio"] == []

    def test_its_image_and_its_ray_are_named(self) -> None:
        """They are taken unless the manifest names others."""
        for plan in self.plans():
            assert _IMAGE.fullmatch(plan.image), plan.image
            assert re.fullmatch(r"\d+\.\d+\.\d+", plan.ray_version), plan.ray_version

    def test_the_sidecar_can_ask_it(self) -> None:
        """Paths begin at the root of the head's own address."""
        for plan in self.plans():
            for path in (plan.probe.health_path, plan.probe.metrics_path, plan.probe.nodes_path):
                assert re.fullmatch(r"/[\w./-]*", path), path

    def test_its_series_can_be_told_to_the_sidecar(self) -> None:
        """Names with perhaps some labels, as the metrics page writes them; a space would part one in two."""
        for plan in self.plans():
            traffic = plan.probe.traffic
            for series in (*traffic.running, *traffic.waiting, *traffic.steps, *traffic.served, *traffic.failed):
                assert _SERIES.fullmatch(series), series
            assert traffic.running or not traffic.steps, "steps are compared with what runs"

    def test_its_ports_are_its_own(self) -> None:
        """Ray's daemons, the sidecar and the engine share one address."""
        for plan in self.plans():
            ports = {plan.probe.port, plan.probe.nodes_port or plan.probe.port}
            assert ports & {*RAY_PORTS.values(), NODE_MANAGER_PORT, SIDECAR_PORT} == set()
            assert all(0 < port < 65536 for port in ports), ports

    def test_its_ray_cluster_is_accepted(self) -> None:
        """As if a person had written it."""
        for nodes in self.node_counts:
            template = self.rendered(self.serving(nodes))
            assert ray_template_errors(template.spec, dict(template.annotations), "spec") == ()

    def test_nothing_listens_on_every_address(self) -> None:
        """Neither by a script nor by a variable nor by a flag."""
        for launch in self.launches():
            text = f"{launch.script}\n{dict(launch.environment)}\n{dict(launch.ray_start_params)}"
            assert _EVERY_ADDRESS.findall(text) == []

    def test_it_sets_nothing_that_others_set(self) -> None:
        """Neither in the environment nor among the flags of Ray, which stand without dashes."""
        for launch in self.launches():
            assert [name for name in launch.environment if _VARIABLE_OF_OTHERS.fullmatch(name)] == []
            assert [name for name in launch.ray_start_params if name in _FLAGS_OF_OTHERS or name[0] == "-"] == []

    def test_it_writes_no_secret_down(self) -> None:
        """Who may read a pod reads its scripts and its variables."""
        serving = replace(self.most, environment={"HF_TOKEN": SECRET})
        plan = self.engine.launch_plan(serving)
        for launch in (plan.head, plan.worker):
            assert SECRET not in launch.script
            assert [name for name in launch.environment if _SECRET_NAME.search(name)] == []

    def test_its_scripts_are_bash(self) -> None:
        """Whether or not every line of them is run by the other tests."""
        for launch in self.launches():
            done = subprocess.run(
                ["/bin/bash", "-n", "-c", launch.script], capture_output=True, text=True, timeout=30, check=False
            )
            assert (done.returncode, done.stderr) == (0, "")

    def test_kubernetes_leaves_its_scripts_as_they_are(self) -> None:
        """In a container's args ``$$`` becomes ``$``, and ``$(NAME)`` a variable ("Define a Command and Arguments")."""
        for launch in self.launches():
            assert re.findall(r"\$\$|\$\(\w+\)", launch.script) == []
