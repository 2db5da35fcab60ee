"""The command line: words, help, hints (rayfleet.cli)."""

from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner

from rayfleet.cli.describe import age, described
from rayfleet.cli.endpoint import models_of_routes, usage_lines
from rayfleet.cli.kinds import resource_named, split_reference
from rayfleet.cli.main import rayfleet_group
from rayfleet.model.errors import SettingsError
from rayfleet.model.resources import FLEETS, PODS


@pytest.mark.parametrize("word", ["rcf", "fleets", "RayClusterFleet", "rayclusterfleets.orchestration.aibrix.ai"])
def test_a_kind_has_the_words_that_kubectl_takes(word: str) -> None:
    assert resource_named(word) is FLEETS


def test_a_misspelt_kind_is_answered_with_the_nearest() -> None:
    with pytest.raises(SettingsError) as error:
        resource_named("flets")
    assert "fleets" in error.value.way_out


def test_a_reference_may_be_one_word_or_two() -> None:
    assert split_reference(("pod/a",)) == (PODS, ("a",))
    assert split_reference(("pods", "a", "b")) == (PODS, ("a", "b"))


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
    assert age(datetime.fromtimestamp(1_000_000, UTC).isoformat(), now) == text


def test_a_description_ends_with_the_events_oldest_first() -> None:
    pod = {"kind": "Pod", "metadata": {"name": "a", "creationTimestamp": "2026-01-01T00:00:00Z"}}
    events: list[dict[str, Any]] = [
        {"metadata": {}, "type": "Normal", "reason": "Second", "lastTimestamp": "2026-01-01T00:00:09Z", "count": 3},
        {"metadata": {}, "type": "Normal", "reason": "First", "lastTimestamp": "2026-01-01T00:00:01Z"},
    ]
    lines = described(pod, events, datetime(2026, 1, 1, 0, 0, 10, tzinfo=UTC))
    assert "First" in lines[-2]
    assert "1s x3" in lines[-1]
    assert "Second" in lines[-1]


def test_models_are_read_from_routes() -> None:
    route = {"spec": {"rules": [{"matches": [{"headers": [{"name": "model", "value": "m"}]}]}]}}
    assert models_of_routes([route, {}]) == ["m"]


def test_the_curl_line_survives_a_shell() -> None:
    assert '\'{"model": "m"' in usage_lines("http://127.0.0.1:1", "m")[0]
