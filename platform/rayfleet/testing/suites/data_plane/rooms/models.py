"""Routes by the model: the HTTPRoute that users of other platforms bring, and everything that names a model."""

import json

from rayfleet.testing.suites.data_plane.objects import NAMESPACE, OTHER, PATHS, grant, matching, route, rule
from rayfleet.testing.suites.data_plane.rooms.room import Asked, Room

NAME = "qwen-coder-7b-instruct"
MODEL_HEADER = f"model: {NAME}"
SEED = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": f"{NAME}-router", "namespace": NAMESPACE},
    "spec": {
        "parentRefs": [
            {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "data-plane", "namespace": NAMESPACE}
        ],
        "rules": [
            {
                "backendRefs": [
                    {"group": "", "kind": "Service", "name": NAME, "namespace": OTHER, "port": 8000, "weight": 1}
                ],
                "matches": [
                    {
                        "headers": [{"name": "model", "type": "Exact", "value": NAME}],
                        "path": {"type": "PathPrefix", "value": path},
                    }
                    for path in ("/v1/completions", "/v1/chat/completions")
                ],
                "timeouts": {"request": "120s"},
            }
        ],
    },
}
_RECORDED = route("recorded", *(rule(matching(path, model="m"), to="recorded") for path in PATHS))
_PATH, _CHAT = "/v1/completions", "/v1/chat/completions"


def _taken(body: object, *headers: str, path: str = _PATH) -> Asked:
    return Asked(path=path, engine=NAME, headers=headers, body=_bytes(body))


def _bad(body: object, *headers: str, path: str = _PATH) -> Asked:
    return Asked(path=path, status=400, code="invalid_request_error", headers=headers, body=_bytes(body))


def _unknown(body: object, *headers: str, path: str = _PATH, code: str = "model_not_found") -> Asked:
    return Asked(path=path, status=404, code=code, headers=headers, body=_bytes(body))


def _bytes(body: object) -> bytes:
    return body if isinstance(body, bytes) else json.dumps(body).encode()


_NAMED = {"model": NAME, "prompt": "x"}
MODELS = Room(
    host="any.example",
    objects=(SEED, _RECORDED, grant("seed", of=NAMESPACE, to=OTHER, services=[NAME])),
    asked={
        "header and body": _taken(_NAMED, MODEL_HEADER),
        "body alone": _taken(_NAMED),
        "chat by body": _taken({"model": NAME, "messages": []}, path=_CHAT),
        "header alone": _taken({"prompt": "x"}, MODEL_HEADER),
        "header of another case": _taken(_NAMED, f"MoDeL: {NAME}"),
        "a query does not matter": _taken(_NAMED, path=f"{_PATH}?user=1"),
        "model last": _taken({"prompt": ["a", {"model": "no"}], "model": NAME}),
        "model in escapes": _taken(b'{"mod\\u0065l": "qwen-coder-7b-instr\\u0075ct"}'),
        "model in another object": _taken({"extra": {"model": "other"}, "model": NAME}),
        "model in a string": _taken({"prompt": '"model": "other"', "model": NAME}),
        "spaces and lines": _taken(b' {\r\n\t"model" :\n"%b"\t}\n' % NAME.encode()),
        "model and a long prompt": _taken({"prompt": "x" * 300_000, "model": NAME}),
        "disagreeing": _bad({"model": "other"}, MODEL_HEADER),
        "disagreeing the other way": _bad(_NAMED, "model: other"),
        "disagreeing by case": _bad({"model": NAME.upper()}, MODEL_HEADER),
        "header twice": _bad(_NAMED, MODEL_HEADER, MODEL_HEADER),
        "header with two": _bad(_NAMED, f"model: {NAME}, other"),
        "model twice": _bad(b'{"model": "%b", "model": "other"}' % NAME.encode()),
        "model twice the same": _bad(b'{"model": "%b", "model": "%b"}' % (NAME.encode(), NAME.encode())),
        "model twice by an escape": _bad(b'{"model": "%b", "mod\\u0065l": "other"}' % NAME.encode()),
        "no model": _bad({"prompt": "x"}),
        "an empty model": _bad({"model": ""}),
        "model null": _bad({"model": None}),
        "model a number": _bad({"model": 7}),
        "model a list": _bad({"model": [NAME]}),
        "a list": _bad([_NAMED]),
        "a string": _bad(NAME),
        "no JSON": _bad(b'{"model": "%b"' % NAME.encode()),
        "two documents": _bad(b'{"model": "%b"}{"model": "other"}' % NAME.encode()),
        "no body": _bad(b""),
        "UTF-16": _bad(json.dumps(_NAMED).encode("utf-16")),
        "unknown": _unknown({"model": "nobody"}),
        "unknown by header": _unknown({"prompt": "x"}, "model: nobody"),
        "of another case": _unknown({"model": NAME.upper()}),
        "with a space": _unknown({"model": f"{NAME} "}),
        "half a surrogate": _unknown(b'{"model": "\\ud800"}'),
        "path that goes on": _unknown(_NAMED, path=f"{_PATH}X", code="path_not_found"),
        "chat path that goes on": _unknown(_NAMED, path=f"{_CHAT}s", code="path_not_found"),
        "path before it": _unknown(_NAMED, path="/v1/chat", code="path_not_found"),
        "another path": _unknown(_NAMED, path="/v1/embeddings", code="path_not_found"),
        "path of another case": _unknown(_NAMED, path="/V1/completions", code="path_not_found"),
        "no path": _unknown(_NAMED, path="/", code="path_not_found"),
        "climbing": _unknown(_NAMED, path="/v1/completions/../../metrics", code="path_not_found"),
        "climbing in escapes": _unknown(_NAMED, path="/v1/completions/%2e%2e/x", code="path_not_found"),
        "an escaped slash": _unknown(_NAMED, path="/v1/completions%2f..", code="path_not_found"),
        "metrics are operators'": Asked(path="/metrics", method="GET", status=404, code="path_not_found"),
        "GET": Asked(path=_PATH, method="GET", status=405, code="method_not_allowed"),
        "DELETE": Asked(path=_PATH, method="DELETE", status=405, code="method_not_allowed"),
        "OPTIONS": Asked(path=_PATH, method="OPTIONS", status=405, code="method_not_allowed"),
    },
)
