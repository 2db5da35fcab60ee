"""What the gateway says of its own (rayfleet_gateway.answer.refusals)."""

import difflib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from rayfleet_gateway.answer import refusals
from rayfleet_gateway.answer.head import refused
from rayfleet_gateway.answer.refusals import CODES, Refusal
from rayfleet_gateway.model.errors import BodyTooLarge, UnreadableBody, UnsupportedCoding

LIMIT = 1 << 20
ALL = [
    (refusals.bad_request("x"), 400, "invalid_request_error"),
    (refusals.of_body(UnreadableBody("x"), LIMIT), 400, "invalid_request_error"),
    (refusals.model_not_found("a", []), 404, "model_not_found"),
    (refusals.no_rule("a", "/v1/embeddings", ["a"], ["/v1/completions"]), 404, "path_not_found"),
    (refusals.path_not_found("/x"), 404, "path_not_found"),
    (refusals.method_not_allowed("/x", "POST"), 405, "method_not_allowed"),
    (refusals.slow_request(), 408, "request_timeout"),
    (refusals.of_body(BodyTooLarge("x"), LIMIT), 413, "request_too_large"),
    (refusals.uri_too_long(8), 414, "uri_too_long"),
    (refusals.of_body(UnsupportedCoding("x"), LIMIT), 415, "unsupported_media_type"),
    (refusals.head_too_large(64 << 10, 100), 431, "head_too_large"),
    (refusals.no_backend("m"), 500, "route_without_backend"),
    (refusals.internal("id"), 500, "internal_error"),
    (refusals.upstream_error("m", "x"), 502, "upstream_error"),
    (refusals.overloaded(), 503, "gateway_overloaded"),
    (refusals.model_not_ready("m"), 503, "model_not_ready"),
    (refusals.not_synced(), 503, "gateway_starting"),
    (refusals.stopping(), 503, "gateway_stopping"),
    (refusals.upstream_timeout("m", "x"), 504, "upstream_timeout"),
]


@pytest.mark.parametrize(("refusal", "status", "code"), ALL, ids=[f"{status}-{code}" for _, status, code in ALL])
def test_every_refusal_has_its_status_and_openais_shape(refusal: Refusal, status: int, code: str) -> None:
    error = json.loads(refusal.body("/v1/completions"))["error"]
    assert (refusal.status, error["code"]) == (status, code)
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == ("invalid_request_error" if status < 500 else "server_error")
    if status == 503:
        assert int(refusal.headers["Retry-After"]) > 0
    if status in {500, 504}:
        assert refusal.headers["x-should-retry"] == "false"


def test_every_code_is_known_and_in_the_readme() -> None:
    text = (Path(__file__).parents[3] / "gateway" / "README.md").read_text(encoding="utf-8")
    table = [row.split("|")[2] for row in text.splitlines() if re.match(r"\| [45]\d\d", row)]
    assert sorted(re.findall(r"`(\w+)`", "".join(table))) == sorted(CODES)
    assert {code for _, _, code in ALL} <= set(CODES)


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (refusals.bad_request("x"), "invalid_request_error"),
        (refusals.path_not_found("/x"), "not_found_error"),
        (refusals.too_large(LIMIT), "request_too_large"),
        (refusals.head_too_large(1, 1), "invalid_request_error"),
        (refusals.model_not_ready("m"), "overloaded_error"),
        (refusals.upstream_error("m", "x"), "api_error"),
        (refusals.upstream_timeout("m", "x"), "timeout_error"),
    ],
)
def test_anthropics_clients_read_their_own_shape(refusal: Refusal, kind: str) -> None:
    content = json.loads(refusal.body("/v1/messages"))
    assert content == {"type": "error", "error": {"type": kind, "message": refusal.message}}
    assert refusal.event("/v1/messages") == b"event: error\ndata: " + refusal.body("/v1/messages") + b"\n\n"
    assert json.loads(refusal.body("/v1/messages/count_tokens"))["type"] == "error"


def test_a_refusal_is_a_whole_answer() -> None:
    refusal = refusals.model_not_ready("m")
    kept = refused(refusal, request_id="id", is_keep_alive=True, more=b"X-More: 1\r\n")
    head, _, body = kept.partition(b"\r\n\r\n")
    assert body == refusal.body()
    lines = head.decode().split("\r\n")
    assert lines[0] == "HTTP/1.1 503 Service Unavailable"
    assert {"Retry-After: 2", "retry-after-ms: 2000", "X-Request-Id: id", "X-More: 1"} < set(lines)
    assert f"Content-Length: {len(body)}" in lines
    assert "Connection: close" not in lines
    assert refused(refusal, request_id="id", is_keep_alive=True, is_head=True).endswith(b"\r\n\r\n")
    for closing in (refused(refusal, request_id="id", is_keep_alive=False), _closed(refusals.slow_request())):
        assert closing.count(b"Connection: close\r\n") == 1


def _closed(refusal: Refusal) -> bytes:
    return refused(refusal, request_id="id", is_keep_alive=True)


@pytest.mark.parametrize(
    "reason",
    [
        "Connect call failed ('10.2.3.4', 9001)",
        "no route to 10.2.3.4:9001",
        "http://[fd00::1:2]:8000/ is away",
        "peer fe80:0:0:0:1:2:3:4 reset",
        "http://[fd00::5]:8000/ is away",
        "dial fe80::1%eth0",
        "from ::ffff:10.2.3.4 it is away",
        "fd00::5, fd00::6",
    ],
)
def test_no_address_of_a_pod_is_told(reason: str) -> None:
    quoted = refusals.quoted_error("m", 500, f"<html>{reason}</html>", {})
    for refusal in (refusals.upstream_error("m", reason), quoted):
        assert "[address]" in refusal.message
        assert not any(part in refusal.message for part in ("10.2.3.4", "fd00", "fe80"))


def test_a_model_that_is_served_elsewhere_is_told_where() -> None:
    """Report 09: it said that the model does not exist, and proposed the very model."""
    message = refusals.no_rule("echo", "/v1/embeddings", ["echo", "vectors"], ["/v1/completions"]).message
    assert message == "The model `echo` is not served at /v1/embeddings but at /v1/completions."
    assert refusals.no_rule("ecko", "/v1/embeddings", ["echo"], []).code == "model_not_found"
    assert refusals.no_rule("", "/docs", ["echo"], []).code == "path_not_found"
    assert "echo?" not in refusals.model_not_found("echo", ["echo"]).message


def test_the_nearest_names_are_proposed() -> None:
    assert "Did you mean m?" in refusals.model_not_found("mm", ["m"]).message
    known = sorted(["llama-3.1-8b", "llama-3.1-70b", "qwen-coder-7b", "smollm2"])
    assert refusals.nearest("llama-3.1-8B", known)[0] == "llama-3.1-8b"
    assert refusals.nearest("zzz", known) == []


def test_thousands_of_names_cost_as_much_as_seven() -> None:
    known = sorted(f"qwen-coder-7b-instruct-team-of-the-third-floor-and-more-{number:04}" for number in range(5000))

    class Counted(list[str]):
        compared = 0

        def __getitem__(self, at: Any) -> Any:
            type(self).compared += len(range(*at.indices(len(self)))) if isinstance(at, slice) else 1
            return super().__getitem__(at)

    assert len(refusals.nearest("qwen-coder-7b-instruct-team-of-the-third-floor-and-more-99x", Counted(known))) == 3
    assert Counted.compared < 30
    assert difflib.get_close_matches("x" * 10_000, known[:1]) == refusals.nearest("x" * 10_000, known)


@pytest.mark.parametrize("words", ["at 12:30:45 it failed", "std::vector is empty", "a 16:9 ratio", "step 3.1.2"])
def test_what_only_looks_like_an_address_is_told(words: str) -> None:
    assert words in refusals.quoted_error("m", 500, words, {}).message


def test_a_route_without_a_model_is_called_one() -> None:
    for refusal in (
        refusals.model_not_ready(""),
        refusals.all_ejected("", 1),
        refusals.no_backend(""),
        refusals.upstream_error("", "it is gone"),
        refusals.upstream_timeout("", "nothing"),
        refusals.quoted_error("", 500, "x", {}),
    ):
        assert "model" not in refusal.message
        assert "route" in refusal.message


@pytest.mark.parametrize(("status", "told"), [(404, 404), (499, 499), (520, 520), (999, 502)])
def test_an_engines_error_keeps_its_status(status: int, told: int) -> None:
    """A client saw 502 where the log and the metrics had a 4xx."""
    assert refusals.quoted_error("m", status, "x", {}).status == told
    answer = refused(refusals.quoted_error("m", status, "x", {}), request_id="id", is_keep_alive=True)
    assert answer.startswith(b"HTTP/1.1 %d " % told)
