"""A header and a body that could name two models never get a request to the wrong one.

The oracle is every way in which an engine may read the body: Python's parser, orjson, the first of two keys, the last.
"""

import itertools
import json
from contextlib import suppress

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rayfleet_gateway.model.errors import UnreadableBody
from rayfleet_gateway.model.values import RequestHead
from rayfleet_gateway.request.head import checked_head
from rayfleet_gateway.request.model import asked, slices
from rayfleet_gateway.request.model_scan import at_once, quick_model, scanned

HEADERS = [None, b"a", b"b", b"A", b"a, a"]
KEYS = [
    '"model"',
    r'"\u006dodel"',
    r'"mod\u0065l"',
    r'"m\u006Fdel"',
    '"Model"',
    '"model "',
    r'"model\u0000"',
    '"mödel"',
]
BODIES = [
    *(f'{{{one}: "a", {other}: "b"}}' for one, other in itertools.product(KEYS, KEYS[:4])),
    '{"x": {"model": "b"}, "model": "a"}',
    '{"x": [{"model": "b"}], "model": "a"}',
    '{"x": "\\"model\\": \\"b\\"", "model": "a"}',
    '{"x": "\\\\", "model": "a", "y": "\\\\\\"model\\": \\"b\\""}',
    '{"model": "a"}{"model": "b"}',
    '{"model": "a"} {"model": "b"}',
    '[{"model": "b"}]',
    '{"model": "\\u0061"}',
    '{"model": ["b"]}',
    '{"model": null}',
    '{"model": "a", "x": {"model": "b"}, "model": "b"}',
    '\ufeff{"model": "a"}',
    "{'model': 'b'}",
    '{"model": "a", // "model": "b"\n"x": 1}',
    '{"model": "a"}\x00{"model": "b"}',
    "",
]
CASES = [(header, body.encode()) for header in HEADERS for body in BODIES]
CASES += [
    (header, body.encode(coding)) for header in HEADERS for coding in ("utf-16", "utf-32") for body in BODIES[-8:-6]
]


def head(model: bytes | None) -> RequestHead:
    headers = [(b"Host", b"gw")] + ([] if model is None else [(b"Model", model)])
    return checked_head(b"POST", b"/v1/chat/completions", headers, version="1.1", is_keep_alive=True)


def readings(body: bytes) -> set[str]:
    """Return every model that a reader of the body may see."""
    seen: set[str] = set()
    with suppress(ValueError):
        seen.add(json.loads(body).get("model"))
    with suppress(ValueError):
        seen.add(orjson.loads(body).get("model"))
    with suppress(ValueError):
        pairs = json.loads(body, object_pairs_hook=list)
        seen |= {value for key, value in pairs if key == "model"} if isinstance(pairs, list) else set()
    return seen - {None}


def test_there_are_as_many_spoofs_as_the_bar_says() -> None:
    assert len(CASES) >= 140


@pytest.mark.parametrize(("model", "body"), CASES)
def test_what_is_accepted_is_what_every_reader_sees(model: bytes | None, body: bytes) -> None:
    try:
        chosen = asked(head(model), body)
    except UnreadableBody:
        return
    assert readings(body) | ({model.decode()} if model is not None else set()) == {chosen}


@given(body=st.text(alphabet='{}[]",:\\ model0u6dn', max_size=60))
def test_the_quick_look_is_sure_only_of_what_the_scanner_says(body: str) -> None:
    quick = quick_model(body.encode())
    if quick is not None:
        assert quick == (at_once(scanned(body.encode())),)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet='\\"model\n{', max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["model", "x"]), inner, max_size=3),
    max_leaves=10,
)


@given(content=st.dictionaries(st.sampled_from(["model", "messages", "mode"]), _JSON, max_size=3))
def test_at_once_and_in_slices_say_the_same(content: dict[str, object]) -> None:
    body = json.dumps(content).encode()
    scan = slices(head(None), body)
    model = content.get("model")
    if not isinstance(model, str) or not model:
        with pytest.raises(UnreadableBody):
            asked(head(None), body)
        with pytest.raises(UnreadableBody):
            list(scan)
        return
    assert asked(head(None), body) == at_once(scan) == model
