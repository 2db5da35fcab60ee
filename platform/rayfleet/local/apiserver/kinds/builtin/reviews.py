"""Reviews: what a client asks about itself. Pure.

There is one user, who may do everything, as a member of ``system:masters`` may. Source: Kubernetes
``pkg/registry/authorization`` and ``pkg/registry/authentication/selfsubjectreview`` (v1.36), with their messages.
"""

from datetime import datetime

from rayfleet.local.apiserver.grammar.refusal import Cause, bad_request, invalid, invalid_object
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.times import encode_time

_USER = {"username": "admin", "groups": ["system:masters", "system:authenticated"]}
_EVERYTHING = [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}]
_EVERY_PATH = [{"verbs": ["*"], "nonResourceURLs": ["*"]}]
_ONE_OF = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


def answer_access(review: ReadOnlyJson, _now: datetime) -> Json:
    """Return that it is allowed. Raises Refusal (422)."""
    spec = review.get("spec") or {}
    resource, path = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    causes: list[Cause] = []
    if resource is not None and path is not None:
        message = "cannot be specified in combination with resourceAttributes"
        causes.append(invalid("spec.nonResourceAttributes", path, message))
    elif resource is None and path is None:
        causes.append(invalid("spec.resourceAttributes", None, _ONE_OF))
    if stated := {key: value for key, value in review["metadata"].items() if value and key != "managedFields"}:
        causes.append(invalid("metadata", stated, "must be empty"))
    if causes:
        raise invalid_object("authorization.k8s.io", "", "", causes)
    return {**review, "spec": spec, "status": {"allowed": True}}


def answer_rules(review: ReadOnlyJson, _now: datetime) -> Json:
    """Return the rules that allow everything. Raises Refusal (400)."""
    if not (review.get("spec") or {}).get("namespace"):
        raise bad_request("no namespace on request")
    rules = {"resourceRules": _EVERYTHING, "nonResourceRules": _EVERY_PATH, "incomplete": False}
    return {**review, "metadata": {}, "spec": {}, "status": rules}


def answer_self(review: ReadOnlyJson, now: datetime) -> Json:
    """Return who asks."""
    asked = {"creationTimestamp": encode_time(now)}
    return {**review, "metadata": {**review["metadata"], **asked}, "status": {"userInfo": _USER}}
