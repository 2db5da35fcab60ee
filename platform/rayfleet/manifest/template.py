"""Selector and RayCluster template, from and to JSON. Pure; decoding takes what the schema has accepted."""

from collections.abc import Collection, Iterator

from rayfleet.manifest.checking import child_path, shown
from rayfleet.manifest.label_syntax import metadata_errors
from rayfleet.manifest.ray_template import ray_template_errors
from rayfleet.manifest.schema import SELECTOR_MISMATCH_MESSAGE, VALUES_NEEDED_MESSAGE, VALUES_REFUSED_MESSAGE
from rayfleet.model.errors import FieldError
from rayfleet.model.fleet import LabelRequirement, RayClusterTemplate, Selector
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.parts import mapping
from rayfleet.objects.selectors import selects


def decode_selector(raw: ReadOnlyJson) -> Selector:
    """Return the selector."""
    return Selector(
        match_labels=dict(raw.get("matchLabels") or {}),
        match_expressions=tuple(
            LabelRequirement(key=item["key"], operator=item["operator"], values=tuple(item.get("values") or ()))
            for item in raw.get("matchExpressions") or ()
        ),
    )


def encode_selector(selector: Selector) -> Json:
    """Return the selector; parts without entries are left out."""
    encoded: Json = {}
    if selector.match_labels:
        encoded["matchLabels"] = dict(selector.match_labels)
    if selector.match_expressions:
        encoded["matchExpressions"] = [
            {"key": item.key, "operator": item.operator, **({"values": list(item.values)} if item.values else {})}
            for item in selector.match_expressions
        ]
    return encoded


def decode_template(raw: ReadOnlyJson) -> RayClusterTemplate:
    """Return the template; its spec is the very object that was given."""
    meta = mapping(raw.get("metadata"))
    return RayClusterTemplate(
        labels=dict(meta.get("labels") or {}),
        annotations=dict(meta.get("annotations") or {}),
        spec=raw.get("spec") or {},
    )


def encode_template(template: RayClusterTemplate) -> Json:
    """Return the template as it stands in a manifest."""
    meta: Json = {}
    if template.labels:
        meta["labels"] = dict(template.labels)
    if template.annotations:
        meta["annotations"] = dict(template.annotations)
    return {**({"metadata": meta} if meta else {}), "spec": template.spec}


def template_errors(raw: ReadOnlyJson, path: str) -> tuple[FieldError, ...]:
    """Return what an API server, or KubeRay silently, would refuse in a template that the schema accepts."""
    meta = mapping(raw.get("metadata"))
    return (
        *metadata_errors(meta, child_path(path, "metadata")),
        *ray_template_errors(raw.get("spec") or {}, mapping(meta.get("annotations")), child_path(path, "spec")),
    )


def selector_errors(
    selector: Selector, template: RayClusterTemplate, path: str, own_labels: Collection[str]
) -> tuple[FieldError, ...]:
    """Return what is wrong with a selector.

    Values that do not fit its operators, or one of ``own_labels``, whose values rayfleet gives to what it makes; else
    that it is empty, or does not select what the template makes.
    """
    wrong = (*_requirement_errors(selector, path), *_own_label_errors(selector, path, own_labels))
    if wrong:
        return wrong
    if not selector.match_labels and not selector.match_expressions:
        message = "is empty: it would select every RayCluster of the namespace"
        return (FieldError(path=path, message=message),)
    if selects(selector, template.labels):
        return ()
    return (FieldError(path=path, message=f"{SELECTOR_MISMATCH_MESSAGE}: {_mismatch(selector, template)}"),)


def _requirement_errors(selector: Selector, path: str) -> Iterator[FieldError]:
    for index, requirement in enumerate(selector.match_expressions):
        needs_values = requirement.operator in {"In", "NotIn"}
        if needs_values is not bool(requirement.values):
            message = VALUES_NEEDED_MESSAGE if needs_values else VALUES_REFUSED_MESSAGE
            yield FieldError(path=f"{path}.matchExpressions[{index}].values", message=message)


def _own_label_errors(selector: Selector, path: str, own_labels: Collection[str]) -> Iterator[FieldError]:
    """Yield the labels in a selector that what is made has with another value: it would be let go and made again."""
    message = "is rayfleet's own label, with a value of its own on each object: what is made would never be selected"
    for name in selector.match_labels:
        if name in own_labels:
            yield FieldError(path=child_path(f"{path}.matchLabels", name), message=message)
    for index, requirement in enumerate(selector.match_expressions):
        if requirement.key in own_labels:
            place = f"{path}.matchExpressions[{index}].key"
            yield FieldError(path=place, message=f"{shown(requirement.key)} {message}")


def _mismatch(selector: Selector, template: RayClusterTemplate) -> str:
    """Return the first label, or else the first requirement, that is in the way."""
    for name, value in selector.match_labels.items():
        present = template.labels.get(name)
        if present != value:
            return f"{name} is {shown(present) if present is not None else 'not there'}, not {shown(value)}"
    alone = (Selector(match_expressions=(each,)) for each in selector.match_expressions)
    broken = next((each for each in alone if not selects(each, template.labels)), selector)
    return shown(encode_selector(broken)["matchExpressions"][0])
