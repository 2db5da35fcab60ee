"""Bodies as kubectl's typed commands send them."""

import pytest

from rayfleet.local.apiserver.grammar.refusal import Refusal
from rayfleet.local.apiserver.wire.protobuf import decode_protobuf


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def body(kind: str, raw: bytes, version: str = "v1") -> bytes:
    type_meta = field(1, version.encode()) + field(2, kind.encode())
    return b"k8s\x00" + field(1, type_meta) + field(2, raw) + field(3, b"") + field(4, b"")


META = field(
    1,
    field(1, b"key")
    + field(2, b"")
    + field(3, b"")
    + field(7, 0)
    + field(8, b"")
    + field(11, field(1, b"a") + field(2, b"b")),
)


def test_a_secret_has_its_data_in_base64() -> None:
    raw = META + field(2, field(1, b"token") + field(2, b"abc")) + field(3, b"Opaque")
    assert decode_protobuf(body("Secret", raw)) == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "key", "labels": {"a": "b"}},
        "data": {"token": "YWJj"},
        "type": "Opaque",
    }


def test_empty_values_of_a_map_are_values() -> None:
    raw = META + field(2, field(1, b"a") + field(2, b"")) + field(2, field(1, b"b"))
    assert decode_protobuf(body("ConfigMap", raw))["data"] == {"a": "", "b": ""}


def test_a_service_has_its_ports_by_number_or_name() -> None:
    by_number = (
        field(1, b"web")
        + field(2, b"TCP")
        + field(3, 80)
        + field(4, field(1, 0) + field(2, 8080) + field(3, b""))
        + field(5, 0)
    )
    by_name = field(3, 300) + field(4, field(1, 1) + field(2, 0) + field(3, b"http"))
    spec = (
        field(1, by_number)
        + field(1, by_name)
        + field(2, field(1, b"app") + field(2, b"x"))
        + field(4, b"ClusterIP")
        + field(13, 0)
    )
    found = decode_protobuf(body("Service", META + field(2, spec) + field(3, field(1, b""))))
    assert found["spec"] == {
        "ports": [
            {"name": "web", "protocol": "TCP", "port": 80, "targetPort": 8080},
            {"port": 300, "targetPort": "http"},
        ],
        "selector": {"app": "x"},
        "type": "ClusterIP",
    }
    assert "status" not in found


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"{}", 400),
        (b"k8s\x00\xff", 400),
        (b"k8s\x00\x12\x7fabc", 400),
        (b"k8s\x00" + b"\xff" * 20, 400),
        (body("Pod", META), 415),
        (body("Secret", META, "v2"), 415),
        (body("Secret", META + field(9, b"x")), 415),
    ],
)
def test_what_is_not_understood_is_refused_whole(data: bytes, code: int) -> None:
    with pytest.raises(Refusal) as refusal:
        decode_protobuf(data)
    assert refusal.value.code == code
