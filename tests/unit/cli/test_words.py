"""The command line: words, help, hints (rayfleet.cli)."""

from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from rayfleet.cli.describe import described
from rayfleet.cli.durations import age
from rayfleet.cli.endpoint import usage_lines
from rayfleet.cli.kinds import Reference, fleet_names, named_references, references, resource_named
from rayfleet.cli.main import rayfleet_group
from rayfleet.cli.status import fleet_lines
from rayfleet.local.up.fleet_progress import FleetProgress, Trouble
from rayfleet.model.errors import WrongUse
from rayfleet.model.json import Json
from rayfleet.model.resources import FLEETS, GATEWAYS, PODS
from rayfleet.objects.events import decode_event
from rayfleet.objects.gateways import models_of_routes, url_of_gateways


@pytest.mark.parametrize("word", ["rcf", "fleets", "RayClusterFleet", "rayclusterfleets.orchestration.aibrix.ai"])
def test_a_kind_has_the_words_that_kubectl_takes(word: str) -> None:
    assert resource_named(word) is FLEETS


def test_a_misspelt_kind_is_answered_with_the_nearest() -> None:
    with pytest.raises(WrongUse) as error:
        resource_named("flets")
    assert "fleets" in error.value.way_out


def test_a_kind_of_another_group_is_not_ours() -> None:
    assert resource_named("gateways.gateway.networking.k8s.io") is GATEWAYS
    with pytest.raises(WrongUse):
        resource_named("gateways.networking.istio.io")


def test_a_reference_may_be_one_word_or_two() -> None:
    a, b = Reference(resource=PODS, name="a"), Reference(resource=PODS, name="b")
    assert references(("pod/a",)) == [a]
    assert references(("pods", "a", "b")) == [a, b]
    assert references(("rcf/a", "pod/b")) == [Reference(resource=FLEETS, name="a"), b]
    assert references(("rcf,po",)) == [Reference(resource=FLEETS, name=""), Reference(resource=PODS, name="")]


@pytest.mark.parametrize("words", [(), ("pod/",), ("pod/a", "b"), ("pod/a/b",), ("flets/a",)])
def test_what_is_no_reference_is_a_wrong_use(words: tuple[str, ...]) -> None:
    with pytest.raises(WrongUse):
        references(words)


@pytest.mark.parametrize("words", [("rcf/a",), ("fleet", "a"), ("RayClusterFleet/a",), ("a",)])
def test_a_fleet_is_named_in_any_of_its_spellings(words: tuple[str, ...]) -> None:
    assert fleet_names(words, "rollout undo") == ["a"]


def test_several_fleets_may_be_named() -> None:
    assert fleet_names(("rcf/a", "fleet/b"), "rollout restart") == ["a", "b"]
    assert fleet_names(("rcf", "a", "b"), "rollout restart") == ["a", "b"]


@pytest.mark.parametrize("words", [("pod/a",), ("rcf/a", "pod/b"), ("pods", "a")])
def test_what_is_no_fleet_is_a_wrong_use(words: tuple[str, ...]) -> None:
    with pytest.raises(WrongUse, match="rollout undo"):
        fleet_names(words, "rollout undo")


def test_who_must_be_named_is_told_how() -> None:
    with pytest.raises(WrongUse) as error:
        named_references(("pods",), "rayfleet delete pod/NAME")
    assert "rayfleet get pods" in error.value.way_out


def test_help_names_every_command() -> None:
    shown = CliRunner().invoke(rayfleet_group, ["--help"]).output
    for command in ("up", "down", "status", "apply", "get", "describe", "delete", "scale", "logs", "endpoint"):
        assert f"\n  {command} " in shown


@pytest.mark.parametrize(
    "command", ["up", "down", "status", "apply", "get", "describe", "delete", "scale", "logs", "endpoint"]
)
def test_every_command_teaches_itself(command: str) -> None:
    shown = CliRunner().invoke(rayfleet_group, [command, "--help"])
    assert shown.exit_code == 0, shown.output
    assert len(shown.output) > 200


def test_a_misspelt_command_is_answered_with_the_nearest() -> None:
    shown = CliRunner().invoke(rayfleet_group, ["statsu"])
    assert shown.exit_code == 2
    assert "`rayfleet status`" in shown.output


@pytest.mark.parametrize(("seconds", "text"), [(5, "5s"), (119, "119s"), (120, "2m"), (7200, "2h"), (172800, "2d")])
def test_an_age_is_short(seconds: int, text: str) -> None:
    now = datetime.fromtimestamp(1_000_000 + seconds, UTC)
    assert age(datetime.fromtimestamp(1_000_000, UTC), now) == text
    assert age(None, now) == "<unknown>"


def test_a_description_ends_with_the_events_oldest_first() -> None:
    pod = {"kind": "Pod", "metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"}}
    involved = {"kind": "Pod", "name": "a"}
    events: list[Json] = [
        {"involvedObject": involved, "reason": "Second", "lastTimestamp": "2026-01-01T00:00:09Z", "count": 3},
        {"involvedObject": involved, "reason": "First", "lastTimestamp": "2026-01-01T00:00:01Z"},
    ]
    lines = described(pod, map(decode_event, events), datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC))
    assert "First" in lines[-2]
    assert lines[-1].split()[:2] == ["1s", "(x3)"]
    assert "pod/a" in lines[-1]


def test_a_description_of_a_fleet_says_what_blocks_and_what_to_do() -> None:
    time = "2026-01-01T00:00:00Z"
    state = {"name": "toy-1", "phase": "Pulling", "progress": "1/2", "reason": "ErrImagePull", "message": "no/such:1"}
    condition = {"type": "Available", "status": "False", "reason": "R", "message": "words", "lastTransitionTime": time}
    stages = {"scheduling": 2.4}
    fleet = {
        "kind": "RayClusterFleet",
        "metadata": {"name": "toy", "namespace": "team"},
        "status": {
            "conditions": [condition],
            "replicaStates": [{**state, "pod": "p", "container": "c", "since": time, "stages": stages}],
        },
    }
    lines = described(fleet, [], datetime(2026, 1, 1, 0, 1, 0, tzinfo=UTC))
    assert "  Available   False    R        60s   words" in lines
    assert "  toy-1     Pulling   1/2        60s   ErrImagePull   scheduling 2s" in lines
    at = lines.index("  ! pod p, container c: ErrImagePull: no/such:1")
    assert "`rayfleet rollout undo rcf/toy -n team`" in lines[at + 1]
    assert not any("replicaStates" in line for line in lines)


def test_the_status_of_a_fleet_tells_each_trouble_once() -> None:
    time = "2026-01-01T00:00:00Z"
    state = {
        "name": "toy-1",
        "phase": "Broken",
        "reason": "CrashLoopBackOff",
        "since": time,
        "pod": "p",
        "container": "c",
    }
    fleet = {
        "metadata": {"name": "toy", "namespace": "default"},
        "status": {"phase": "Degraded", "replicaStates": [state]},
    }
    troubles = (
        Trouble(subject="pod p, container c", message="ended 3 times"),
        Trouble(subject="pod q", message="cannot be scheduled"),
    )
    progress = FleetProgress(nodes_up=1, nodes_expected=2, replicas_ready=0, replicas_expected=1, troubles=troubles)
    lines = fleet_lines(fleet, progress, datetime(2026, 1, 1, tzinfo=UTC))
    assert lines[0] == "fleet default/toy: 0/1 replicas ready, 1/2 Ray nodes up, Degraded"
    marked = [line for line in lines if line.startswith("  ! ")]
    assert marked == ["  ! pod p, container c: CrashLoopBackOff", "  ! pod q: cannot be scheduled"]


def test_models_are_read_from_routes() -> None:
    route = {"spec": {"rules": [{"matches": [{"headers": [{"name": "model", "value": "m"}]}]}]}}
    assert models_of_routes([route, {}]) == ["m"]


def test_the_gateway_of_a_cluster_is_where_its_address_and_listener_say() -> None:
    waiting = {"spec": {"listeners": [{"port": 80, "protocol": "HTTP"}]}}
    ready = {
        "spec": {"listeners": [{"port": 8443, "protocol": "HTTPS"}]},
        "status": {"addresses": [{"value": "10.0.0.7"}]},
    }
    assert url_of_gateways([waiting, ready]) == "https://10.0.0.7:8443"
    assert url_of_gateways([waiting]) == ""


def test_the_curl_line_survives_a_shell() -> None:
    assert '\'{"model": "m"' in usage_lines("http://127.0.0.1:1", "m")[0]
