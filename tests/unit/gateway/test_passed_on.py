"""What goes on in each direction: heads, names of a request, CORS (request.headers, answer.head, answer.cors)."""

import pytest

from rayfleet_gateway.answer.cors import ALLOW, Cors, is_preflight, opened, preflight
from rayfleet_gateway.answer.head import AnswerHead, Reply, read, returned
from rayfleet_gateway.model.errors import BrokenOff
from rayfleet_gateway.model.values import RequestHead
from rayfleet_gateway.request.head import checked_head
from rayfleet_gateway.request.headers import Edits, ForwardedPolicy, Onward, head_end, head_start
from rayfleet_gateway.request.identity import Names, given_id, given_trace_parent

Pair = tuple[bytes, bytes]
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def request(*headers: Pair, method: bytes = b"POST", version: str = "1.1") -> RequestHead:
    lines = [(b"Host", b"gw:8000"), *headers] if version == "1.1" else list(headers)
    return checked_head(method, b"/v1/completions?a", lines, version=version, is_keep_alive=True)


def sent(
    head: RequestHead, *, policy: ForwardedPolicy = ForwardedPolicy.APPEND, edits: Edits | None = None, size: int = 2
) -> list[str]:
    """Return the lines that go upstream."""
    onward = Onward(client="192.0.2.7", policy=policy, edits=edits or Edits())
    text = (head_start(head, onward) + head_end(head, size, "id", PARENT)).decode("latin-1")
    assert text.endswith("\r\n\r\n")
    return text[:-4].split("\r\n")


def test_headers_go_on_in_their_order_and_letters() -> None:
    lines = sent(request((b"X-B", b"1"), (b"x-a", b"\xff"), (b"X-B", b"2")))
    assert lines == [
        "POST /v1/completions?a HTTP/1.1",
        "Host: gw:8000",
        "X-B: 1",
        "x-a: \xff",
        "X-B: 2",
        "X-Forwarded-For: 192.0.2.7",
        "X-Forwarded-Proto: http",
        "X-Forwarded-Host: gw:8000",
        "Content-Length: 2",
        "X-Request-Id: id",
        f"traceparent: {PARENT}",
    ]


def test_what_packs_a_stream_is_not_asked_for() -> None:
    assert not [line for line in sent(request((b"Accept-Encoding", b"gzip"))) if line.startswith("Accept")]


@pytest.mark.parametrize(
    ("method", "size", "has_length"), [(b"POST", 0, True), (b"GET", 0, False), (b"GET", 2, True), (b"DELETE", 0, False)]
)
def test_a_length_is_said_where_there_may_be_a_body(method: bytes, size: int, has_length: bool) -> None:
    lines = sent(request(method=method), size=size)
    assert (f"Content-Length: {size}" in lines) is has_length


def test_a_request_of_http_1_0_gets_a_host() -> None:
    assert "Host: localhost" in sent(request(version="1.0"))


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (ForwardedPolicy.APPEND, {"X-Forwarded-For: 1.1.1.1, 192.0.2.7", "X-Forwarded-Proto: https", "X-Real-IP: 2"}),
        (
            ForwardedPolicy.REPLACE,
            {"X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http", "X-Forwarded-Host: gw:8000"},
        ),
        (ForwardedPolicy.KEEP, {"X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: https", "X-Real-IP: 2"}),
    ],
)
def test_what_proxies_before_us_said_follows_a_policy(policy: ForwardedPolicy, expected: set[str]) -> None:
    said = [(b"X-Forwarded-For", b"1.1.1.1"), (b"X-Forwarded-Proto", b"https"), (b"X-Real-IP", b"2")]
    lines = sent(request(*said), policy=policy)
    marked = {line for line in lines if line.startswith(("X-Forwarded", "X-Real"))}
    assert marked - {"X-Forwarded-Host: gw:8000"} == expected - {"X-Forwarded-Host: gw:8000"}
    assert len([line for line in lines if line.startswith("X-Forwarded-For")]) == 1


def test_a_route_changes_headers_host_and_target() -> None:
    edits = Edits(
        put=((b"X-A", b"new"),), add=((b"X-B", b"more"),), drop=frozenset({b"x-c"}), target=b"/other", host=b"inner"
    )
    lines = sent(request((b"x-a", b"old"), (b"X-B", b"1"), (b"X-C", b"1")), edits=edits)
    assert lines[0] == "POST /other HTTP/1.1"
    assert {"X-A: new", "X-B: 1", "X-B: more", "Host: inner"} < set(lines)
    assert not {"x-a: old", "X-C: 1", "Host: gw:8000"} & set(lines)


def test_a_request_keeps_its_names_if_they_are_fit_for_a_log() -> None:
    assert given_id(request((b"X-Request-Id", b"mine"))) == "mine"
    for unfit in (b"", b"a b", b"x" * 129, b"\xff"):
        assert given_id(request((b"X-Request-Id", unfit))) == ""
    assert given_trace_parent(request((b"traceparent", PARENT.encode()))) == PARENT
    zeros = f"00-{'0' * 32}-b7ad6b7169203331-01".encode()
    for unfit in (b"x", PARENT.upper().encode(), b"ff" + PARENT[2:].encode(), zeros, PARENT.encode() + b"-x"):
        assert given_trace_parent(request((b"traceparent", unfit))) == ""
    made = Names().trace_parent()
    assert given_trace_parent(request((b"traceparent", made.encode()))) == made


def test_no_name_is_given_twice() -> None:
    names = Names()
    request_ids, spans = [names.request_id() for _ in range(1000)], [names.span_id() for _ in range(1000)]
    assert {len(name) for name in request_ids} == {32}
    assert {len(name) for name in spans} == {16}
    cut = {name[at : at + 16] for name in request_ids for at in (0, 16)}
    assert len(cut | set(spans)) == 3000  # no digits serve twice either


def test_an_upgrade_that_is_not_made_closes() -> None:
    """A client that waits for the other protocol must not find the next answer in its place."""
    assert not request((b"Connection", b"Upgrade"), (b"Upgrade", b"h2c")).is_keep_alive
    assert request().is_keep_alive


def answered(*headers: Pair, status: int = 200, method: str = "POST") -> AnswerHead:
    return read(status, b"OK", list(headers), method=method)


def given_back(answer: AnswerHead, **reply: object) -> list[str]:
    plain = {"request_id": "id", "length": None, "is_chunked": True, "is_keep_alive": True, "host": "gw:8000"}
    text = returned(answer, Reply(**{**plain, **reply}))  # type: ignore[arg-type] # a test's short form
    return text.decode("latin-1")[:-4].split("\r\n")


@pytest.mark.parametrize(
    "headers",
    [
        [(b"Content-Length", b"1"), (b"Content-Length", b"2")],
        [(b"Content-Length", b"+1")],
        [(b"Content-Length", b"")],
        [(b"Content-Length", b"1"), (b"Transfer-Encoding", b"chunked")],
        [(b"Transfer-Encoding", b"gzip, chunked")],
    ],
)
def test_an_answer_with_two_framings_is_none(headers: list[Pair]) -> None:
    with pytest.raises(BrokenOff):
        answered(*headers)


def test_an_answer_is_known_by_its_head() -> None:
    stream = answered((b"Content-Type", b"Text/Event-Stream; charset=utf-8"), (b"Transfer-Encoding", b"chunked"))
    assert (stream.is_event_stream, stream.is_chunked, stream.length) == (True, True, None)
    assert answered((b"Content-Length", b"7")).length == 7
    assert answered((b"Content-Length", b"7"), method="HEAD").length == 0
    assert answered(status=204).length == 0


def test_what_is_between_us_and_the_engine_stays_there() -> None:
    answer = answered(
        (b"Content-Type", b"application/json"),
        (b"Connection", b"close, X-Hop"),
        (b"X-Hop", b"1"),
        (b"Alt-Svc", b'h3="10.0.0.1:443"'),
        (b"Set-Cookie", b"a=1"),
        (b"Set-Cookie", b"b=2"),
        (b"X-Request-Id", b"the engine's"),
    )
    assert given_back(answer) == [
        "HTTP/1.1 200 OK",
        "Content-Type: application/json",
        "Set-Cookie: a=1",
        "Set-Cookie: b=2",
        "Transfer-Encoding: chunked",
        "X-Request-Id: id",
    ]
    assert given_back(answer, length=3, is_chunked=False, is_keep_alive=False)[-3:] == [
        "Content-Length: 3",
        "X-Request-Id: id",
        "Connection: close",
    ]


@pytest.mark.parametrize(
    ("place", "told"),
    [
        ("http://10.1.2.3:8000/v1/completions/?a", "/v1/completions/?a"),
        ("http://[fd00::7]:8000/x", "/x"),
        ("//10.1.2.3/x", "/x"),
        ("http://u:p@10.1.2.3/x", "/x"),
        ("http://localhost:8000", "/"),
        ("http://engine-0.engines.ns.svc.cluster.local:8000/x", "/x"),
        ("http://ENGINE.ns.svc/x", "/x"),
        ("http://fleet-head:8000/x", "/x"),
        ("http://gw:8000/x", "http://gw:8000/x"),
        ("https://docs.vllm.ai/x", "https://docs.vllm.ai/x"),
        ("/x", "/x"),
        ("x", "x"),
    ],
)
def test_no_place_inside_the_cluster_is_told(place: str, told: str) -> None:
    answer = answered((b"Location", place.encode()), status=307)
    assert f"Location: {told}" in given_back(answer)


PAGE = (b"Origin", b"https://chat.example")
ASKS = (b"Access-Control-Request-Method", b"POST")


def test_a_browser_may_ask_first() -> None:
    """Report 31."""
    cors = Cors(origins=frozenset({"https://chat.example"}))
    asking = request(PAGE, ASKS, (b"Access-Control-Request-Headers", b"authorization,content-type"), method=b"OPTIONS")
    assert is_preflight(asking, cors)
    text = preflight(asking, cors, request_id="id", is_keep_alive=True).decode()
    assert text.startswith("HTTP/1.1 204 No Content\r\n")
    assert "Access-Control-Allow-Origin: https://chat.example\r\nVary: Origin\r\n" in text
    assert "Access-Control-Allow-Headers: authorization,content-type\r\n" in text
    assert "Access-Control-Allow-Methods: GET, POST" in text
    assert text.endswith("\r\n\r\n")


@pytest.mark.parametrize(
    ("headers", "method"), [([PAGE], b"OPTIONS"), ([ASKS], b"OPTIONS"), ([PAGE, ASKS], b"POST"), ([], b"OPTIONS")]
)
def test_only_a_preflight_is_one(headers: list[Pair], method: bytes) -> None:
    assert not is_preflight(request(*headers, method=method), Cors(origins=frozenset({"*"})))
    assert not is_preflight(request(PAGE, ASKS, method=b"OPTIONS"), Cors())


def test_another_origin_is_allowed_nothing() -> None:
    cors, other = Cors(origins=frozenset({"https://a.example"})), request(PAGE, ASKS, method=b"OPTIONS")
    assert b"Access-Control" not in preflight(other, cors, request_id="id", is_keep_alive=True)
    assert opened(other, cors) == b"Vary: Origin\r\n"
    assert opened(other, Cors()) == b""
    assert b"Allow-Origin: *\r\n" in opened(other, Cors(origins=frozenset({"*"})))


def test_the_gateway_speaks_for_engines_too() -> None:
    engine = answered((b"Access-Control-Allow-Origin", b"*"), (b"access-control-allow-credentials", b"true"))
    more = opened(request(PAGE), Cors(origins=frozenset({"https://chat.example"})))
    lines = given_back(engine, more=more, dropped_prefix=ALLOW)
    allowed = [line for line in lines if line.lower().startswith("access-control-allow")]
    assert allowed == ["Access-Control-Allow-Origin: https://chat.example"]
    assert any(line.startswith("Access-Control-Expose-Headers: X-Request-Id") for line in lines)


@pytest.mark.parametrize(
    ("edits", "expected"),
    [
        (Edits(put=((b"X-Forwarded-Proto", b"https"),)), ["X-Forwarded-Proto: https"]),
        (Edits(drop=frozenset({b"x-forwarded-proto"})), []),
        (Edits(), ["X-Forwarded-Proto: http"]),
    ],
)
def test_what_a_route_says_of_the_peer_is_said_once(edits: Edits, expected: list[str]) -> None:
    for said in ((), ((b"X-Forwarded-Proto", b"http"),)):
        lines = [line for line in sent(request(*said), edits=edits) if line.lower().startswith("x-forwarded-proto")]
        assert lines == expected


def test_the_state_of_a_trace_that_does_not_go_on_ends_here() -> None:
    """W3C Trace Context, 3.3: of an invalid traceparent no tracestate may be passed on."""
    for given, is_kept in ((PARENT, True), ("00-zz", False)):
        lines = sent(request((b"traceparent", given.encode()), (b"tracestate", b"a=b")))
        assert ("tracestate: a=b" in lines) is is_kept
