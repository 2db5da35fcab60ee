"""The list of models, and errors in the shapes that clients read."""

import pytest

from rayfleet.testing.suites.data_plane.client import body_of, request
from rayfleet.testing.suites.data_plane.rooms.models import NAME
from rayfleet.testing.suites.data_plane.tested import Stage, TestedPlane
from rayfleet.testing.suites.data_plane.world import Kind

_REFUSALS = {
    "no model": (body_of("nobody"), "/v1/completions", 404, "not_found_error"),
    "no JSON": (b"{", "/v1/completions", 400, "invalid_request_error"),
    "no path": (body_of("one-000"), "/v1/nowhere", 404, "not_found_error"),
}


def _get(path: str) -> bytes:
    return request(line=f"GET {path} HTTP/1.1")


class ModelChecks(TestedPlane):
    """What OpenAI's clients ask beside generations, and read of errors."""

    async def test_the_models_are_listed(self, stage: Stage) -> None:
        """Each once, in OpenAI's shape, and no more than routes name."""
        answer = await stage.send(_get("/v1/models"), method="GET")
        models = answer.told("data")
        names = [model["id"] for model in models]
        assert answer.told("object") == "list"
        assert {NAME, "one-000", "four-000"} <= set(names)
        assert len(names) == len(set(names))
        assert all({"id", "object", "created", "owned_by"} <= set(model) for model in models)

    @pytest.mark.parametrize("path", ["/v1/models", "/v1/models/"])
    async def test_with_a_slash_or_without(self, stage: Stage, path: str) -> None:
        """The list is the list."""
        assert (await stage.send(_get(path), method="GET")).told("object") == "list"

    @pytest.mark.parametrize("name", ["one-000", "one-000/", NAME])
    async def test_a_model_is_described(self, stage: Stage, name: str) -> None:
        """By its name, with a slash behind it or without."""
        answer = await stage.send(_get(f"/v1/models/{name}"), method="GET")
        assert (answer.told("id"), answer.told("object")) == (name.rstrip("/"), "model")

    @pytest.mark.parametrize("name", ["nobody", "one", "One-000"])
    async def test_an_unknown_model_is_not_described(self, stage: Stage, name: str) -> None:
        """But a name like it is told, and never the one that was asked."""
        answer = await stage.send(_get(f"/v1/models/{name}"), method="GET")
        assert (answer.status, answer.code) == (404, "model_not_found")
        assert f"Did you mean {name}?" not in answer.error

    @pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH"])
    async def test_the_list_is_read_only(self, stage: Stage, method: str) -> None:
        """A 405 says what is allowed."""
        answer = await stage.send(request(b"{}", line=f"{method} /v1/models HTTP/1.1"))
        assert (answer.status, answer.code, answer.header("allow")) == (405, "method_not_allowed", "GET, HEAD")

    async def test_a_name_like_it_is_told(self, stage: Stage) -> None:
        """Where there is one."""
        message = (await stage.ask("one-00")).error
        assert "Did you mean" in message
        assert "one-00" in message

    @pytest.mark.parametrize("name", _REFUSALS)
    async def test_a_refusal_has_openais_shape(self, stage: Stage, name: str) -> None:
        """With four fields and a type; one outcome."""
        body, path, status, _ = _REFUSALS[name]
        answer = await stage.send(request(body, line=f"POST {path} HTTP/1.1"))
        assert answer.status == status
        assert set(answer.told("error")) == {"message", "type", "param", "code"}
        assert answer.header("content-type") == "application/json"
        await stage.expect("unknown", refused=1)

    @pytest.mark.parametrize("name", ["no model", "no JSON"])
    async def test_a_refusal_of_messages_has_anthropics_shape(self, stage: Stage, name: str) -> None:
        """Whose clients read a type of the error."""
        body, _, status, kind = _REFUSALS[name]
        answer = await stage.send(request(body, line="POST /v1/messages HTTP/1.1"))
        error = answer.told("error")
        assert (answer.status, answer.told("type"), error["type"]) == (status, "error", kind)

    async def test_a_model_without_a_listener_is_listed_all_the_same(self, stage: Stage) -> None:
        """Its engine may come back."""
        model, _ = stage.sockets.take(Kind.ONE)
        assert (await stage.send(_get(f"/v1/models/{model}"), method="GET")).status == 200
