"""Pods as KubeRay writes them, adapted to a machine that all pods share."""

from typing import Any

import pytest

from rayfleet.local.node.loopback import (
    NotResolved,
    PodNetwork,
    behind_service,
    beside_ray,
    localized_environment,
    localized_ray_start,
    localized_text,
    localized_words,
    pod_network,
    ray_command,
)

# Word for word from a pod that KubeRay 1.5 made.
HEAD_COMMAND = (
    "ray start --head  --block  --dashboard-agent-listen-port=52365  --dashboard-host=0.0.0.0  --memory=8589934592"
    "  --metrics-export-port=8080  --node-manager-port=6380  --num-cpus=4  --num-gpus=1 "
)
FQDN = "one-head-svc.default.svc.cluster.local"
WORKER_COMMAND = (
    f"ray start  --address={FQDN}:6379  --block  --dashboard-agent-listen-port=52365  --metrics-export-port=8080"
    "  --node-manager-port=6380  --num-cpus=1  --resources='{\"TPU\": 4}' "
)


def pod(command: str, **container: Any) -> dict[str, Any]:
    env = [{"name": "KUBERAY_GEN_RAY_START_CMD", "value": command}]
    return {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "ray", "env": env, **container}]}}


HEAD = pod_network(pod(HEAD_COMMAND), "127.77.0.2", 10100, "/run/r/ab")
WORKER = pod_network(pod(WORKER_COMMAND), "127.77.0.3", 10160, "/run/r/ab")


def resolve(namespace: str, name: str) -> PodNetwork | None:
    return HEAD if (namespace, name) == ("default", "one-head-svc") else None


def test_a_head_gets_its_address_its_ports_and_its_folder() -> None:
    assert localized_ray_start(HEAD_COMMAND, HEAD).split() == [
        "ray",
        "start",
        "--head",
        "--block",
        "--dashboard-agent-listen-port=10104",
        "--dashboard-host=127.77.0.2",
        "--memory=8589934592",
        "--metrics-export-port=10107",
        "--node-manager-port=10101",
        "--num-cpus=4",
        "--num-gpus=1",
        "--port=10100",
        "--object-manager-port=10102",
        "--dashboard-port=10103",
        "--dashboard-agent-grpc-port=10105",
        "--runtime-env-agent-port=10106",
        "--node-ip-address=127.77.0.2",
        "--temp-dir=/run/r/ab",
        "--min-worker-port=10110",
        "--max-worker-port=10159",
        "--object-store-memory=80000000",
        "--disable-usage-stats",
        "--include-dashboard=false",
    ]


def test_a_worker_goes_to_the_heads_real_port_and_keeps_its_quotes() -> None:
    words = localized_environment({"KUBERAY_GEN_RAY_START_CMD": WORKER_COMMAND}, WORKER, resolve)
    command = words["KUBERAY_GEN_RAY_START_CMD"]
    assert command.startswith("ray start --address=127.77.0.2:10100 --block")
    assert "--resources='{\"TPU\": 4}'" in command
    assert "--port=" not in command
    assert "dashboard-port" not in command
    assert "include-dashboard" not in command
    assert "--include-log-monitor=false" in command  # the head's reads the files of both


def test_what_a_person_asked_for_stays() -> None:
    asked = f"{HEAD_COMMAND} --include-dashboard=true  --object-store-memory=200000000  --num-cpus=$CORES "
    command = localized_ray_start(asked, HEAD)
    assert "--include-dashboard=true" in command
    assert "--object-store-memory=200000000" in command
    assert "--num-cpus=$CORES" in command  # for the shell to replace
    assert "--include-log-monitor=true" in localized_ray_start(f"{WORKER_COMMAND} --include-log-monitor=true ", WORKER)


def test_ports_that_are_references_do_not_stop_a_pod() -> None:
    network = pod_network(pod("ray start --head  --port=$PORT "), "127.77.0.2", 10100, "/r")
    assert network.port_map[6379] == 10100


def test_the_environment_of_a_head() -> None:
    declared = {"KUBERAY_GEN_RAY_START_CMD": HEAD_COMMAND, "RAY_PORT": "6379", "RAY_ADDRESS": "127.0.0.1:6379"}
    found = localized_environment(declared, HEAD, resolve)
    assert found["RAY_ADDRESS"] == "127.77.0.2:10100"
    assert found["RAY_PORT"] == "10100"
    assert found["RAY_AUTH_MODE"] == "disabled"


def test_the_environment_of_a_worker() -> None:
    declared = {
        "FQ_RAY_IP": FQDN,
        "RAY_IP": "one-head-svc",
        "KUBERAY_GEN_RAY_START_CMD": WORKER_COMMAND,
        "RAY_PORT": "6379",
        "RAY_ADDRESS": f"{FQDN}:6379",
        "RAY_AUTH_MODE": "token",
    }
    found = localized_environment(declared, WORKER, resolve)
    assert found["FQ_RAY_IP"] == found["RAY_IP"] == "127.77.0.2"
    assert found["RAY_ADDRESS"] == "127.77.0.2:10100"
    assert found["RAY_PORT"] == "10100"
    assert found["RAY_AUTH_MODE"] == "token"


def test_the_generated_command_in_the_arguments_is_adapted_too() -> None:
    args = f"ulimit -n ${{RAY_START_ULIMIT_OPEN_FILES:-65536}}; {HEAD_COMMAND}"
    words = localized_words(["/bin/bash", "-c", "--", args], {"KUBERAY_GEN_RAY_START_CMD": HEAD_COMMAND}, HEAD, resolve)
    assert words[:3] == ["/bin/bash", "-c", "--"]
    assert words[3].startswith("ulimit -n ${RAY_START_ULIMIT_OPEN_FILES:-65536}; ray start --head --block")
    assert words[3].count("--node-ip-address=127.77.0.2") == 1


def test_a_script_that_evaluates_the_command_stays_as_it_is_but_for_addresses() -> None:
    script = (
        'eval "$KUBERAY_GEN_RAY_START_CMD" &\nuntil curl http://127.0.0.1:8265; do sleep 1; done\nserve --port 8000'
    )
    words = localized_words(["bash", "-c", script], {"KUBERAY_GEN_RAY_START_CMD": HEAD_COMMAND}, HEAD, resolve)
    assert words[2] == script.replace("127.0.0.1:8265", "127.77.0.2:10103")


@pytest.mark.parametrize(
    "written",
    [
        "ray start --head --port=6379 --num-cpus=1",
        "ray start --head --port 6379 --num-cpus 1",
        "ray start --head \\\n  --port 6379 \\\n --num-cpus=1",
    ],
)
def test_a_ray_start_that_a_person_wrote_is_adapted(written: str) -> None:
    words = localized_words(
        ["bash", "-c", f"{written} && echo up"], {"KUBERAY_GEN_RAY_START_CMD": HEAD_COMMAND}, HEAD, resolve
    )
    assert words[2].startswith("ray start --head --port=10100 --num-cpus=1")
    assert "--node-ip-address=127.77.0.2" in words[2]
    assert words[2].endswith(" && echo up")


@pytest.mark.parametrize("text", ["echo 'about ray start and more'", "ray start; echo", "use xray start --head"])
def test_prose_about_ray_start_is_left_alone(text: str) -> None:
    assert localized_words(["bash", "-c", text], {}, HEAD, resolve)[2] == text


@pytest.mark.parametrize(
    ("words", "adapted"),
    [
        (["ray", "stop"], ["true"]),
        (["/bin/sh", "-c", "ray stop"], ["/bin/sh", "-c", "true"]),
        (["/bin/sh", "-c", "sleep 3; ray stop --force; echo"], ["/bin/sh", "-c", "sleep 3; true; echo"]),
        (["/bin/sh", "-c", "echo xray stop"], ["/bin/sh", "-c", "echo xray stop"]),
    ],
)
def test_ray_stop_never_runs_because_it_ends_other_pods(words: list[str], adapted: list[str]) -> None:
    assert localized_words(words, {}, WORKER, resolve) == adapted


def test_a_login_shell_becomes_a_plain_one() -> None:
    assert localized_words(["/bin/bash", "-lc", "--", "true"], {}, WORKER, resolve)[1] == "-c"


@pytest.mark.parametrize(
    ("text", "adapted"),
    [
        ("http://localhost:8000/v1", "http://127.77.0.2:8000/v1"),
        ("127.0.0.1:52365", "127.77.0.2:10104"),
        ("--host 0.0.0.0 --port 8000", "--host 127.77.0.2 --port 8000"),
        ("--host=localhost", "--host=127.77.0.2"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("10.127.0.0.1", "10.127.0.0.1"),
        ("127.0.0.10:6379", "127.0.0.10:6379"),
        ("localhost.example.com", "localhost.example.com"),
        ("one-head-svc.default.svc", "127.77.0.2"),
        ("one-head-svc.default.svc:10001", "127.77.0.2:10108"),
        ("one-head-svc.default.svc.corp.example:8000/x", "127.77.0.2:8000/x"),
        ("registry.example.com/team/app", "registry.example.com/team/app"),
    ],
)
def test_names_of_this_pod_and_of_services(text: str, adapted: str) -> None:
    assert localized_text(text, HEAD, resolve) == adapted


def test_lists_of_direct_hosts_stay() -> None:
    assert localized_environment({"NO_PROXY": "localhost,127.0.0.1"}, HEAD, resolve) == {
        "NO_PROXY": "localhost,127.0.0.1"
    }


def test_an_unknown_service_is_waited_for_by_name() -> None:
    with pytest.raises(NotResolved, match="Service other/missing has no address yet"):
        localized_text("missing.other.svc.cluster.local:80", HEAD, resolve)


def test_beside_ray_port_8080_is_the_sidecars() -> None:
    sidecar = beside_ray(HEAD)
    assert localized_text("localhost:8080 localhost:8265", sidecar, resolve) == "127.77.0.2:8080 127.77.0.2:10103"


def test_a_services_port_leads_to_its_target_port() -> None:
    service = {
        "spec": {
            "ports": [
                {"port": 80, "targetPort": "serve"},
                {"port": 81, "targetPort": 6379},
                {"port": 82},
                {"port": 83, "targetPort": "missing"},
            ]
        }
    }
    target = pod(HEAD_COMMAND, ports=[{"name": "serve", "containerPort": 8000}])
    seen = behind_service(HEAD, target, service)
    assert [seen.port_map.get(port) for port in (80, 81, 82, 83)] == [8000, 10100, 82, None]


def test_a_pod_without_ray_has_an_address_and_no_ports() -> None:
    plain = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "web"}]}}
    assert ray_command(plain) == ""
    assert pod_network(plain, "127.77.0.9", 10520, "").port_map == {}
