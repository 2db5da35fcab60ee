"""Which paths are open, and what names the model on each (rayfleet_gateway.request.paths)."""

import pytest

from rayfleet_gateway.model.values import RequestHead
from rayfleet_gateway.request.head import checked_head
from rayfleet_gateway.request.paths import is_open, is_side_door, is_taken, names_model

LISTED = [
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/responses",
    "/v1/messages",
    "/v1/messages/count_tokens",
    "/v1/rerank",
    "/rerank",
    "/v1/score",
    "/score",
    "/classify",
    "/tokenize",
    "/detokenize",
    "/v1/audio/speech",
    "/v1/images/generations",
    "/v1/audio/transcriptions",
    "/v1/audio/translations",
    "/v1/images/edits",
    "/v1/images/variations",
]
SIDE_DOORS = [
    "/invocations",
    "/inference/v1/generate",
    "/generate",
    "/encode",
    "/sleep",
    "/wake_up",
    "/is_sleeping",
    "/pause",
    "/resume",
    "/collective_rpc",
    "/reset_prefix_cache",
    "/reset_mm_cache",
    "/update_weights",
    "/update_weights_from_disk",
    "/init_weights_update_group",
    "/v1/load_lora_adapter",
    "/v1/unload_lora_adapter",
    "/load_lora_adapter",
    "/start_profile",
    "/stop_profile",
    "/scale_elastic_ep",
    "/server_info",
    "/flush_cache",
    "/abort_request",
    "/release_memory_occupation",
    "/set_internal_state",
    "/configure_logging",
    "/slots",
    "/slots/0",
    "/props",
    "/lora-adapters",
    "/Sleep",
    "/v1/completions/sleep",
]
OTHERS = ["/metrics", "/health", "/docs", "/openapi.json", "/version", "/v1/chat/completions/render", "/ping", "/load"]


def head(method: str, path: str) -> RequestHead:
    return checked_head(method.encode(), path.encode(), [(b"Host", b"gw")], version="1.1", is_keep_alive=True)


@pytest.mark.parametrize("path", LISTED)
def test_listed_paths_are_open_to_every_rule_that_covers_them(path: str) -> None:
    assert names_model(head("POST", path))
    assert is_taken(head("POST", path))
    assert not is_taken(head("GET", path))
    assert not names_model(head("GET", path))
    assert all(is_open(path, rule_path=rule, is_exact=False) for rule in ("/", "/v1", path, ""))


@pytest.mark.parametrize("path", SIDE_DOORS)
def test_a_side_door_needs_a_rule_that_names_exactly_it(path: str) -> None:
    assert is_side_door(path)
    assert not any(is_open(path, rule_path=rule, is_exact=False) for rule in ("/", "/v1", path, "", "/v1/completions"))
    assert is_open(path, rule_path=path, is_exact=True)


@pytest.mark.parametrize("path", OTHERS)
def test_any_other_path_needs_a_rule_of_its_own(path: str) -> None:
    assert is_taken(head("GET", path))
    assert not names_model(head("POST", path))
    closed = ("/", "/v1", "/v1/chat", "/v1/chat/completions", "")
    assert not any(is_open(path, rule_path=rule, is_exact=False) for rule in closed)
    assert is_open(path, rule_path=path, is_exact=True)
    assert is_open("/docs/x", rule_path="/docs", is_exact=False)
