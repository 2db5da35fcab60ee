"""The sidecar's flags and environment (rayfleet_sidecar.settings)."""

from dataclasses import fields
from datetime import timedelta

import pytest

from rayfleet.model.engine import MetricMap, TrafficMetrics
from rayfleet.model.errors import SettingsError
from rayfleet_sidecar.settings import SidecarSettings, read_settings
from rayfleet_vllm.metrics import METRICS as VLLM


def test_nothing_said_is_the_defaults() -> None:
    assert read_settings([], {}) == SidecarSettings()


def test_every_flag_arrives_in_its_field() -> None:
    arguments = {
        "--host": "127.0.0.9",
        "--port": "9",
        "--engine": "vllm",
        "--engine-url": "http://a:1",
        "--health-path": "/h",
        "--metrics-path": "/m",
        "--model": "smollm2",
        "--expected-ray-nodes": "2",
        "--ray-nodes-url": "http://a:2/nodes",
        "--linger-seconds": "70",
        "--load-path": "/l#n",
        "--sleep-path": "/s",
        "--wake-path": "/w",
        "--evidence-folder": "/e",
        "--running-metrics": 'a:running{x="1"} b',
        "--metric-map": '{"requests_running":["a:running","a:busy"]}',
    }
    settings = read_settings([word for pair in arguments.items() for word in pair], {})
    changed = {
        each.name for each in fields(settings) if getattr(settings, each.name) != getattr(SidecarSettings(), each.name)
    }
    assert len(changed) == len(arguments)
    assert (settings.host, settings.port, settings.engine, settings.model) == ("127.0.0.9", 9, "vllm", "smollm2")
    assert (settings.engine_url, settings.health_path, settings.metrics_path) == ("http://a:1", "/h", "/m")
    assert settings.linger == timedelta(seconds=70)
    assert (settings.sleep_path, settings.wake_path, settings.evidence.folder) == ("/s", "/w", "/e")
    assert settings.load_path == "/l#n"
    assert settings.traffic == TrafficMetrics(running=('a:running{x="1"}', "b"))
    assert settings.metric_map == MetricMap(requests_running=("a:running", "a:busy"))
    assert (settings.rules.expected_nodes, settings.nodes_url) == (2, "http://a:2/nodes")


def test_the_map_of_an_engines_plugin_is_taken_unless_one_is_told() -> None:
    assert read_settings(["--engine", "vllm"], {}).metric_map == VLLM
    assert read_settings(["--engine", "vllm", '--metric-map={"copies":["x"]}'], {}).metric_map.copies == ("x",)


def test_each_traffic_flag_arrives_in_its_field() -> None:
    names = [each.name for each in fields(TrafficMetrics)]
    settings = read_settings([f"--{name}-metrics={name}:a" for name in names], {})
    assert settings.traffic == TrafficMetrics(**{name: (f"{name}:a",) for name in names})


def test_a_stall_is_a_rule_and_can_be_left_unseen() -> None:
    assert read_settings(["--stall-seconds", "0"], {}).rules.stall_after == timedelta()


def test_a_canary_is_a_rule_and_can_be_left_out() -> None:
    assert read_settings(["--canary-seconds", "0"], {}).rules.canary_every == timedelta()


def test_the_peers_environment_is_read_and_flags_win() -> None:
    environment = {"INFERENCE_ENGINE": "vllm", "INFERENCE_ENGINE_ENDPOINT": "http://localhost:8000/"}
    assert read_settings([], environment).engine_url == "http://localhost:8000"
    assert read_settings([], environment).engine == "vllm"
    assert read_settings(["--engine", "x"], environment).engine == "x"


def test_the_engines_key_comes_by_the_environment_and_is_never_printed() -> None:
    settings = read_settings([], {"INFERENCE_ENGINE_API_KEY": "k3y"})
    assert settings.api_key == "k3y"
    assert "k3y" not in repr(settings)


def test_the_sidecars_own_token_comes_by_the_environment_and_is_never_printed() -> None:
    settings = read_settings([], {"RAYFLEET_SIDECAR_TOKEN": "t0ken"})
    assert settings.token == "t0ken"
    assert "t0ken" not in repr(settings)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--expected-ray-nodes", "-1"], "--expected-ray-nodes: -1 is negative"),
        (["--expected-ray-nodes", "2"], "--expected-ray-nodes without --ray-nodes-url"),
        (["--stall-seconds", "-1"], "--stall-seconds: -1 is negative"),
        (["--canary-seconds", "-1"], "--canary-seconds: -1 is negative"),
        (["--linger-seconds", "-1"], "--linger-seconds: -1 is negative"),
        (["--load-path", "/load"], "--load-path: '/load' is no path and key"),
        (["--load-path", "load#n"], "--load-path: 'load#n' is no path and key"),
        (["--metric-map", "[]"], r"--metric-map: '\[\]' is no JSON object"),
        (["--port", "0"], "--port: 0 is not a port"),
        (["--engine-url", "127.0.0.1:8000"], "--engine-url: '127.0.0.1:8000' is no URL"),
        (["--engine-url", "http://a:99999"], "--engine-url: 'http://a:99999' is no URL"),
        (["--ray-nodes-url", "http://$(POD_IP):8081/nodes"], "--ray-nodes-url: .* holds a variable"),
    ],
)
def test_settings_that_cannot_be_used_are_refused(arguments: list[str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read_settings(arguments, {})


def test_a_log_format_is_one_that_there_is() -> None:
    assert read_settings(["--log-format", "json"], {}).log_format == "json"
    with pytest.raises(SettingsError, match="neither text nor json"):
        read_settings(["--log-format", "xml"], {})
