"""Where llama.cpp's page tells what every engine tells. Pure.

The driver adds its servers up, and what it says itself of requests (``rayfleet_llamacpp_requests_running``) holds those
that a server lets wait too: so the servers' words count, which a ``llama-server`` without a driver has as well.
llama.cpp counts the tokens that it found in its cache apart from those of prompts, has no histograms and (since
``kv_cache_usage_ratio`` is gone) does not tell how full its cache is. Source: its page of b11549.
"""

from rayfleet.model.engine import MetricMap

METRICS = MetricMap(
    requests_running=("llamacpp:requests_processing",),
    requests_waiting=("llamacpp:requests_deferred",),
    kv_cache_usage_ratio=("llamacpp:kv_cache_usage_ratio",),
    prefix_cache_queries_total=("llamacpp:prompt_tokens_total + llamacpp:prompt_tokens_cached_total",),
    prefix_cache_hits_total=("llamacpp:prompt_tokens_cached_total",),
    prompt_tokens_total=(
        "llamacpp:prompt_tokens_total + llamacpp:prompt_tokens_cached_total",
        "llamacpp:prompt_tokens_total",
    ),
    generation_tokens_total=("llamacpp:tokens_predicted_total",),
)
