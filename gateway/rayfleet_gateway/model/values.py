"""The values that pass between the gateway's rooms. Pure.

A request becomes a ``RequestHead``, with its body an ``InferenceRequest``; each try at an endpoint ends in a
``Failure`` or an answer; the whole ends in one ``Outcome``.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Endpoint:
    """The address of one ready engine."""

    address: str
    port: int

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if ":" in self.address else f"{self.address}:{self.port}"


@dataclass(slots=True, kw_only=True)
class RequestHead:
    """A head that was checked (RFC 9112): one Host, one framing, no header that two readers read differently.

    ``target`` is the request target in origin form as it came, ``path`` its path, percent-decoded, ``query`` what
    follows the first ``?``. ``headers`` are as sent, in order, but for a Content-Length, which is not to be read there;
    ``joined`` has each once, by name in lower case.
    ``length`` is None when the body is chunked; without a body it is 0.
    """

    method: str
    target: bytes
    path: str
    query: str
    host: str
    headers: tuple[tuple[bytes, bytes], ...]
    joined: Mapping[str, str]
    length: int | None
    is_keep_alive: bool
    is_http_10: bool = False
    expects_continue: bool = False


@dataclass(slots=True, kw_only=True)
class InferenceRequest:
    """What the rooms behind the body know of a request. ``model`` is empty for a path that names none.

    ``label`` is ``model`` where a route names it, else ``unknown``: it bounds metrics. ``body`` is as it came.
    """

    head: RequestHead
    body: bytes
    model: str
    label: str
    request_id: str

    @property
    def path(self) -> str:
        """The path, percent-decoded."""
        return self.head.path

    @property
    def headers(self) -> Mapping[str, str]:
        """Each header once, by name in lower case."""
        return self.head.joined


class Failure(Enum):
    """How a try at an endpoint failed, all before a byte of its answer went to the client."""

    NOT_CONNECTED = auto()
    CONNECT_TIMEOUT = auto()
    RESET = auto()  # it closed, or broke, without a whole head
    FIRST_BYTE_TIMEOUT = auto()
    NOT_HTTP = auto()
    OVERLOADED = auto()  # 429, 503: well, but busy
    ERROR_STATUS = auto()  # 5xx other than 503
    BROKEN_OFF = auto()  # after the answer began: never repeated


class Result(StrEnum):
    """How a request ended."""

    OK = "ok"
    REFUSED = "refused"  # by the gateway itself
    UPSTREAM_ERROR = "upstream_error"  # the endpoint was lost, late or broke off
    ENGINE_ERROR = "engine_error"  # an error event within a stream that began with 200
    ENGINE_4XX = "4xx"
    ENGINE_5XX = "5xx"
    CLIENT_GONE = "client_gone"
    CUT = "cut"  # the gateway stopped
    FAILED = "failed"  # a fault of the gateway

    __hash__ = str.__hash__  # a key of counters, for every request; Enum's own is no C


@dataclass(slots=True, kw_only=True)
class Outcome:
    """The one accounting event of a request.

    ``status`` 0: no answer began. All seconds run from the request's first byte; ``first_byte_seconds`` None when
    nothing came from an endpoint, ``queue_seconds`` until the first try. ``endpoint`` is the last one asked, for the
    log alone. Tokens are None where the answer did not tell them. ``trace_parent`` is what went upstream, and
    ``parent_span`` the client's span, when the one that went upstream is the gateway's own.
    """

    model: str
    status: int
    result: Result
    seconds: float
    first_byte_seconds: float | None = None
    queue_seconds: float = 0.0
    request_id: str = ""
    method: str = ""
    path: str = ""
    client: str = ""
    attempts: int = 0
    endpoint: str = ""
    route: str = ""
    code: str = ""  # of a refusal
    is_stream: bool = False
    request_bytes: int = 0
    answer_bytes: int = 0
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    trace_parent: str = ""
    parent_span: str = ""
