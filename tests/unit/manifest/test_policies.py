"""Recovery, drain, replacement and route: what a manifest says, and what holds when it says nothing."""

import pytest

from rayfleet.manifest.fleet import decode_fleet
from rayfleet.manifest.policies import (
    decode_drain,
    decode_recovery,
    decode_replacement_policy,
    decode_route,
    encode_policies,
)
from rayfleet.model.errors import ManifestError
from rayfleet.model.json import Json
from rayfleet.model.policies import Drain, ParentGateway, Recovery, RecoveryOrder, ReplacementPolicy, Route


def _fleet(**spec: object) -> Json:
    return {
        "apiVersion": "orchestration.aibrix.ai/v1alpha1",
        "kind": "RayClusterFleet",
        "metadata": {"name": "toy", "namespace": "default"},
        "spec": {"serving": {"engine": "llamacpp", "model": "pypi:x"}, **spec},
    }


def test_a_manifest_that_says_nothing_has_the_defaults() -> None:
    spec = decode_fleet(_fleet()).spec
    assert (spec.recovery, spec.drain, spec.route) == (Recovery(), Drain(), Route())
    assert spec.replacement_policy is None
    assert (spec.strategy.rollback_on_failure, spec.strategy.surge_timeout_seconds) == (False, 300)


def test_what_a_manifest_says_is_read() -> None:
    spec = decode_fleet(
        _fleet(
            recovery={"enabled": False, "order": "CreateFirst", "graceSeconds": 0, "maxRebuilds": 2},
            drain={"timeoutSeconds": 0},
            replacementPolicy="TerminationStarted",
            route={"parentRef": {"name": "gw", "namespace": "infra"}, "hostnames": ["a.example"], "weight": 0},
            strategy={"rollbackOnFailure": True, "surgeTimeoutSeconds": 7},
        )
    ).spec
    assert spec.recovery == Recovery(enabled=False, order=RecoveryOrder.CREATE_FIRST, grace_seconds=0, max_rebuilds=2)
    assert spec.drain == Drain(timeout_seconds=0)
    assert spec.replacement_policy is ReplacementPolicy.TERMINATION_STARTED
    parent = ParentGateway(name="gw", namespace="infra")
    assert spec.route == Route(parent=parent, hostnames=("a.example",), weight=0)
    assert (spec.strategy.rollback_on_failure, spec.strategy.surge_timeout_seconds) == (True, 7)


@pytest.mark.parametrize(
    ("part", "path"),
    [
        ({"recovery": {"graceSeconds": -1}}, "spec.recovery.graceSeconds"),
        ({"recovery": {"order": "Both"}}, "spec.recovery.order"),
        ({"drain": {"timeoutSeconds": "60"}}, "spec.drain.timeoutSeconds"),
        ({"replacementPolicy": "Never"}, "spec.replacementPolicy"),
        ({"route": {"paths": ["v1"]}}, "spec.route.paths[0]"),
        ({"route": {"weight": 1_000_001}}, "spec.route.weight"),
        ({"strategy": {"surgeTimeoutSeconds": 0}}, "spec.strategy.surgeTimeoutSeconds"),
    ],
)
def test_a_wrong_policy_names_its_field(part: Json, path: str) -> None:
    with pytest.raises(ManifestError) as refused:
        decode_fleet(_fleet(**part))
    assert path in [error.path for error in refused.value.errors]


def test_policies_go_to_a_replica_set_and_back() -> None:
    recovery = Recovery(order=RecoveryOrder.CREATE_FIRST, grace_seconds=5)
    drain = Drain(timeout_seconds=1)
    encoded = encode_policies(recovery, drain, ReplacementPolicy.TERMINATION_COMPLETE)
    assert encoded["recovery"] == {"order": "CreateFirst", "graceSeconds": 5}
    assert decode_recovery(encoded["recovery"]) == recovery
    assert decode_drain(encoded["drain"]) == drain
    assert decode_replacement_policy(encoded["replacementPolicy"]) is ReplacementPolicy.TERMINATION_COMPLETE
    assert encode_policies(Recovery(), Drain(), None) == {}
    assert decode_route(None) == Route()
