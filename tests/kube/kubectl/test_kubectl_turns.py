"""Users who apply with kubectl and with rayfleet in turns, on our server as on the real one."""

import json
import subprocess

from click.testing import CliRunner

from rayfleet.cli.main import rayfleet_group
from rayfleet.model.json import ReadOnlyJson
from rayfleet.testing.kubectl import LIMIT_SECONDS, Kubectl, config_map, fleet, service


def applied(kubectl: Kubectl, manifest: ReadOnlyJson) -> str:
    """Apply with rayfleet; return the word for what was done."""
    arguments = ["apply", "-f", "-", "-n", kubectl.namespace]
    done = CliRunner().invoke(rayfleet_group, arguments, input=json.dumps(manifest), env=kubectl.environment)
    assert done.exit_code == 0, done.output
    return done.output.split()[-1]


def complaints(kubectl: Kubectl, manifest: ReadOnlyJson) -> str:
    """Apply with kubectl; return what it said beside the result."""
    done = subprocess.run(
        [kubectl.program, "-n", kubectl.namespace, "apply", "-f", "-"],
        input=json.dumps(manifest),
        env=kubectl.environment,
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=True,
    )
    return done.stderr


def test_each_removes_what_left_the_manifest_that_the_other_applied(kubectl: Kubectl) -> None:
    assert applied(kubectl, config_map(a="1", b="<&>")) == "created"
    assert complaints(kubectl, config_map(a="1")) == ""
    assert kubectl.object("get", "configmap", "settings")["data"] == {"a": "1"}
    kubectl.apply(config_map(a="1", c="3"))
    assert applied(kubectl, config_map(a="1")) == "configured"
    assert kubectl.object("get", "configmap", "settings")["data"] == {"a": "1"}


def test_the_same_manifest_is_no_change_to_either(kubectl: Kubectl) -> None:
    manifest = fleet()
    manifest["metadata"]["annotations"] = {"kubernetes.io/change-cause": "a < b & c > d, é"}
    assert kubectl.apply(manifest).split()[-1] == "created"
    assert applied(kubectl, manifest) == "unchanged"
    assert kubectl.apply(manifest).split()[-1] == "unchanged"
    assert applied(kubectl, service()) == "created"
    assert kubectl.apply(service()).split()[-1] == "unchanged"


def test_ports_of_a_service_are_merged_as_kubectl_merges_them(kubectl: Kubectl) -> None:
    assert applied(kubectl, service()) == "created"
    more = service()
    more["spec"]["ports"].append({"name": "metrics", "port": 9090})
    assert applied(kubectl, more) == "configured"
    assert applied(kubectl, more) == "unchanged"
    assert kubectl.apply(more).split()[-1] == "unchanged"
    assert applied(kubectl, service()) == "configured"
    assert [port["name"] for port in kubectl.object("get", "service", "web")["spec"]["ports"]] == ["http"]


def test_a_port_that_speaks_two_protocols_keeps_both(kubectl: Kubectl) -> None:
    dns = service()
    dns["spec"]["ports"] = [
        {"name": "tcp", "port": 53, "protocol": "TCP"},
        {"name": "udp", "port": 53, "protocol": "UDP"},
    ]
    assert applied(kubectl, dns) == "created"
    dns["spec"]["ports"][0]["name"] = "other"
    assert applied(kubectl, dns) == "configured"
    stored = kubectl.object("get", "service", "web")["spec"]["ports"]
    assert [(port["name"], port["protocol"]) for port in stored] == [("other", "TCP"), ("udp", "UDP")]
