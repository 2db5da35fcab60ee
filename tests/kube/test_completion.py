"""Completion by the shells' own protocols, towards both API servers: in a real bash, and as the real kubectl asks."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from rayfleet.cli.main import rayfleet_group
from rayfleet.kube.client import KubeClient
from rayfleet.model.resources import FLEETS
from rayfleet.testing.command_line import in_namespace
from rayfleet.testing.fleet_world import fleet_manifest
from rayfleet.testing.realkube import default_cache, ensure_kubectl
from rayfleet.testing.waiting import LIMIT_SECONDS, wait_until

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
# What bash does at Tab: it calls the function that `complete` names with the program, and the words are in COMP_WORDS.
BASH = """
eval "$(rayfleet completion bash)"
[[ $(complete -p rayfleet) =~ -F\\ ([a-z_]+) ]] || exit 3
COMP_WORDS=(rayfleet "$@") COMP_CWORD=$#
"${BASH_REMATCH[1]}" rayfleet
printf '%s\\n' "${COMPREPLY[@]}"
"""
# What zsh's and fish's functions tell by the environment, and how they are answered.
PROTOCOLS = {
    "zsh": ({"COMP_WORDS": "rayfleet completion fi", "COMP_CWORD": "2"}, "plain\nfish\n_\n"),
    "fish": ({"COMP_WORDS": "rayfleet completion fi", "COMP_CWORD": "fi"}, "plain,fish\n"),
}


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """The console scripts of the project, as an installation has them."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, target in tomllib.loads(PROJECT.read_text())["project"]["scripts"].items():
        module, function = target.split(":")
        script = f"#!{sys.executable}\nimport sys\nfrom {module} import {function}\nsys.exit({function}())\n"
        (folder / name).write_text(script)
        (folder / name).chmod(0o700)
    return folder


@pytest.fixture
def environment(programs: Path, tmp_path: Path, request: pytest.FixtureRequest) -> dict[str, str]:
    names = {} if "namespace" not in request.fixturenames else _at(request, tmp_path)
    return {"PATH": f"{programs}:{os.environ['PATH']}", "HOME": str(tmp_path), "XDG_STATE_HOME": str(tmp_path)} | names


def _at(request: pytest.FixtureRequest, folder: Path) -> dict[str, str]:
    kubeconfig, namespace = request.getfixturevalue("kubeconfig"), request.getfixturevalue("namespace")
    return {"KUBECONFIG": str(in_namespace(kubeconfig, namespace, folder))}


def said(command: list[str], environment: dict[str, str], kubectls_own: tuple[str, ...] = ()) -> str:
    """Return what a command prints; ``kubectls_own`` is how lines begin that kubectl adds on standard error."""
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    ours = [line for line in done.stderr.splitlines() if not kubectls_own or not line.startswith(kubectls_own)]
    assert (done.returncode, ours) == (0, [])
    return done.stdout


def at_tab(environment: dict[str, str], *words: str) -> list[str]:
    return said(["bash", "--noprofile", "--norc", "-c", BASH, "bash", *words], environment).split()


def offered(environment: dict[str, str], *words: str) -> list[str]:
    """Return the names at TAB; it is pressed again where the server was slower than completion waits."""
    return wait_until(lambda: at_tab(environment, *words), f"names for {words}", LIMIT_SECONDS)


def test_bash_completes_commands_options_and_kinds(environment: dict[str, str]) -> None:
    assert at_tab(environment, "comp") == ["completion"]
    assert at_tab(environment, "rollout", "re") == ["restart", "resume"]
    assert at_tab(environment, "apply", "--dry-run", "") == ["none", "client", "server"]
    assert at_tab(environment, "get", "rayclusterf") == ["rayclusterfleets"]


def test_without_an_api_server_nothing_is_offered_and_nothing_is_said(environment: dict[str, str]) -> None:
    assert at_tab(environment, "get", "fleets", "") == []
    assert at_tab(environment, "get", "unicorns", "") == []


async def test_bash_completes_the_names_of_live_objects(
    client: KubeClient, namespace: str, environment: dict[str, str]
) -> None:
    for name in ("smollm2", "smaug", "qwen"):
        await client.create(FLEETS, fleet_manifest(namespace, name, replicas=0))
    assert offered(environment, "get", "fleets", "sm") == ["smaug", "smollm2"]
    assert offered(environment, "get", "rcf", "smaug", "") == ["qwen", "smollm2"]
    assert offered(environment, "describe", "rcf/q") == ["rcf/qwen"]
    assert offered(environment, "rollout", "status", "") == ["qwen", "smaug", "smollm2"]
    assert offered(environment, "endpoint", "q") == ["qwen"]
    assert offered(environment, "get", "pods", "-n", namespace[:-2]) == [namespace]


@pytest.mark.realkube
async def test_kubectl_completes_its_plugin(client: KubeClient, namespace: str, environment: dict[str, str]) -> None:
    await client.create(FLEETS, fleet_manifest(namespace, "smollm2", replicas=0))
    kubectl = str(ensure_kubectl(default_cache(), progress=print))
    own = ("[Debug] ", "Completion ended with directive")

    def lines() -> list[str]:
        return said([kubectl, "__completeNoDesc", "rayfleet", "describe", "rcf/sm"], environment, own).splitlines()

    at_last = wait_until(lines, "a name", LIMIT_SECONDS, holds=lambda found: len(found) > 1)
    assert at_last == ["rcf/smollm2", ":4"]
    assert "rollout\tWatch" in said([kubectl, "__complete", "rayfleet", "roll"], environment, own)
    assert said([kubectl, "rayfleet", "get", "rcf", "-o", "name"], environment).split() == ["rayclusterfleets/smollm2"]


@pytest.mark.parametrize("shell", sorted(PROTOCOLS))
def test_zsh_and_fish_get_their_script_and_their_answers(shell: str) -> None:
    words, answer = PROTOCOLS[shell]
    script = CliRunner().invoke(rayfleet_group, ["completion", shell], prog_name="rayfleet").output
    assert f"_RAYFLEET_COMPLETE={shell}_complete" in script
    asking = {**words, "_RAYFLEET_COMPLETE": f"{shell}_complete"}
    answered = CliRunner().invoke(rayfleet_group, [], prog_name="rayfleet", env=asking)
    assert answered.output == answer
