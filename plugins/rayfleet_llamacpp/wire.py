"""OpenAI's error shape, and the borders of server-sent events. Pure."""

import json

END_OF_EVENT = b"\n\n"


def error_body(message: str, kind: str, code: str, parameter: str | None = None) -> bytes:
    """Return an OpenAI error: ``{"error": {message, type, param, code}}``."""
    return json.dumps({"error": {"message": message, "type": kind, "param": parameter, "code": code}}).encode()


def openai_error(body: bytes) -> bytes:
    """Return llama.cpp's error in OpenAI's shape: its ``code`` is a number there, and ``param`` is absent.

    A body that is no such error comes back as it is.
    """
    try:
        error = json.loads(body)["error"]
        message, kind, code = str(error["message"]), str(error["type"]), str(error["code"])
    except (ValueError, KeyError, TypeError):
        return body
    return error_body(message, kind, code)


def error_event(message: str, kind: str, code: str) -> bytes:
    """Return an error as one server-sent event; no ``[DONE]`` follows it, so nobody takes the stream for whole."""
    return b"data: " + error_body(message, kind, code) + END_OF_EVENT


def split_events(buffered: bytes) -> tuple[bytes, bytes]:
    """Return (whole events, rest): a stream that is cut within an event must not show the client half of one."""
    end = buffered.rfind(END_OF_EVENT)
    return (b"", buffered) if end < 0 else (buffered[: end + 2], buffered[end + 2 :])


def demands_a_tool(body: bytes) -> bool:
    """Return whether a chat request says that the answer has to call a tool: ``tool_choice`` required, or one named.

    The body was read as a JSON object before.
    """
    if b'"tool_choice"' not in body:
        return False
    choice = json.loads(body).get("tool_choice")
    return choice == "required" or isinstance(choice, dict)


def without_end(events: bytes) -> bytes:
    """Return whole events without ``[DONE]``, which says that the stream is whole."""
    return END_OF_EVENT.join(each for each in events.split(END_OF_EVENT) if each.strip() != b"data: [DONE]")


def requested_model(body: bytes) -> str | None:
    """Return the top-level ``model`` of a JSON object, ``None`` when it has none.

    ValueError when it is no JSON object.
    """
    try:
        content = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the body is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise ValueError("the body is not a JSON object")  # noqa: TRY004 - one error for all wrong bodies
    model = content.get("model")
    if model is not None and not isinstance(model, str):
        raise ValueError("model is not a string")
    return model
