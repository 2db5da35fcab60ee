"""The driver's flags and environment."""

import pytest

from rayfleet.model.errors import SettingsError
from rayfleet_llamacpp.actor import available_cores
from rayfleet_llamacpp.options import decode_options

FLAGS = ("--model", "pypi:m", "--served-model-name", "m", "--nodes", "2", "--host", "127.0.0.1")


def test_defaults_come_with_the_needed_flags() -> None:
    options = decode_options(FLAGS, {"RAY_ADDRESS": "head:6379", "RAYFLEET_DISABLE_PLUGINS": "a,b"})
    assert (options.port, options.ray_address, options.disabled_plugins) == (8000, "head:6379", ("a", "b"))


def test_a_flag_beats_the_environment() -> None:
    assert decode_options((*FLAGS, "--ray-address", "x:1"), {"RAY_ADDRESS": "head:6379"}).ray_address == "x:1"


@pytest.mark.parametrize(
    ("flags", "environment", "message"),
    [
        (FLAGS, {}, "RAY_ADDRESS is ''"),
        (FLAGS, {"RAY_ADDRESS": "auto"}, "host:port of the Ray head is wanted"),
        (FLAGS[2:], {"RAY_ADDRESS": "h:1"}, "--model"),
        ((*FLAGS, "--port", "0"), {"RAY_ADDRESS": "h:1"}, "'0' is not a port"),
        ((*FLAGS, "--port", "70000"), {"RAY_ADDRESS": "h:1"}, "'70000' is not a port"),
        ((*FLAGS, "--nodes", "two"), {"RAY_ADDRESS": "h:1"}, "a whole number of at least 1"),
        ((*FLAGS, "--drain-seconds", "nan"), {"RAY_ADDRESS": "h:1"}, "'nan' is not a number of seconds"),
        ((*FLAGS, "--nope"), {"RAY_ADDRESS": "h:1"}, "--nope"),
    ],
)
def test_a_wrong_setting_is_named(flags: tuple[str, ...], environment: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        decode_options(flags, environment)


def test_there_is_at_least_one_core() -> None:
    assert available_cores() >= 1
