"""RayClusterFleet, from and to JSON. Pure.

Decoding finds every error of the document at once; each names its field. Encoding writes what decoding read, with the
defaults said, and nothing is lost on the way: decoding it again gives the same value.
"""

from dataclasses import replace

from rayfleet.manifest.checking import schema_errors
from rayfleet.manifest.envelope import envelope_errors, is_same_envelope, is_wrong_at, subject_of
from rayfleet.manifest.policies import (
    decode_drain,
    decode_recovery,
    decode_replacement_policy,
    decode_route,
    decode_warm_up,
)
from rayfleet.manifest.replica_states import decode_replica_states, encode_replica_states
from rayfleet.manifest.schema import (
    DEADLINE_MESSAGE,
    FLEET_NAME_LETTERS,
    FLEET_SPEC,
    NOT_BOTH_ZERO_MESSAGE,
    ONE_SOURCE_MESSAGE,
    ROLLING_ONLY_MESSAGE,
    SELECTOR_NEEDED_MESSAGE,
)
from rayfleet.manifest.serving import decode_serving, serving_errors
from rayfleet.manifest.structural import with_defaults
from rayfleet.manifest.template import (
    decode_selector,
    decode_template,
    selector_errors,
    template_errors,
)
from rayfleet.model.errors import FieldError, ManifestError
from rayfleet.model.fleet import (
    CountOrPercent,
    Fleet,
    FleetSpec,
    FleetStatus,
    Percent,
    RayClusterTemplate,
    Selector,
    Strategy,
    StrategyType,
)
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.model.meta import ObjectMeta
from rayfleet.model.resources import FLEETS
from rayfleet.objects.conditions import decode_conditions, encode_condition
from rayfleet.objects.labels import FLEET_LABEL, HASH_LABEL, INDEX_LABEL, MODEL_LABEL
from rayfleet.objects.meta import decode_meta
from rayfleet.objects.parts import is_identical, mapping, part

_SCALING_COUNTS = (
    ("replicas", "replicas"),
    ("updatedReplicas", "updated_replicas"),
    ("readyReplicas", "ready_replicas"),
    ("availableReplicas", "available_replicas"),
    ("unavailableReplicas", "unavailable_replicas"),
    ("terminatingReplicas", "terminating_replicas"),
)


def decode_fleet(raw: ReadOnlyJson) -> Fleet:
    """Return the fleet; raises ManifestError with everything that is wrong with it."""
    errors = list(envelope_errors(raw, FLEETS, FLEET_NAME_LETTERS))
    spec = raw.get("spec")
    if isinstance(spec, dict):
        errors += schema_errors(spec, FLEET_SPEC, "spec")
        errors += _meaning_errors(raw, spec, errors)
    if errors:
        raise ManifestError(subject_of(raw, FLEETS), errors)
    meta = decode_meta(raw)
    return Fleet(
        meta=meta,
        spec=_decode_spec(with_defaults(raw["spec"], FLEET_SPEC), meta),
        status=decode_fleet_status(raw.get("status")),
    )


def renewed_fleet(fleet: Fleet, before: ReadOnlyJson, after: ReadOnlyJson) -> Fleet | None:
    """Return ``decode_fleet(after)`` where ``fleet``, decoded from ``before``, says all of its spec; else None."""
    is_same_spec = is_identical(mapping(before.get("spec")), mapping(after.get("spec")))
    if not is_same_spec or not is_same_envelope(before, after):
        return None
    return replace(fleet, meta=decode_meta(after), status=decode_fleet_status(after.get("status")))


def decode_fleet_status(raw: object) -> FleetStatus:
    """Return the status; lenient, it is our own writing."""
    status = mapping(raw)
    return FleetStatus(
        observed_generation=status.get("observedGeneration", 0),
        collision_count=status.get("collisionCount"),
        revision=status.get("revision", 0),
        conditions=decode_conditions(status.get("conditions")),
        scaling_target_selector=status.get("scalingTargetSelector", ""),
        phase=status.get("phase", ""),
        ready=status.get("ready", ""),
        model=status.get("model", ""),
        replica_states=decode_replica_states(status.get("replicaStates")),
        **{attribute: status.get(name, 0) for name, attribute in _SCALING_COUNTS},
    )


def encode_fleet_status(status: FleetStatus) -> Json:
    """Return the status; every count is said, also 0."""
    encoded: Json = {"observedGeneration": status.observed_generation}
    encoded |= {name: getattr(status, attribute) for name, attribute in _SCALING_COUNTS}
    if status.collision_count is not None:
        encoded["collisionCount"] = status.collision_count
    if status.revision:
        encoded["revision"] = status.revision
    encoded["conditions"] = [encode_condition(condition) for condition in status.conditions]
    if status.replica_states:
        encoded["replicaStates"] = encode_replica_states(status.replica_states)
    texts = {
        "scalingTargetSelector": status.scaling_target_selector,
        "phase": status.phase,
        "ready": status.ready,
        "model": status.model,
    }
    return encoded | {name: text for name, text in texts.items() if text}


def _meaning_errors(raw: ReadOnlyJson, spec: ReadOnlyJson, known_errors: list[FieldError]) -> list[FieldError]:
    """Return what is wrong between fields, for the parts whose own form is right."""
    errors: list[FieldError] = []
    template, serving, selector = spec.get("template"), spec.get("serving"), spec.get("selector")
    if (template is None) == (serving is None):
        errors.append(FieldError(path="spec", message=ONE_SOURCE_MESSAGE))
    if template is not None and not is_wrong_at(known_errors, "spec.template"):
        errors += template_errors(template, "spec.template")
    if serving is not None and not is_wrong_at(known_errors, "spec.serving"):
        label = mapping(mapping(raw.get("metadata")).get("labels")).get(MODEL_LABEL)
        errors += serving_errors(serving, label, "spec.serving")
    errors += _selector_errors(raw, spec, known_errors) if selector is not None else []
    if selector is None and template is not None:
        errors.append(FieldError(path="spec.selector", message=SELECTOR_NEEDED_MESSAGE))
    if not is_wrong_at(known_errors, "spec.strategy"):
        errors += _strategy_errors(mapping(spec.get("strategy")))
    if not any(is_wrong_at(known_errors, path) for path in ("spec.progressDeadlineSeconds", "spec.minReadySeconds")):
        errors += _deadline_errors(with_defaults(spec, FLEET_SPEC))
    return errors


def _deadline_errors(spec: ReadOnlyJson) -> list[FieldError]:
    if spec["progressDeadlineSeconds"] > spec["minReadySeconds"]:
        return []
    return [FieldError(path="spec.progressDeadlineSeconds", message=DEADLINE_MESSAGE)]


def _selector_errors(raw: ReadOnlyJson, spec: ReadOnlyJson, known_errors: list[FieldError]) -> list[FieldError]:
    if any(is_wrong_at(known_errors, path) for path in ("spec.selector", "spec.serving", "spec.template", "metadata")):
        return []
    if spec.get("template") is not None:
        template = decode_template(spec["template"])
    elif spec.get("serving") is not None:
        template = RayClusterTemplate(labels=serving_labels(decode_meta(raw), _served_name(spec["serving"], raw)))
    else:
        return []
    selector = decode_selector(spec["selector"])
    return list(selector_errors(selector, template, "spec.selector", {HASH_LABEL, INDEX_LABEL}))


def serving_labels(meta: ObjectMeta, served_model_name: str) -> dict[str, str]:
    """Return the labels of the RayClusters of a fleet with ``spec.serving``.

    They are its selector when none is given.
    """
    return {MODEL_LABEL: served_model_name, FLEET_LABEL: meta.name}


def written_template_labels(raw: ReadOnlyJson) -> Json:
    """Return the labels of the RayClusters of a fleet as an API server gave it; never raises."""
    if serving := part(raw, "spec", "serving"):
        return serving_labels(decode_meta(raw), _served_name(serving, raw))
    return part(raw, "spec", "template", "metadata", "labels")


def _served_name(serving: ReadOnlyJson, raw: ReadOnlyJson) -> str:
    meta = decode_meta(raw)
    return str(serving.get("servedModelName") or meta.labels.get(MODEL_LABEL) or meta.name)


def _strategy_errors(strategy: ReadOnlyJson) -> list[FieldError]:
    rolling = strategy.get("rollingUpdate")
    if rolling is None:
        return []
    path = "spec.strategy.rollingUpdate"
    if strategy.get("type") == StrategyType.RECREATE:
        return [FieldError(path=path, message=ROLLING_ONLY_MESSAGE)]
    bounds = [_decode_bound(rolling.get(name)) for name in ("maxSurge", "maxUnavailable")]
    if all(bound in {0, Percent(value=0)} for bound in bounds):
        return [FieldError(path=path, message=NOT_BOTH_ZERO_MESSAGE)]
    return []


def _decode_spec(raw: ReadOnlyJson, meta: ObjectMeta) -> FleetSpec:
    serving = None
    if raw.get("serving") is not None:
        default_name = meta.labels.get(MODEL_LABEL) or meta.name
        serving = decode_serving(raw["serving"], default_name=default_name)
    if raw.get("selector") is not None:
        selector = decode_selector(raw["selector"])
    else:
        selector = Selector(match_labels=serving_labels(meta, serving.served_model_name if serving else ""))
    return FleetSpec(
        selector=selector,
        template=decode_template(raw["template"]) if raw.get("template") is not None else None,
        serving=serving,
        replicas=raw["replicas"],
        strategy=_decode_strategy(mapping(raw.get("strategy"))),
        min_ready_seconds=raw["minReadySeconds"],
        revision_history_limit=raw["revisionHistoryLimit"],
        paused=raw["paused"],
        progress_deadline_seconds=raw["progressDeadlineSeconds"],
        replacement_policy=decode_replacement_policy(raw.get("replacementPolicy")),
        recovery=decode_recovery(raw.get("recovery")),
        drain=decode_drain(raw.get("drain")),
        warm_up=decode_warm_up(raw.get("warmUp")),
        route=decode_route(raw.get("route")),
    )


def _decode_strategy(raw: ReadOnlyJson) -> Strategy:
    rolling = mapping(raw.get("rollingUpdate"))
    return Strategy(
        type=StrategyType(raw.get("type") or StrategyType.ROLLING_UPDATE),
        max_surge=_decode_bound(rolling.get("maxSurge")),
        max_unavailable=_decode_bound(rolling.get("maxUnavailable")),
        rollback_on_failure=raw.get("rollbackOnFailure") is True,
        surge_timeout_seconds=raw.get("surgeTimeoutSeconds") or Strategy().surge_timeout_seconds,
    )


def _decode_bound(raw: int | str | None) -> CountOrPercent | None:
    return Percent(value=int(raw.removesuffix("%"))) if isinstance(raw, str) else raw
