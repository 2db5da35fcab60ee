"""Which names, labels and annotations an object may have. Pure.

Source: apimachinery ``util/validation`` and ``api/validation`` (v1.36), with its messages.
"""

import re
from collections.abc import Callable, Mapping

from rayfleet.local.apiserver.grammar.label_grammar import label_key_problem, label_value_problem
from rayfleet.local.apiserver.grammar.refusal import Cause, forbidden_field, invalid, required, too_long
from rayfleet.model.json import ReadOnlyJson

NameRule = Callable[[str], str]
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_ANNOTATION_BYTES = 256 * 1024
_KEY = r"[-._a-zA-Z0-9]+"
_STANDARD_FINALIZERS = {"kubernetes", "orphan", "foregroundDeletion"}


def subdomain_problem(name: str) -> str:
    """Return what is wrong with a DNS subdomain, empty when nothing is."""
    return _problem(
        name,
        _SUBDOMAIN,
        253,
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start "
        "and end with an alphanumeric character",
        ("example.com",),
    )


def label_name_problem(name: str) -> str:
    """Return what is wrong with a DNS label (RFC 1123), empty when nothing is."""
    return _problem(
        name,
        _LABEL,
        63,
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
        "with an alphanumeric character",
        ("my-name", "123-abc"),
    )


def service_name_problem(name: str) -> str:
    """Return what is wrong with a DNS label (RFC 1035), empty when nothing is."""
    return _problem(
        name,
        _LABEL_1035,
        63,
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic "
        "character, and end with an alphanumeric character",
        ("my-name", "abc-123"),
    )


def data_key_problem(key: str) -> str:
    """Return what is wrong with a key of a ConfigMap or Secret."""
    if len(key) > 253:
        return "must be no more than 253 characters"
    if not re.fullmatch(_KEY, key):
        return _sentence(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.'",
            _KEY,
            ("key.name", "KEY_NAME", "key-name"),
        )
    return f"may not be '{key}'" if key in (".", "..") else ""


def metadata_problems(meta: ReadOnlyJson, name_rule: NameRule, *, is_namespaced: bool) -> list[Cause]:
    """Return what is wrong with the metadata of a new object; its name is set by now if it ever will be."""
    causes: list[Cause] = []
    if prefix := meta.get("generateName"):
        problem = name_rule(prefix.rstrip("-") + "x" if prefix.endswith(("-", ".")) else prefix)
        if problem:
            causes.append(invalid("metadata.generateName", prefix, problem))
    if not meta.get("name"):
        causes.append(required("metadata.name", "name or generateName is required"))
    elif problem := name_rule(meta["name"]):
        causes.append(invalid("metadata.name", meta["name"], problem))
    if not is_namespaced and meta.get("namespace"):
        causes.append(forbidden_field("metadata.namespace", "not allowed on this type"))
    return causes + label_problems(meta.get("labels") or {}, "metadata.labels") + _common_problems(meta)


def changed_metadata_problems(new: ReadOnlyJson, old: ReadOnlyJson) -> list[Cause]:
    """Return what an update may not do to the metadata; what the server keeps itself is the old one's by now."""
    causes: list[Cause] = []
    if old.get("deletionTimestamp"):
        extra = set(new.get("finalizers") or ()) - set(old.get("finalizers") or ())
        if extra:
            listed = ", ".join(f'"{each}"' for each in sorted(extra))
            causes.append(
                forbidden_field(
                    "metadata.finalizers",
                    "no new finalizers can be added if the object is being deleted, "
                    f"found new finalizers []string{{{listed}}}",
                )
            )
    return causes + label_problems(new.get("labels") or {}, "metadata.labels") + _common_problems(new)


def label_problems(labels: Mapping[str, str], field: str) -> list[Cause]:
    """Return what is wrong with labels."""
    causes: list[Cause] = []
    for key, value in labels.items():
        if problem := label_key_problem(key):
            causes.append(invalid(field, key, problem))
        if problem := label_value_problem(value):
            causes.append(invalid(field, value, problem))
    return causes


def _common_problems(meta: ReadOnlyJson) -> list[Cause]:
    causes: list[Cause] = []
    annotations = meta.get("annotations") or {}
    causes += [
        invalid("metadata.annotations", key, problem)
        for key in annotations
        if (problem := label_key_problem(key.lower()))
    ]
    if sum(len(key) + len(value.encode()) for key, value in annotations.items()) > _ANNOTATION_BYTES:
        causes.append(too_long("metadata.annotations", _ANNOTATION_BYTES))
    for owner in meta.get("ownerReferences") or ():
        causes += _owner_problems(owner, "metadata.ownerReferences")
    controllers = [each.get("name") for each in meta.get("ownerReferences") or () if each.get("controller") is True]
    if len(controllers) > 1:
        detail = 'Only one reference can have Controller set to true. Found "true" in references for ' + " and ".join(
            str(each) for each in controllers[:2]
        )
        causes.append(invalid("metadata.ownerReferences", controllers, detail))
    for index, finalizer in enumerate(meta.get("finalizers") or ()):
        field = f"metadata.finalizers[{index}]"
        if problem := label_key_problem(finalizer):
            causes.append(invalid(field, finalizer, problem))
        elif "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
            causes.append(
                invalid(field, finalizer, "name is neither a standard finalizer name nor is it fully qualified")
            )
    return causes


def _owner_problems(owner: ReadOnlyJson, field: str) -> list[Cause]:
    causes: list[Cause] = []
    version = owner.get("apiVersion") or ""
    if not version or not version.rpartition("/")[2]:
        causes.append(invalid(f"{field}.apiVersion", version, "version must not be empty"))
    causes.extend(
        invalid(f"{field}.{name}", "", "must not be empty") for name in ("kind", "name", "uid") if not owner.get(name)
    )
    if version == "v1" and owner.get("kind") == "Event":
        causes.append(invalid(field, owner, "/v1, Kind=Event is disallowed from being an owner"))
    return causes


def _problem(text: str, pattern: str, longest: int, rule: str, examples: tuple[str, ...]) -> str:
    if len(text) > longest:
        return f"must be no more than {longest} bytes"
    if re.fullmatch(pattern, text):
        return ""
    return _sentence(rule, pattern, examples)


def _sentence(rule: str, pattern: str, examples: tuple[str, ...]) -> str:
    listed = ",  or ".join(f"'{each}'" for each in examples)
    return f"{rule} (e.g. {listed}, regex used for validation is '{pattern}')"
