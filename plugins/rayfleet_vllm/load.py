"""Whether vLLM's port tells how many requests it has taken up: ``/load``, with ``--enable-server-load-tracking``. Pure.

Its metrics learn of a request only when a step with it has ended. Without the flag ``/load`` says 0, whatever there is.
The frontend in Rust (``VLLM_USE_RUST_FRONTEND``) counts without it; its first versions end at the flag, later ones
pass over it. Each of several API servers (``--api-server-count``) tells of its own requests.

Sources: ``entrypoints/serve/utils/api_utils.py`` of 0.32.0, ``rust/src/cmd/src/cli/unsupported.rs`` of 2026; #13950.
"""

from collections.abc import Sequence

from rayfleet.model.serving import Serving
from rayfleet.objects.images import image_reference
from rayfleet.plugin.arguments import has_flag
from rayfleet.plugin.images import tagged_version
from rayfleet_vllm.images import IMAGE

LOAD_PATH = "/load#server_load"
_FLAG = "--enable-server-load-tracking"
_NO_FLAG = "--no-enable-server-load-tracking"
_KNOWN_SINCE = (0, 9)  # 0.8.2 has it too


def load_flags(serving: Serving) -> tuple[str, ...]:
    """Return the flag where it has to be added: by a version that knows it, and a manifest that does not say."""
    is_said = any(has_flag(serving.arguments, flag) for flag in (_FLAG, _NO_FLAG))
    return (_FLAG,) if not is_said and not _counts_anyway(serving) and _knows_it(serving.image or IMAGE) else ()


def load_path(serving: Serving) -> str:
    """Return where the engine that is started for ``serving`` tells its load, empty where it does not."""
    return told_load_path((*load_flags(serving), *serving.arguments), counts_anyway=_counts_anyway(serving))


def told_load_path(words: Sequence[str], *, counts_anyway: bool = False) -> str:
    """Return where an engine with these words in its command tells its load, empty where it does not."""
    is_on = counts_anyway or has_flag(words, _FLAG)
    return LOAD_PATH if is_on and not has_flag(words, _NO_FLAG) else ""


def _counts_anyway(serving: Serving) -> bool:
    return serving.environment.get("VLLM_USE_RUST_FRONTEND", "0") not in {"", "0"}


def _knows_it(image: str) -> bool:
    version = tagged_version(image_reference(image))
    return version is None or version >= _KNOWN_SINCE
