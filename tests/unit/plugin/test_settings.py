"""What plugins take from the environment."""

from pathlib import Path

import pytest

from rayfleet.plugin.settings import read_plugin_settings


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"RAYFLEET_CACHE": "/big/cache"}, Path("/big/cache")),
        ({"RAYFLEET_CACHE": ""}, Path.home() / ".cache/rayfleet"),
        ({}, Path.home() / ".cache/rayfleet"),
        ({"RAYFLEET_CACHE": "here"}, Path.cwd() / "here"),
        ({"RAYFLEET_CACHE": "~/there"}, Path.home() / "there"),
    ],
)
def test_the_cache_folder_is_absolute(environment: dict[str, str], expected: Path) -> None:
    assert read_plugin_settings(environment).cache == expected


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, ()),
        ({"RAYFLEET_DISABLE_PLUGINS": ""}, ()),
        ({"RAYFLEET_DISABLE_PLUGINS": "vllm"}, ("vllm",)),
        ({"RAYFLEET_DISABLE_PLUGINS": " vllm, models ,"}, ("vllm", "models")),
    ],
)
def test_plugins_are_left_out_by_name(environment: dict[str, str], expected: tuple[str, ...]) -> None:
    assert read_plugin_settings(environment).disabled == expected


def test_without_more_the_process_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAYFLEET_DISABLE_PLUGINS", "vllm")
    assert read_plugin_settings().disabled == ("vllm",)
