"""Bodies in Kubernetes' protobuf form, for the kinds that clients of client-go send so. Pure.

kubectl's own commands for namespaces, secrets, config maps, service accounts, services and reviews speak nothing else
and do not fall back, nor do ``kubectl drain`` and the deletion of core objects by helm. Fields by number, from
``k8s.io/api/core/v1/generated.proto``, ``authorization/v1`` and apimachinery's ``meta/v1`` (v1.36), those that these
commands can set; a body with any other field or kind is refused (415), never read in part. Answers are never protobuf:
every client takes JSON too.
"""

import base64
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from rayfleet.local.apiserver.grammar.refusal import Refusal, bad_request
from rayfleet.model.json import Json
from rayfleet.objects.times import encode_time

PROTOBUF = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
Read = Callable[[Any], Any]


class _Message:
    """A message type: field number -> name and how its value is read; a list ends with ``[]``, a map with ``{}``."""

    def __init__(self, fields: Mapping[int, tuple[str, Read]]) -> None:
        self._fields = fields

    def __call__(self, data: bytes) -> Json:
        result: Json = {}
        for number, value in _fields(data):
            if number not in self._fields:
                raise _not_taken(f"field number {number}")
            name, read = self._fields[number]
            if name.endswith("[]"):
                result.setdefault(name[:-2], []).append(read(value))
            elif name.endswith("{}"):
                entry = dict(_fields(value))
                result.setdefault(name[:-2], {})[_text(entry.get(1, b""))] = read(entry.get(2, b""))
            elif (decoded := read(value)) not in (
                "",
                None,
                {},
            ):  # Go's encoder writes absent texts and messages as empty ones
                result[name] = decoded
        return result


def decode_protobuf(body: bytes) -> Json:
    """Return the object of a body.

    Raises Refusal: 400 for what is no protobuf, 415 for kinds and fields that are not known here.
    """
    if not body.startswith(_MAGIC):
        raise bad_request("the body is no Kubernetes protobuf: it does not begin with k8s\\x00")
    try:
        envelope = dict(_fields(body[len(_MAGIC) :]))
        kind = _TYPE_META(envelope.get(1, b""))
        message = _message_of(kind.get("apiVersion", ""), kind.get("kind", ""))
        if message is None:
            raise _not_taken(f"kind {kind.get('kind', '')!r}")
        manifest: Json = {**kind, **message(envelope.get(2, b""))}
    except (IndexError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise bad_request(f"the body is no Kubernetes protobuf: {error}") from error
    return manifest


def _message_of(api_version: str, kind: str) -> _Message | None:
    """Return how a kind is read; DeleteOptions are the same in the version of each group."""
    return _DELETE_OPTIONS if kind == "DeleteOptions" else _KINDS.get((api_version, kind))


def _fields(data: bytes) -> Iterator[tuple[int, Any]]:
    """Yield number and raw value of each field: an int, or bytes."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        wire = tag & 7
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield tag >> 3, value
            continue
        if wire == _BYTES:
            length, position = _varint(data, position)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise IndexError(f"wire type {wire}")
        if position + length > len(data):
            raise IndexError("it ends within a field")
        yield tag >> 3, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (value - (1 << 64) if value >= 1 << 63 else value), position
        shift += 7
        if shift > 63:
            raise IndexError("a number is too long")


def _text(data: bytes) -> str:
    return data.decode()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _time(data: bytes) -> str | None:
    seconds = dict(_fields(data)).get(1)
    return None if seconds is None else encode_time(datetime.fromtimestamp(seconds, UTC))


def _int_or_string(data: bytes) -> int | str:
    fields = dict(_fields(data))
    return _text(fields.get(3, b"")) if fields.get(1) else int(fields.get(2, 0))


def _nothing(_data: object) -> None:
    return None


def _not_taken(what: str) -> Refusal:
    message = f"{what} in protobuf is not taken by this server; send the object as application/json"
    return Refusal(415, "UnsupportedMediaType", message)


_TYPE_META = _Message({1: ("apiVersion", _text), 2: ("kind", _text)})
_META = _Message(
    {
        1: ("name", _text),
        2: ("generateName", _text),
        3: ("namespace", _text),
        4: ("selfLink", _nothing),
        5: ("uid", _text),
        6: ("resourceVersion", _text),
        7: ("generation", _nothing),
        8: ("creationTimestamp", _time),
        11: ("labels{}", _text),
        12: ("annotations{}", _text),
        14: ("finalizers[]", _text),
    }
)
_REFERENCE = _Message(
    {
        1: ("kind", _text),
        2: ("namespace", _text),
        3: ("name", _text),
        4: ("uid", _text),
        5: ("apiVersion", _text),
        6: ("resourceVersion", _text),
        7: ("fieldPath", _text),
    }
)
_PORT = _Message(
    {
        1: ("name", _text),
        2: ("protocol", _text),
        3: ("port", int),
        4: ("targetPort", _int_or_string),
        5: ("nodePort", lambda number: number or None),
        6: ("appProtocol", _text),
    }
)
_SERVICE_SPEC = _Message(
    {
        1: ("ports[]", _PORT),
        2: ("selector{}", _text),
        3: ("clusterIP", _text),
        4: ("type", _text),
        7: ("sessionAffinity", _text),
        8: ("loadBalancerIP", _text),
        10: ("externalName", _text),
        11: ("externalTrafficPolicy", _text),
        12: ("healthCheckNodePort", _nothing),
        13: ("publishNotReadyAddresses", lambda number: bool(number) or None),
        18: ("clusterIPs[]", _text),
    }
)
_DELETE_OPTIONS = _Message(
    {
        1: ("gracePeriodSeconds", int),
        2: ("preconditions", _Message({1: ("uid", _text), 2: ("resourceVersion", _text)})),
        3: ("orphanDependents", bool),
        4: ("propagationPolicy", _text),
        5: ("dryRun[]", _text),
        6: ("ignoreStoreReadErrorWithClusterBreakingPotential", bool),
    }
)
_RESOURCE = _Message(
    {
        1: ("namespace", _text),
        2: ("verb", _text),
        3: ("group", _text),
        4: ("version", _text),
        5: ("resource", _text),
        6: ("subresource", _text),
        7: ("name", _text),
    }
)
_ACCESS_SPEC = _Message(
    {
        1: ("resourceAttributes", _RESOURCE),
        2: ("nonResourceAttributes", _Message({1: ("path", _text), 2: ("verb", _text)})),
    }
)
_STATUS = _nothing  # a new object's status is the server's
_KINDS: Mapping[tuple[str, str], _Message] = {
    ("v1", "Namespace"): _Message(
        {1: ("metadata", _META), 2: ("spec", _Message({1: ("finalizers[]", _text)})), 3: ("status", _STATUS)}
    ),
    ("v1", "ConfigMap"): _Message(
        {1: ("metadata", _META), 2: ("data{}", _text), 3: ("binaryData{}", _base64), 4: ("immutable", bool)}
    ),
    ("v1", "Secret"): _Message(
        {
            1: ("metadata", _META),
            2: ("data{}", _base64),
            3: ("type", _text),
            4: ("stringData{}", _text),
            5: ("immutable", bool),
        }
    ),
    ("v1", "ServiceAccount"): _Message(
        {
            1: ("metadata", _META),
            2: ("secrets[]", _REFERENCE),
            3: ("imagePullSecrets[]", _Message({1: ("name", _text)})),
            4: ("automountServiceAccountToken", bool),
        }
    ),
    ("v1", "Service"): _Message({1: ("metadata", _META), 2: ("spec", _SERVICE_SPEC), 3: ("status", _STATUS)}),
    ("policy/v1", "Eviction"): _Message({1: ("metadata", _META), 2: ("deleteOptions", _DELETE_OPTIONS)}),
    ("authentication.k8s.io/v1", "SelfSubjectReview"): _Message({1: ("metadata", _META), 2: ("status", _STATUS)}),
    ("authorization.k8s.io/v1", "SelfSubjectAccessReview"): _Message(
        {1: ("metadata", _META), 2: ("spec", _ACCESS_SPEC), 3: ("status", _STATUS)}
    ),
    ("authorization.k8s.io/v1", "SelfSubjectRulesReview"): _Message(
        {1: ("metadata", _META), 2: ("spec", _Message({1: ("namespace", _text)})), 3: ("status", _STATUS)}
    ),
}
