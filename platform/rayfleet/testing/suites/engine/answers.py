"""Checks of the launch plan as data: what is named, what fits beside Ray and the sidecar, what must not stand there."""

import re
from dataclasses import replace
from importlib.metadata import entry_points

from rayfleet.manifest.ray_template import ray_template_errors
from rayfleet.model.ports import SIDECAR_PORT
from rayfleet.model.serving import Backend
from rayfleet.planning.render import NODE_MANAGER_PORT, RAY_PORTS
from rayfleet.plugin.contracts import ENTRY_POINT_GROUP
from rayfleet.plugin.registry import load
from rayfleet.testing.launching import bash_problem
from rayfleet.testing.suites.engine.promises import ENGINE, HOOK, NODE, PLAN, PROBE, promise
from rayfleet.testing.suites.engine.tested import TestedEngine, nodes_of

SECRET = "a-token-that-must-not-be-written-down"  # noqa: S105 - a test's own
_SECRET_NAME = re.compile(r"TOKEN|SECRET|PASSWORD|CREDENTIAL|API_?KEY", re.IGNORECASE)
_EVERY_ADDRESS = re.compile(r"(?<![\d.])0\.0\.0\.0(?![\d.])|\[::\]")
_IMAGE = re.compile(r"[a-z0-9][a-z0-9./_-]*(:[\w.-]+)?(@sha256:[0-9a-f]{64})?")
# Set by Kubernetes, by KubeRay or by rayfleet in every Ray container.
_VARIABLE_OF_OTHERS = re.compile(r"POD_IP|FQ_RAY_IP|RAY_(IP|PORT|ADDRESS|AUTH_.*|CLUSTER_NAME)|KUBERAY_.*")
_FLAGS_OF_OTHERS = frozenset(
    {"head", "address", "port", "block", "node-ip-address", "node-manager-port", "metrics-export-port", "temp-dir"}
)
# Ray hands the driver's variables of these engines' and libraries' prefixes on to every rank; the interfaces and
# devices of one node are not those of another (vLLM 0.32.0, `ray_env.py`; NCCL and UCX, "Environment Variables").
_OF_ONE_NODE = re.compile(r".*_(SOCKET_IFNAME|NET_DEVICES|IB_HCA)|(CUDA|HIP|ROCR|NVIDIA)_VISIBLE_DEVICES|LD_PRELOAD")
# Besides plain names the function of rayfleet.plugin.rank_frame, which bash takes from the environment.
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|BASH_FUNC_ray%%")
_FLAG = re.compile(r"[a-z][a-z0-9-]*")
_MOST_SCRIPT = 128 * 1024 - 1  # of one argument of a program (Linux, MAX_ARG_STRLEN), its last byte included
_MOST_PLAN = 400 * 1024  # etcd takes objects of 1.5 MiB, and a RayCluster holds each script about twice
_RAY_WORKER_PORTS = range(10002, 20000)  # `ray start`, --min-worker-port and --max-worker-port


class AnswerChecks(TestedEngine):
    """The engine as data."""

    @promise(HOOK)
    def test_its_plugin_contributes_it(self) -> None:
        """The registry takes it, by the hook alone."""
        installed = [point.name for point in entry_points(group=ENTRY_POINT_GROUP)]
        engines = load(disabled=installed, extra={"tested": self.plugin}).engines
        assert self.name in engines, f"the plugin contributes {', '.join(engines) or 'no engine'}, not {self.name!r}"

    @promise(ENGINE)
    def test_what_it_can_do_has_no_problem(self) -> None:
        """On each number of nodes, with its arguments and without."""
        for nodes in self.node_counts:
            serving = self.serving(nodes)
            for each in (serving, replace(serving, arguments=self.arguments)):
                problems = self.engine.problems(each)
                assert problems == (), f"on {nodes} nodes with {each.arguments}: {'; '.join(map(str, problems))}"

    @promise(PLAN)
    def test_its_image_and_its_ray_are_named(self) -> None:
        """They are taken unless the manifest names others."""
        for plan in self.plans():
            assert _IMAGE.fullmatch(plan.image), f"{plan.image!r} is no image"
            assert re.fullmatch(r"\d+\.\d+\.\d+", plan.ray_version), f"{plan.ray_version!r} is no version of Ray"

    @promise(PROBE)
    def test_the_sidecar_can_ask_it(self) -> None:
        """Paths begin at the root of the head's own address."""
        for plan in self.plans():
            for path in (plan.probe.health_path, plan.probe.metrics_path, plan.probe.nodes_path):
                assert re.fullmatch(r"/[\w./-]*", path), f"{path!r} is no path: write it from /, without an address"

    @promise(PROBE)
    def test_its_ports_are_its_own(self) -> None:
        """Ray's daemons, the sidecar and the engine share one address."""
        for plan in self.plans():
            ports = {plan.probe.port, plan.probe.nodes_port or plan.probe.port}
            taken = ports & {*RAY_PORTS.values(), NODE_MANAGER_PORT, SIDECAR_PORT}
            assert taken == set(), f"{taken} are Ray's or the sidecar's"
            assert all(0 < port < 65536 for port in ports), f"{ports} are no ports"

    @promise(PROBE)
    def test_its_ports_need_no_root_and_are_not_rays_to_give(self) -> None:
        """Ports below 1024 are root's; Ray gives those from 10002 to 19999 to its own workers."""
        for plan in self.plans():
            for port in (plan.probe.port, plan.probe.nodes_port or plan.probe.port):
                assert port >= 1024, f"port {port} wants root, and pods may run without"
                assert port not in _RAY_WORKER_PORTS, f"Ray gives port {port} to its workers"

    @promise(PROBE)
    def test_what_sleeps_can_be_woken(self) -> None:
        """Both paths or neither, each from the root, perhaps with a query."""
        for plan in self.plans():
            paths = [path for path in (plan.probe.sleep_path, plan.probe.wake_path) if path]
            assert len(paths) != 1, f"{paths[0]} is one of two: name sleep_path and wake_path, or neither"
            odd = [path for path in paths if not re.fullmatch(r"/[\w./-]*(\?[\w=&.-]*)?", path)]
            assert odd == [], f"{odd} are no paths"

    @promise(PROBE)
    def test_its_load_is_a_number_somewhere(self) -> None:
        """A path from the root and a key, ``/load#server_load``; beside series that tell of requests and of steps."""
        for plan in self.plans():
            path, traffic = plan.probe.load_path, plan.probe.traffic
            assert not path or re.fullmatch(r"/[\w./-]*#\w+", path), f"{path!r} is no path and key of a JSON object"
            assert not path or (traffic.running and traffic.steps), "load is for what `running` and `steps` miss"

    @promise(PLAN)
    def test_its_plan_says_how_it_spans_its_nodes(self) -> None:
        """On Ray or without; ``auto`` was decided by whoever made the plan."""
        for plan in self.plans():
            assert plan.backend is not Backend.AUTO, "a plan's backend is ray or mp; decide it in launch_plan()"
            assert "\n" not in plan.backend_reason

    @promise(PLAN)
    def test_without_ray_each_node_has_its_rank(self) -> None:
        """One launch for each node after the head, in order; on Ray there are none, for all workers are alike."""
        for serving in self.servings():
            nodes, plan = serving.nodes, self.engine.launch_plan(serving)
            expected = nodes - 1 if plan.backend is Backend.MP else 0
            assert len(plan.ranks) == expected, f"{nodes} nodes by {plan.backend} have {len(plan.ranks)} ranks"
            if plan.backend is Backend.MP:
                assert plan.worker == (plan.ranks or (plan.head,))[0], "worker is the first of ranks, or the head"

    @promise(NODE)
    def test_its_ray_cluster_is_accepted(self) -> None:
        """As if a person had written it."""
        for serving in self.servings():
            template = self.rendered(serving)
            errors = ray_template_errors(template.spec, dict(template.annotations), "spec")
            assert errors == (), f"on {serving.nodes} nodes: {'; '.join(map(str, errors))}"

    @promise(NODE)
    def test_nothing_listens_on_every_address(self) -> None:
        """Neither by a script nor by a variable nor by a flag."""
        for launch in self.launches():
            text = f"{launch.script}\n{dict(launch.environment)}\n{dict(launch.ray_start_params)}"
            assert _EVERY_ADDRESS.findall(text) == [], 'listen on "$POD_IP": others reach the pod by it, and no others'

    @promise(NODE)
    def test_it_sets_nothing_that_others_set(self) -> None:
        """Neither in the environment nor among the flags of Ray, which stand without dashes."""
        for launch in self.launches():
            variables = [name for name in launch.environment if _VARIABLE_OF_OTHERS.fullmatch(name)]
            assert variables == [], f"{variables} are set by Kubernetes, KubeRay or rayfleet"
            flags = [name for name in launch.ray_start_params if name in _FLAGS_OF_OTHERS or name[:1] == "-"]
            assert flags == [], f"{flags} are set by KubeRay or rayfleet, or begin with a dash"

    @promise(NODE)
    def test_its_variables_and_flags_can_be_set(self) -> None:
        """Names that a shell and ``ray start`` take, values without a line's end or a NUL."""
        for launch in self.launches():
            names = [name for name in launch.environment if not _VARIABLE.fullmatch(name)]
            assert names == [], f"{names} are no names of variables"
            flags = [name for name in launch.ray_start_params if not _FLAG.fullmatch(name)]
            assert flags == [], f"{flags} are no flags of `ray start` without dashes"
            values = (*launch.environment.values(), *launch.ray_start_params.values())
            odd = [value for value in values if "\0" in str(value) or "\n" in str(value)]
            assert odd == [], f"{odd} hold a line's end or a NUL"

    @promise(NODE)
    def test_no_variable_of_one_node_travels(self) -> None:
        """Interfaces and devices are a node's own, and Ray copies the head's variables to every rank."""
        for launch in self.launches():
            names = [name for name in launch.environment if _OF_ONE_NODE.fullmatch(name)]
            assert names == [], f"{names} are true of one node alone: leave them to the manifest or to the image"

    @promise(NODE)
    def test_it_writes_no_secret_down(self) -> None:
        """Who may read a pod reads its scripts and its variables."""
        for serving in self.servings():
            plan = self.engine.launch_plan(replace(serving, environment={"HF_TOKEN": SECRET}))
            assert SECRET not in f"{plan.bring}{plan.image}", "a value of spec.serving.env is in the plan"
            for launch in nodes_of(plan):
                text = f"{launch.script}{dict(launch.environment)}{dict(launch.ray_start_params)}"
                assert SECRET not in text, "a value of spec.serving.env is in it; the core puts it where it belongs"
                names = [name for name in launch.environment if _SECRET_NAME.search(name)]
                assert names == [], f"{names} are secrets: they come from the manifest, by reference"

    @promise(NODE)
    def test_its_scripts_are_bash(self) -> None:
        """Whether or not every line of them is run by the other tests."""
        for launch in self.launches():
            assert bash_problem(launch.script) == ""

    @promise(NODE)
    def test_kubernetes_leaves_its_scripts_as_they_are(self) -> None:
        """In a container's args ``$$`` becomes ``$``, and ``$(NAME)`` a variable ("Define a Command and Arguments")."""
        for launch in self.launches():
            changed = re.findall(r"\$\$|\$\(\w+\)", launch.script)
            assert changed == [], f"Kubernetes would change {changed}: write `$( name )`, with spaces"

    @promise(NODE)
    def test_linux_and_etcd_take_its_scripts(self) -> None:
        """A script is one argument of bash, and the whole plan a part of one object."""
        for plan in self.plans():
            sizes = [len(node.script.encode()) for node in nodes_of(plan)]
            assert max(sizes) <= _MOST_SCRIPT, f"a script of {max(sizes)} bytes: no program takes an argument that long"
            assert len(repr(plan).encode()) <= _MOST_PLAN, f"a plan of {len(repr(plan))} bytes is no object for etcd"

    @promise(PLAN)
    def test_what_brings_the_model_is_one_line_of_bash(self) -> None:
        """It runs alone in a pod of its own; empty where there is nothing to bring."""
        for plan in self.plans():
            assert bash_problem(plan.bring) == ""
            assert "\n" not in plan.bring, f"bring is one command: {plan.bring!r}"
