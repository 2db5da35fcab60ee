"""How paths match: exactly, by whole segments, by a pattern, and which of an engine's paths a prefix opens."""

from rayfleet.testing.suites.data_plane.objects import matching, route, rule
from rayfleet.testing.suites.data_plane.plane import Capability
from rayfleet.testing.suites.data_plane.rooms.room import Asked, Room

_HOST, _OPEN = "paths.example", "open.example"
_PATTERNS = (Capability.PATTERNS,)
_LISTED = (
    "/v1/completions",
    "/v1/chat/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/rerank",
    "/rerank",
    "/v1/score",
    "/classify",
    "/tokenize",
    "/detokenize",
    "/v1/audio/speech",
    "/v1/images/generations",
)
_SIDE_DOORS = ("/invocations", "/sleep", "/v1/load_lora_adapter", "/collective_rpc", "/reset_prefix_cache", "/metrics")


def _nowhere(path: str, host: str = "") -> Asked:
    return Asked(path=path, host=host, status=404, code="path_not_found", model="m")


PATHS = Room(
    host=_HOST,
    objects=(
        route(
            "paths",
            rule(matching("/exact", "Exact"), to="a"),
            rule(matching("/prefix"), to="b"),
            rule(matching("/slash/"), to="c"),
            rule(matching("/v1/(embeddings|re.*)", "RegularExpression"), to="d"),
            rule(matching("/invocations", "Exact"), to="e"),
            hostnames=[_HOST],
        ),
        route("open", rule(matching("/"), to="f"), hostnames=[_OPEN]),
    ),
    asked={
        "exactly": Asked(path="/exact", engine="a"),
        "exactly with a query": Asked(path="/exact?a=/b", engine="a"),
        "exactly, by an escape": Asked(path="/ex%61ct", engine="a"),
        "exactly is no prefix": _nowhere("/exact/more"),
        "exactly without a slash": _nowhere("/exact/"),
        "exactly in its case": _nowhere("/Exact"),
        "a prefix itself": Asked(path="/prefix", engine="b"),
        "a prefix with a slash": Asked(path="/prefix/", engine="b"),
        "a prefix and more": Asked(path="/prefix/more/of?it", engine="b"),
        "a prefix is whole segments": _nowhere("/prefixed"),
        "a prefix's slash is nothing": Asked(path="/slash", engine="c"),
        "behind a prefix's slash": Asked(path="/slash/more", engine="c"),
        "a prefix's slash is whole segments": _nowhere("/slashed"),
        "a pattern": Asked(path="/v1/embeddings", engine="d", model="m", needs=_PATTERNS),
        "a pattern's other side": Asked(path="/v1/rerank", engine="d", model="m", needs=_PATTERNS),
        "a pattern is the whole path": _nowhere("/v1/embeddings/x"),
        "a pattern opens no path of an engine's own": _nowhere("/v1/rest"),
        "a side door by its name": Asked(path="/invocations", engine="e"),
        "two slashes": _nowhere("//exact"),
        "a dot": _nowhere("/./exact"),
        **{f"open: {path}": Asked(path=path, host=_OPEN, engine="f", model="m") for path in _LISTED},
        **{f"closed: {path}": _nowhere(path, _OPEN) for path in _SIDE_DOORS},
    },
)
