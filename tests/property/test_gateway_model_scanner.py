"""The model scanner against json.loads, on generated documents and on any bytes."""

import json
from contextlib import suppress
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from rayfleet_gateway.model.errors import UnreadableBody
from rayfleet_gateway.request.model_scan import at_once, scanned

_SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4), max_leaves=12
)
_KEYS = st.sampled_from(["model", "messages", "prompt", 'mo"del', "\\model"]) | st.text(max_size=6)


@given(
    pairs=st.lists(st.tuples(_KEYS, _VALUES), max_size=6),
    is_ascii=st.booleans(),
    indent=st.sampled_from([None, 0, 2]),
)
def test_it_agrees_with_a_parser_that_sees_every_pair(
    pairs: list[tuple[str, Any]], is_ascii: bool, indent: int | None
) -> None:
    inner = ",".join(
        f"{json.dumps(key, ensure_ascii=is_ascii)}:{json.dumps(value, ensure_ascii=is_ascii, indent=indent)}"
        for key, value in pairs
    )
    body = f"{{{inner}}}".encode("utf-8", "surrogatepass")
    models = [value for key, value in pairs if key == "model"]
    if len(models) > 1 or any(not isinstance(model, str) for model in models):
        try:
            at_once(scanned(body))
        except UnreadableBody:
            return
        raise AssertionError("an ambiguous body was accepted")
    assert at_once(scanned(body)) == (models[0] if models else None)


@given(body=st.binary(max_size=200))
def test_any_bytes_give_an_answer_or_a_refusal(body: bytes) -> None:
    with suppress(UnreadableBody):
        at_once(scanned(body))  # raises nothing else


@given(body=st.text(alphabet='{}[]",:\\ model0', max_size=60))
def test_what_a_parser_accepts_and_the_scanner_accepts_is_the_same_model(body: str) -> None:
    try:
        model = at_once(scanned(body.encode()))
    except UnreadableBody:
        return
    try:
        parsed = json.loads(body)
    except ValueError:
        return  # the engine refuses it; what lies below the top level is not the scanner's to check
    assert model == parsed.get("model")


@given(texts=st.lists(st.text(alphabet='\\"\n{]a', max_size=40), max_size=4), name=st.text(alphabet='\\"a', max_size=8))
def test_strings_full_of_escapes_end_where_a_parser_ends_them(texts: list[str], name: str) -> None:
    body = json.dumps({"a": texts, "b": "".join(texts), "model": name, "c": {"".join(texts): texts}})
    assert at_once(scanned(body.encode())) == name
