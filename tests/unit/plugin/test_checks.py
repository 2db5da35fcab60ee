"""``spec.serving`` is held to the plugins that are here, by one rule for the CLI and the controllers."""

from collections.abc import Mapping

import pytest

from rayfleet.manifest.fleet import decode_fleet
from rayfleet.model.engine import LaunchPlan
from rayfleet.model.errors import FieldError, ManifestError
from rayfleet.model.fleet import Fleet
from rayfleet.model.resources import FLEETS
from rayfleet.model.serving import Serving
from rayfleet.plugin.checks import check_serving, checked_engine
from rayfleet.plugin.contracts import Engine, ModelFormat

SCHEMES = ("path", "pypi")


class Toy:
    """Cannot do more than one node."""

    name = "toy"
    model_format: ModelFormat | None = None

    def problems(self, serving: Serving) -> tuple[FieldError, ...]:
        return (FieldError(path="spec.serving.nodes", message="too many"),) if serving.nodes > 1 else ()

    def launch_plan(self, serving: Serving) -> LaunchPlan:
        raise NotImplementedError


ENGINES: Mapping[str, Engine] = {"toy": Toy()}


def fleet(engine: str = "toy", model: str = "pypi:m", nodes: int = 1) -> tuple[Fleet, Serving]:
    serving = {"engine": engine, "model": model, "nodes": nodes}
    head = {"apiVersion": FLEETS.api_version, "kind": FLEETS.kind, "metadata": {"name": "f"}}
    decoded = decode_fleet({**head, "spec": {"replicas": 1, "serving": serving}})
    assert decoded.spec.serving is not None
    return decoded, decoded.spec.serving


def test_the_engine_that_is_there_is_returned() -> None:
    assert checked_engine(*fleet(), ENGINES) is ENGINES["toy"]


def test_an_engine_that_is_not_there_is_named_with_the_nearest_and_the_way_out() -> None:
    with pytest.raises(ManifestError) as caught:
        checked_engine(*fleet(engine="tory"), ENGINES)
    message = 'spec.serving.engine: "tory" is no engine here (did you mean "toy"?); there are: toy'
    assert [str(error) for error in caught.value.errors] == [message]
    assert "RAYFLEET_DISABLE_PLUGINS may be hiding one" in str(caught.value)
    assert str(caught.value).startswith("RayClusterFleet default/f is invalid")


def test_without_any_plugin_there_is_no_engine() -> None:
    with pytest.raises(ManifestError, match="there are: none"):
        checked_engine(*fleet(), {})


def test_what_the_engine_cannot_do_is_said_in_its_words_alone() -> None:
    with pytest.raises(ManifestError) as caught:
        checked_engine(*fleet(nodes=2), ENGINES)
    assert str(caught.value) == "RayClusterFleet default/f is invalid:\n  spec.serving.nodes: too many"


def test_a_model_that_nobody_brings_is_said_with_its_field_beside_all_else() -> None:
    with pytest.raises(ManifestError) as caught:
        check_serving(*fleet(model="pypy:m", nodes=2), ENGINES, SCHEMES)
    assert [str(error) for error in caught.value.errors] == [
        "spec.serving.nodes: too many",
        'spec.serving.model: "pypy" is no model source here (did you mean "pypi"?); there are: path, pypi',
    ]
    assert "entry point" in caught.value.way_out


@pytest.mark.parametrize("model", ["org/name", "pypi:m", "/models/m"])
def test_a_model_that_somebody_brings_is_fine(model: str) -> None:
    check_serving(*fleet(model=model), ENGINES, SCHEMES)


def test_a_controller_leaves_the_model_to_the_nodes_that_bring_it() -> None:
    assert checked_engine(*fleet(model="s3:m"), ENGINES) is ENGINES["toy"]
