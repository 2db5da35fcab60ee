"""Which paths there are, which of them must name a model, and who may open the rest. Pure.

An allow-list: the paths that engines share and that serve requests. A rule that covers more than its own corner (a
prefix such as ``/`` or ``/v1``) opens only these; any other path needs a rule that names it. Side doors of engines,
which change the engine or run around its checks, need a rule that names exactly them.

Source: the routes of vLLM 0.12, SGLang 0.5 and llama.cpp; OpenAI's and Anthropic's API references.
"""

from rayfleet_gateway.model.values import RequestHead

_LISTED = frozenset(
    {
        "/v1/chat/completions",
        "/v1/completions",
        "/v1/embeddings",
        "/v1/responses",
        "/v1/messages",
        "/v1/messages/count_tokens",
        "/v1/rerank",
        "/v2/rerank",
        "/rerank",
        "/v1/score",
        "/score",
        "/classify",
        "/v1/classify",
        "/tokenize",
        "/detokenize",
        "/v1/audio/speech",
        "/v1/images/generations",
        "/v1/moderations",
        "/pooling",
        "/v1/audio/transcriptions",
        "/v1/audio/translations",
        "/v1/images/edits",
        "/v1/images/variations",
    }
)
OWN_PATH = "/v1/models"
"""What the gateway answers by itself, and below it: which models there are."""

LISTED_METHOD = "POST"
"""What the listed paths take; another method needs a rule that asks for it."""
_SIDE_DOORS = frozenset(
    {
        "abort_request",
        "attach_hicache_storage_backend",
        "clear_hicache_storage_backend",
        "close_session",
        "collective_rpc",
        "configure_logging",
        "continue_generation",
        "destroy_weights_update_group",
        "detach_hicache_storage_backend",
        "dump_expert_distribution_record",
        "encode",
        "flush_cache",
        "freeze_gc",
        "generate",
        "get_weights_by_name",
        "inference",
        "init_weights_send_group_for_remote_instance",
        "init_weights_update_group",
        "invocations",
        "is_scaling_elastic_ep",
        "is_sleeping",
        "load_lora_adapter",
        "load_lora_adapter_from_tensors",
        "lora-adapters",
        "open_session",
        "pause",
        "pause_generation",
        "props",
        "release_memory_occupation",
        "reset_encoder_cache",
        "reset_mm_cache",
        "reset_prefix_cache",
        "resume",
        "resume_memory_occupation",
        "scale_elastic_ep",
        "send_weights_to_remote_instance",
        "separate_reasoning",
        "server_info",
        "set_internal_state",
        "set_trace_level",
        "sleep",
        "slots",
        "slow_down",
        "start_expert_distribution_record",
        "start_profile",
        "stop_expert_distribution_record",
        "stop_profile",
        "unload_lora_adapter",
        "update_weight_version",
        "update_weights",
        "update_weights_from_disk",
        "update_weights_from_distributed",
        "update_weights_from_ipc",
        "update_weights_from_tensor",
        "vertex_generate",
        "wake_up",
    }
)


def is_own(path: str) -> bool:
    """Whether the gateway itself answers this path."""
    return path == OWN_PATH or path.startswith(OWN_PATH + "/")


def names_model(head: RequestHead) -> bool:
    """Whether a request must name a model."""
    return head.method == LISTED_METHOD and head.path in _LISTED


def is_taken(head: RequestHead) -> bool:
    """Whether a rule that asks for no method takes the request's: a listed path is for POST."""
    return head.method == LISTED_METHOD or head.path not in _LISTED


def is_side_door(path: str) -> bool:
    """Whether a path is an engine's own: it changes the engine, or runs around its checks."""
    return not _SIDE_DOORS.isdisjoint(path.lower().split("/"))


def is_open(path: str, *, rule_path: str, is_exact: bool) -> bool:
    """Whether a rule that matches ``path`` also opens it; ``rule_path`` is empty for a pattern."""
    if path in _LISTED:
        return True
    if is_exact:
        return True
    return bool(rule_path) and not is_side_door(path) and not _covers_listed(rule_path)


def _covers_listed(prefix: str) -> bool:
    below = prefix.rstrip("/") + "/"
    return any(listed == prefix or listed.startswith(below) for listed in _LISTED)
