"""Which model a request asks for (rayfleet_gateway.request.model_scan)."""

import pytest

from rayfleet_gateway.model.errors import UnreadableBody
from rayfleet_gateway.request.head import checked_head
from rayfleet_gateway.request.model import asked
from rayfleet_gateway.request.model_scan import SLICE_BYTES, SLICE_STEPS, agreed_model, at_once, scanned


def body_model(body: bytes) -> str | None:
    return at_once(scanned(body))


@pytest.mark.parametrize(
    ("body", "model"),
    [
        (b'{"model": "a"}', "a"),
        (b' {"messages": [{"role": "user", "content": "\\"model\\": \\"b\\""}], "model":"a"} ', "a"),
        (b'{"x": {"model": "inner"}, "model": "outer"}', "outer"),
        (b'{"x": {"model": "inner"}}', None),
        (b'{"x": [{"model": "inner"}, "]", "}"], "n": 1.5e3, "t": true}', None),
        (b"{}", None),
        (b'{"\\u006dodel": "escaped"}', "escaped"),
        ('{"model": "größe"}'.encode(), "größe"),
        (b'{"model": "a\\/b"}', "a/b"),
    ],
)
def test_only_the_top_level_counts(body: bytes, model: str | None) -> None:
    assert body_model(body) == model


@pytest.mark.parametrize(
    "body",
    [
        b'{"model": "a", "model": "b"}',
        b'{"model": "a", "model": "a"}',
        b'{"model": "a", "\\u006dodel": "b"}',
        b'{"\\u006d\\u006fdel": "a", "x": {}, "model": "b"}',
    ],
)
def test_a_key_given_twice_is_refused_however_it_is_written(body: bytes) -> None:
    with pytest.raises(UnreadableBody, match="twice"):
        body_model(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"model"',
        b"{",
        b'{"model"',
        b'{"model": ',
        b'{"model": "a"',
        b'{"model": "a}',
        b'{"model": "a"} x',
        b'{"model": "a"}{"model": "b"}',
        b'{"model": 1}',
        b'{"model": null}',
        b'{"x": [1, 2}, "model": "a"}',
        b"{'model': 'a'}",
        b'{"model": "a",}',
        b"\xff\xfe",
    ],
)
def test_what_does_not_say_one_model_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableBody):
        body_model(body)


def test_header_and_body_must_agree() -> None:
    assert agreed_model("a", "a") == "a"
    assert agreed_model("a", None) == "a"
    assert agreed_model(None, "a") == "a"
    with pytest.raises(UnreadableBody, match="agree"):
        agreed_model("a", "b")
    with pytest.raises(UnreadableBody, match="names no model"):
        agreed_model(None, None)


def test_a_long_prompt_is_one_jump() -> None:
    body = b'{"prompt": "' + b"x \\n" * 500_000 + b'", "model": "a"}'
    assert body_model(body) == "a"


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{" + b",".join(b'"k%d": 1' % number for number in range(2000)) + b"}", "1000 keys"),
        (b'{"x": [' + b",".join([b"[]"] * 200_000) + b"]}", "nested"),
        (b'{"model": "' + b"x" * 600 + b'"}', "512 characters"),
        (b'{"model": "' + b"x" * 1_000_000 + b'"}', "512 characters"),
        (b'{"model": "\x00m"}', "not valid JSON"),
        (b'{"model": "\xff"}', "not valid JSON"),
    ],
)
def test_bodies_made_to_be_slow_or_odd_are_refused(body: bytes, message: str) -> None:
    with pytest.raises(UnreadableBody, match=message):
        agreed_model(None, body_model(body))


@pytest.mark.parametrize(
    ("body", "fewest"),
    [
        (b'{"p": "' + b'\\"' * (2 << 20) + b'", "model": "a"}', (4 << 20) // SLICE_BYTES),
        (b'{"p": "' + b"x \\n" * (1 << 20) + b'", "model": "a"}', (4 << 20) // SLICE_BYTES),
        (b'{"p": [' + b"12345," * 500_000 + b'1], "model": "a"}', 3_000_000 // SLICE_BYTES),
        (b'{"p": [' + b'{"role":"tool"},' * 20_000 + b'1], "model": "a"}', 40_000 // SLICE_STEPS),
        (b'{"p": ' + b"[" * 90_000 + b"]" * 90_000 + b', "model": "a"}', 180_000 // SLICE_STEPS),
    ],
    ids=["quotes", "lines", "numbers", "tools", "nested"],
)
def test_what_takes_time_is_cut_into_slices(body: bytes, fewest: int) -> None:
    assert body_model(body) == "a"
    assert len(list(scanned(body))) >= fewest - 1  # the last slice ends without a stop


@pytest.mark.parametrize(
    "body",
    [
        b'{"p": 1,' + b" " * 1_000_000 + b'"model": "a"}',
        b'{"p": ' + b"1" * 1_000_000 + b', "model": "a"}',
        b'{"' + b"k" * 1_000_000 + b'": 1, "model": "a"}',
        b" " * 1_000_000 + b'{"model": "a"}',
        b'{"model": "a"}' + b" " * 1_000_000,
        b'{"p": "' + b"\\" * 1_000_001 + b'", "model": "a"}',
    ],
)
def test_long_runs_of_nothing_are_refused_or_cut(body: bytes) -> None:
    with pytest.raises(UnreadableBody):
        body_model(body)


@pytest.mark.parametrize("has_header", [True, False])
def test_a_model_named_twice_is_no_way_around_the_header(has_header: bool) -> None:
    """On a path of a route's own, too: the engine may read the body. Without a header it may be anything."""
    headers = [(b"Host", b"gw"), *([(b"model", b"a")] if has_header else [])]
    head = checked_head(b"POST", b"/own", headers, version="1.1", is_keep_alive=True)
    body = b'{"model": "b", "model": "b"}'
    if has_header:
        with pytest.raises(UnreadableBody, match="twice"):
            asked(head, body)
    else:
        assert asked(head, body) == ""
