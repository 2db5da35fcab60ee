"""What a rule changes of requests and answers (rayfleet_gateway.route.filters)."""

from typing import Any

import pytest

from rayfleet_gateway.route.filters import (
    PathChange,
    Redirect,
    Rewrite,
    redirect_location,
    rewritten_target,
)


@pytest.mark.parametrize(
    ("change", "prefix", "target", "path", "expected"),
    [
        (PathChange(full="/new"), "/v1", b"/v1/x?a=1", "/v1/x", b"/new?a=1"),
        (PathChange(prefix="/new"), "/v1", b"/v1/x?a=%20", "/v1/x", b"/new/x?a=%20"),
        (PathChange(prefix="/new/"), "/v1", b"/v1/x", "/v1/x", b"/new/x"),
        (PathChange(prefix="/new"), "/v1", b"/v1", "/v1", b"/new"),
        (PathChange(prefix="/"), "/v1", b"/v1", "/v1", b"/"),
        (PathChange(prefix="/"), "/v1", b"/v1/", "/v1/", b"/"),
        (PathChange(prefix=""), "/v1", b"/v1/x", "/v1/x", b"/x"),
        (PathChange(prefix="/new"), "", b"/v1", "/v1", b"/new/v1"),
        (PathChange(prefix="/new"), "/v1", b"/%761/a%20b%2fc", "/v1/a b/c", b"/new/a%20b/c"),
        (None, "/v1", b"/v1/x?a", "/v1/x", b"/v1/x?a"),
    ],
)
def test_a_rewritten_path_keeps_the_rest_and_the_query(
    change: PathChange | None, prefix: str, target: bytes, path: str, expected: bytes
) -> None:
    assert rewritten_target(Rewrite(path=change), prefix, target, path) == expected


def test_a_rewritten_path_cannot_begin_a_second_line() -> None:
    target = rewritten_target(Rewrite(path=PathChange(prefix="/new")), "/v1", b"/v1/x", "/v1/a\r\nb: c\x00é")
    assert target == b"/new/a%0D%0Ab:%20c%00%C3%A9"


@pytest.mark.parametrize(
    ("redirect", "host", "expected"),
    [
        ({}, "gw:8080", "http://gw:8080/v1/x?a=1"),
        ({"hostname": "new.example.org"}, "gw", "http://new.example.org/v1/x?a=1"),
        ({"scheme": "https"}, "gw:8080", "https://gw/v1/x?a=1"),
        ({"scheme": "https", "port": 443}, "gw:8080", "https://gw/v1/x?a=1"),
        ({"scheme": "https", "port": 8443}, "gw", "https://gw:8443/v1/x?a=1"),
        ({"port": 80}, "gw:8080", "http://gw/v1/x?a=1"),
        ({"path": PathChange(full="/y")}, "gw", "http://gw/y?a=1"),
        ({"path": PathChange(prefix="/v2")}, "gw", "http://gw/v2/x?a=1"),
        ({}, "[fd00::1]:8080", "http://[fd00::1]:8080/v1/x?a=1"),
        ({}, "[fd00::1]", "http://[fd00::1]/v1/x?a=1"),
        ({"scheme": "https"}, "", "/v1/x?a=1"),
        ({"hostname": "new.example.org"}, "", "http://new.example.org/v1/x?a=1"),
    ],
)
def test_a_redirect_changes_what_it_names_and_writes_no_port_that_goes_without_saying(
    redirect: dict[str, Any], host: str, expected: str
) -> None:
    location = redirect_location(
        Redirect(**redirect), "/v1", scheme="http", host=host, target="/v1/x?a=1", path="/v1/x"
    )
    assert location == expected
