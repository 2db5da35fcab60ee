"""The model of a form (rayfleet_gateway.request.form)."""

import pytest

from rayfleet_gateway.model.errors import UnreadableBody
from rayfleet_gateway.model.values import RequestHead
from rayfleet_gateway.request.head import checked_head
from rayfleet_gateway.request.model import asked, needs_slices, slices
from rayfleet_gateway.request.model_scan import at_once

FILE = b'Content-Disposition: form-data; name="file"; filename="a.wav"\r\nContent-Type: audio/wav\r\n\r\n'
MODEL = b'Content-Disposition: form-data; name="model"\r\n\r\n'
TYPE = b"multipart/form-data; boundary=xYz"


def head(*models: bytes, content_type: bytes = TYPE, path: bytes = b"/v1/audio/transcriptions") -> RequestHead:
    headers = [(b"Host", b"gw"), (b"Content-Type", content_type), *((b"model", model) for model in models)]
    return checked_head(b"POST", path, headers, version="1.1", is_keep_alive=True)


def form(*parts: bytes, boundary: bytes = b"xYz") -> bytes:
    return b"".join(b"--%b\r\n%b\r\n" % (boundary, part) for part in parts) + b"--%b--\r\n" % boundary


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (form(FILE + b"RIFF", MODEL + b"echo"), TYPE),
        (form(MODEL + b"echo", FILE + b"RIFF\r\n--xY\r\nname=model"), TYPE),
        (form(b"content-disposition:form-data; name=model\r\n\r\necho"), TYPE),
        (form(b"X-A: 1\r\n" + MODEL + b"echo", FILE), TYPE),
        (form(MODEL + b"echo", boundary=b"a b:c"), b'multipart/form-data; charset=utf-8; boundary="a b:c"'),
        (form(MODEL + b"echo") + b"epilogue", TYPE),
    ],
)
def test_a_form_names_its_model(body: bytes, content_type: bytes) -> None:
    assert asked(head(content_type=content_type), body) == "echo"
    assert asked(head(b"echo", content_type=content_type), body) == "echo"
    with pytest.raises(UnreadableBody, match="agree"):
        asked(head(b"other", content_type=content_type), body)


@pytest.mark.parametrize(
    "body",
    [
        form(MODEL + b"a", MODEL + b"b"),
        form(MODEL + b"a", b'Content-Disposition: form-data; name="Model"\r\n\r\nb'),
        form(b'Content-Disposition: form-data; name="model"; filename="f"\r\n\r\na'),
        form(b'Content-Disposition: form-data; name="x"; name="model"\r\n\r\na'),
        form(b"Content-Disposition: form-data; name*=utf-8''model\r\n\r\na"),
        form(b'Content-Disposition: form-data; name="mod\\el"\r\n\r\na'),
        form(b'Content-Disposition: form-data; name="x"\r\nContent-Disposition: form-data; name="model"\r\n\r\na'),
        form(b'Content-Disposition: form-data;\r\n name="model"\r\n\r\na'),
        form(b'X: 1\nContent-Disposition: form-data; name="model"\r\n\r\na'),
        form(b"\r\na"),
        b"preamble\r\n" + form(MODEL + b"a"),
        form(MODEL + b"a")[:-4],
        form(MODEL + b"a").replace(b"--xYz--", b"--xYzw--"),
        form(MODEL + b"\xff"),
        form(MODEL + b"x" * 5000),
        form(*[FILE] * 300),
        form(FILE + b"x"),
        b"",
    ],
)
def test_a_form_that_two_readers_take_differently_is_refused(body: bytes) -> None:
    with pytest.raises(UnreadableBody):
        asked(head(), body)


@pytest.mark.parametrize("content_type", [b"multipart/form-data", b"multipart/form-data; boundary=a; boundary=xYz"])
def test_a_form_has_one_boundary(content_type: bytes) -> None:
    with pytest.raises(UnreadableBody, match="boundary"):
        asked(head(content_type=content_type), form(MODEL + b"a"))


def test_a_large_file_is_looked_through_in_slices() -> None:
    body = form(FILE + b"\r\n--x" * (2 << 20), MODEL + b"echo")
    assert needs_slices(head(), body)
    assert len(list(slices(head(), body))) == len(body) >> 20
    assert at_once(slices(head(), body)) == "echo"


def test_a_route_of_its_own_needs_no_model_and_must_not_be_lied_to() -> None:
    plain = b"text/plain"
    assert asked(head(path=b"/docs", content_type=plain), b"any") == ""
    assert asked(head(b"m", path=b"/docs", content_type=plain), b"any") == "m"
    with pytest.raises(UnreadableBody, match="agree"):
        asked(head(b"m", path=b"/docs", content_type=plain), b'{"model": "other"}')


def test_the_header_is_given_once_and_in_utf_8() -> None:
    json, chat = b"application/json", b"/v1/chat/completions"
    assert asked(head("größe".encode(), content_type=json, path=chat), '{"model": "größe"}'.encode()) == "größe"
    assert asked(head("größe".encode(), content_type=json, path=chat), b"") == "größe"
    assert asked(head(b"a,b", content_type=json, path=chat), b"") == "a,b"
    for models in ([b"m", b"m"], [b"m", b"n"]):
        for body in (b"", b"{}", b'{"model": "m, m"}'):
            with pytest.raises(UnreadableBody, match="twice"):
                asked(head(*models, content_type=json, path=chat), body)
    with pytest.raises(UnreadableBody, match="UTF-8"):
        asked(head(b"\xff", content_type=json, path=chat), b"")
