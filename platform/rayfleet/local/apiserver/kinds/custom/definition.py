"""CustomResourceDefinitions: defaults, validation, and the kinds that they make. Pure.

Source: apiextensions-apiserver ``pkg/apis/apiextensions`` (v1.36). Conversion webhooks are refused: versions may differ
in their name only (``strategy: None``).
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime

from rayfleet.local.apiserver.grammar.jsonpath import PathError
from rayfleet.local.apiserver.grammar.names import label_name_problem, service_name_problem, subdomain_problem
from rayfleet.local.apiserver.grammar.refusal import Cause, invalid, required, unsupported
from rayfleet.local.apiserver.kinds.custom.fields import CustomFields
from rayfleet.local.apiserver.kinds.custom.printer import column_printer
from rayfleet.local.apiserver.kinds.field_labels import NAME_AND_NAMESPACE, fields_at
from rayfleet.local.apiserver.kinds.kind import Kind, Rules, ScalePaths
from rayfleet.local.apiserver.kinds.metadata_fields import MetadataFields
from rayfleet.local.apiserver.schema.cel_rules import RuleSet
from rayfleet.local.apiserver.schema.schema_rules import schema_problems
from rayfleet.manifest.structural import PRESERVE
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.conditions import conditions_of, is_true
from rayfleet.objects.times import encode_time

CLEANUP_FINALIZER = "customresourcecleanup.apiextensions.k8s.io"
_OPEN: Json = {"type": "object", PRESERVE: True}
_STATUS = ("get", "patch", "update")


def default_definition(definition: Json) -> None:
    """Fill in names and conversion, in place."""
    spec = definition.setdefault("spec", {})
    names = spec.setdefault("names", {})
    if kind := names.get("kind"):
        names.setdefault("singular", kind.lower())
        names.setdefault("listKind", f"{kind}List")
    spec.setdefault("conversion", {"strategy": "None"})
    for condition in (definition.get("status") or {}).get("conditions") or ():
        for name, value in (("type", ""), ("status", ""), ("lastTransitionTime", None)):  # Go writes what it requires
            condition.setdefault(name, value)


def prepare_definition(new: Json, old: ReadOnlyJson | None) -> None:
    """Set what only the server decides: the versions that objects may be stored in."""
    if old is not None:
        return
    stored = [each["name"] for each in new["spec"].get("versions") or () if each.get("storage")]
    new["status"] = {"conditions": None, "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": stored}


def definition_problems(new: ReadOnlyJson, old: ReadOnlyJson | None) -> list[Cause]:
    """Return what is wrong with a definition or its change."""
    spec = new["spec"]
    causes = _name_problems(new)
    if spec.get("scope") not in ("Namespaced", "Cluster"):
        causes.append(
            unsupported("spec.scope", spec["scope"], ("Cluster", "Namespaced"))
            if spec.get("scope")
            else required("spec.scope")
        )
    if (spec.get("conversion") or {}).get("strategy") == "Webhook":
        causes.append(unsupported("spec.conversion.strategy", "Webhook", ("None",)))
    versions = spec.get("versions") or []
    if sum(1 for each in versions if each.get("storage")) != 1:
        causes.append(invalid("spec.versions", versions, "must have exactly one version marked as storage version"))
    schemas = [each.get("schema") for each in versions]
    is_shared = all(each == schemas[0] for each in schemas)  # then the API server keeps one for all, and names that
    for index, version in enumerate(versions):
        field = f"spec.versions[{index}]"
        at = "spec.validation" if is_shared else f"{field}.schema"
        causes += _version_problems(version, field)
        if index == 0 or not is_shared:
            causes += _schema_problems(version, field, f"{at}.openAPIV3Schema")
    if old is not None and is_established(old):
        before = old["spec"]
        for field, value, was in (
            ("spec.scope", spec.get("scope"), before["scope"]),
            ("spec.group", spec.get("group"), before["group"]),
            ("spec.names.plural", spec["names"].get("plural"), before["names"]["plural"]),
            ("spec.names.kind", spec["names"].get("kind"), before["names"]["kind"]),
        ):
            if value != was:
                causes.append(invalid(field, value, "field is immutable"))
    return causes


def marked_definition(definition: Json, now: datetime) -> Json:
    """Return the definition as one whose objects are being deleted; it stays until the last of them is gone."""
    meta = definition["metadata"]
    meta["deletionTimestamp"] = encode_time(now)
    if CLEANUP_FINALIZER not in meta.get("finalizers", ()):
        meta.setdefault("finalizers", []).append(CLEANUP_FINALIZER)
    status = definition.setdefault("status", {})
    others = [each for each in conditions_of(definition) if each["type"] != "Terminating"]
    message = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
    terminating = _stated("Terminating", "True", "InstanceDeletionPending", message, encode_time(now))
    status["conditions"] = [*others, terminating]
    return definition


DEFINITION_RULES = Rules(
    prepare=prepare_definition,
    problems=definition_problems,
    name_problem=subdomain_problem,
    on_delete=marked_definition,
    takes_update_without_version=False,
    has_generation=True,
)


def kinds_of(definition: ReadOnlyJson, metadata: MetadataFields) -> Iterator[Kind]:
    """Yield the kind of each served version of a valid definition."""
    spec = definition["spec"]
    names = spec["names"]
    for version in spec["versions"]:
        if version.get("served"):
            yield replace(_kind(spec, names, version, metadata), storage_version=_storage_version(spec))


def _storage_version(spec: ReadOnlyJson) -> str:
    return next((str(each["name"]) for each in spec["versions"] if each.get("storage")), "")


def accepted_status(definition: ReadOnlyJson, clashes: Mapping[str, str], now: str) -> Json:
    """Return the status after its names were compared with others'.

    ``clashes`` says what is taken (field -> message).
    """
    status: Json = dict(definition.get("status") or {})
    if clashes:
        field, message = next(iter(clashes.items()))
        conditions = [
            _stated("NamesAccepted", "False", f"{field[:1].upper()}{field[1:]}Conflict", message, now),
            _stated("Established", "False", "NotAccepted", "not all names are accepted", now),
        ]
    else:
        conditions = [
            _stated("NamesAccepted", "True", "NoConflicts", "no conflicts found", now),
            _stated("Established", "True", "InitialNamesAccepted", "the initial names have been accepted", now),
        ]
        status["acceptedNames"] = dict(definition["spec"]["names"])
    known = {each["type"]: each for each in conditions_of(definition)}
    for each in conditions:
        if known.get(each["type"], {}).get("status") != each["status"]:
            known[each["type"]] = each
    status["conditions"] = list(known.values())
    return status


def is_established(definition: ReadOnlyJson) -> bool:
    """Whether the definition's kinds are served."""
    return is_true(definition, "Established")


def _stated(kind: str, status: str, reason: str, message: str, now: str) -> Json:
    return {"type": kind, "status": status, "lastTransitionTime": now, "reason": reason, "message": message}


def _kind(spec: ReadOnlyJson, names: ReadOnlyJson, version: ReadOnlyJson, metadata: MetadataFields) -> Kind:
    schema = (version.get("schema") or {}).get("openAPIV3Schema") or _OPEN
    scale = _scale_paths(version)
    identity = {"group": spec["group"], "kind": names["kind"], "version": version["name"]}
    subresources = {name: _STATUS for name in ("status", "scale") if name in (version.get("subresources") or {})}
    selectable = [each["jsonPath"].lstrip(".") for each in version.get("selectableFields") or ()]
    return Kind(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        singular=names["singular"],
        kind=names["kind"],
        list_kind=names["listKind"],
        is_namespaced=spec["scope"] == "Namespaced",
        fields=CustomFields(schema, metadata, identity, scale),
        printer=column_printer(version.get("additionalPrinterColumns") or ()),
        rules=Rules(
            name_problem=subdomain_problem,
            takes_update_without_version=False,
            has_generation=True,
            own_status_on_create="status" in subresources,
        ),
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        subresources=subresources,
        field_labels={**NAME_AND_NAMESPACE, **fields_at(*selectable)},
        scale=scale,
        is_custom=True,
    )


def _scale_paths(version: ReadOnlyJson) -> ScalePaths | None:
    scale = (version.get("subresources") or {}).get("scale")
    if scale is None:
        return None
    selector = scale.get("labelSelectorPath")
    return ScalePaths(
        spec_replicas=_dotted(scale["specReplicasPath"]),
        status_replicas=_dotted(scale["statusReplicasPath"]),
        selector=_dotted(selector) if selector else None,
    )


def _dotted(path: str) -> tuple[str, ...]:
    return tuple(path.lstrip(".").split("."))


def _name_problems(definition: ReadOnlyJson) -> list[Cause]:
    spec = definition["spec"]
    names = spec["names"]
    causes: list[Cause] = []
    group = spec.get("group") or ""
    if not group:
        causes.append(required("spec.group"))
    elif problem := subdomain_problem(group):
        causes.append(invalid("spec.group", group, problem))
    for field, check in (("plural", service_name_problem), ("kind", _kind_problem)):
        value = names.get(field) or ""
        if not value:
            causes.append(required(f"spec.names.{field}"))
        elif problem := check(value):
            causes.append(invalid(f"spec.names.{field}", value, problem))
    causes += [
        invalid(f"spec.names.shortNames[{index}]", short, problem)
        for index, short in enumerate(names.get("shortNames") or ())
        if (problem := service_name_problem(short))
    ]
    name = f"{names.get('plural', '')}.{group}"
    if definition["metadata"].get("name") != name:
        causes.append(
            invalid("metadata.name", definition["metadata"].get("name", ""), 'must be spec.names.plural+"."+spec.group')
        )
    return causes


def _kind_problem(kind: str) -> str:
    return label_name_problem(kind.lower())


def _version_problems(version: ReadOnlyJson, field: str) -> list[Cause]:
    causes: list[Cause] = []
    if problem := label_name_problem(version.get("name", "")):
        causes.append(invalid(f"{field}.name", version.get("name", ""), problem))
    try:
        column_printer(version.get("additionalPrinterColumns") or ())
    except (PathError, KeyError) as error:
        causes.append(invalid(f"{field}.additionalPrinterColumns", "", f"{error}"))
    scale = (version.get("subresources") or {}).get("scale")
    if scale is not None:
        causes += [
            required(f"{field}.subresources.scale.{name}")
            for name in ("specReplicasPath", "statusReplicasPath")
            if not scale.get(name)
        ]
    return causes


def _schema_problems(version: ReadOnlyJson, field: str, schema_field: str) -> list[Cause]:
    schema = (version.get("schema") or {}).get("openAPIV3Schema")
    if schema is None:
        return [required(f"{field}.schema.openAPIV3Schema")]
    return schema_problems(schema, schema_field) or [*RuleSet(schema, schema_field).causes]
