"""The field ``model`` of a form, read from the raw bytes of a multipart body. Pure.

Only what every reader takes alike is read: delimiters are whole lines ended by CRLF, nothing stands before the first,
and the field is there once, as a plain name without a file. Anything else that could be a field to somebody is refused.

Source: RFC 7578; RFC 2046, 5.1.1.
"""

import re
from collections.abc import Generator

from rayfleet_gateway.model.errors import AmbiguousModel, UnreadableBody

MOST_PARTS = 200
_MOST_PART_HEAD = 4 << 10
_WINDOW = 1 << 20
_BOUNDARY = re.compile(
    r"""(?:\A|;)\s*boundary=(?:"([0-9A-Za-z'()+_,./:=? -]{1,70})"|([0-9A-Za-z'()+_./-]{1,70}))\s*(?=;|\Z)""",
    re.IGNORECASE,
)
_DISPOSITION = re.compile(rb"content-disposition[ \t]*:[ \t]*form-data[ \t]*((?:;[^\r\n]*)?)", re.IGNORECASE)
_PARAMETER = re.compile(rb';[ \t]*([!#$%&\'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\\r\n])*"|[^\s";\\]+)[ \t]*')


def is_form(content_type: str) -> bool:
    """Whether a body of this Content-Type is a multipart form."""
    return content_type[:20].lower().startswith("multipart/form-data")


def form_model(body: bytes, content_type: str, longest: int) -> Generator[None, None, str | None]:
    """Yield between slices; return the field ``model``, None when there is none. Raises UnreadableBody."""
    delimiter = b"--" + _boundary(content_type)
    if not body.startswith(delimiter):
        raise UnreadableBody("The request's form does not begin with its boundary.")
    models: list[str] = []
    at = len(delimiter)
    for _ in range(MOST_PARTS):
        if body[at : at + 2] == b"--":
            return _only(models)
        start, is_model = _part(body, at)
        end = yield from _next_delimiter(body, start, b"\r\n" + delimiter)
        if is_model:
            models.append(_value(body[start:end], longest))
        at = end + 2 + len(delimiter)
    raise UnreadableBody(f"The request's form has more than {MOST_PARTS} parts.")


def _boundary(content_type: str) -> bytes:
    boundaries = _BOUNDARY.findall(content_type.partition(";")[2])
    if len(boundaries) != 1 or content_type.lower().count("boundary") != 1:
        raise UnreadableBody("The request's Content-Type does not name one boundary.")
    quoted, plain = boundaries[0]
    return str(quoted or plain).encode()


def _part(body: bytes, at: int) -> tuple[int, bool]:
    """Return where the content of the part whose delimiter ends at ``at`` begins, and whether it is the model."""
    if body[at : at + 2] != b"\r\n":
        raise UnreadableBody("A boundary in the request's form is not a line of its own.")
    end = body.find(b"\r\n\r\n", at, at + _MOST_PART_HEAD)
    if end < 0:
        raise UnreadableBody("A part of the request's form has no head that ends.")
    lines = body[at + 2 : end].split(b"\r\n")
    named = [match for line in lines if (match := _DISPOSITION.fullmatch(line)) is not None]
    if len(named) != 1 or any(b"\n" in line or b"\r" in line or line[:1] in b" \t" for line in lines):
        raise UnreadableBody("A part of the request's form has no single Content-Disposition.")
    return end + 4, _names_model(named[0][1])


def _names_model(parameters: bytes) -> bool:
    """Whether the part is the field ``model``; one that only some readers would take for it is refused."""
    pairs = [(name.lower(), value.strip(b'"')) for name, value in _PARAMETER.findall(parameters)]
    names = [value for name, value in pairs if name == b"name"]
    if _PARAMETER.sub(b"", parameters).strip() or len(names) != 1 or any(name == b"name*" for name, _ in pairs):
        raise UnreadableBody("A part of the request's form is not named in the plain way.")
    if names[0].lower() != b"model":
        return False
    if names[0] != b"model" or any(name in {b"filename", b"filename*"} for name, _ in pairs):
        raise UnreadableBody("The field `model` of the request's form is not a plain text field.")
    return True


def _next_delimiter(body: bytes, at: int, delimiter: bytes) -> Generator[None, None, int]:
    """Return where the next delimiter begins, its line break included; an empty part has none of its own."""
    at -= 2  # the head's last line break may be the delimiter's, when the content is empty
    while True:
        position = body.find(delimiter, at, at + _WINDOW + len(delimiter))
        if position >= 0:
            return position
        if at + _WINDOW >= len(body):
            raise UnreadableBody("The request's form does not end.")
        at += _WINDOW
        yield


def _value(text: bytes, longest: int) -> str:
    if len(text) > 4 * longest:
        raise UnreadableBody(f"The name of the model is longer than {longest} characters.")
    try:
        return text.decode()
    except UnicodeDecodeError:
        raise UnreadableBody("The field `model` of the request's form is not UTF-8.") from None


def _only(models: list[str]) -> str | None:
    if len(models) > 1:
        raise AmbiguousModel("The request's form has the field `model` twice.")
    return models[0] if models else None
