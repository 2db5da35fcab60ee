"""Where vLLM's page tells of its requests, and what every engine tells: one map for all versions. Pure.

Every series carries the label ``engine``, the rank in data parallelism, so their sum is the replica's. With
``--api-server-count`` above 1 some versions export no gauges at all (0.30): then nobody knows the requests from the
page. Until 0.9 the use of the KV cache, its hits and the latency between tokens had other names, and for some versions
after that both. Source: ``vllm/v1/metrics/loggers.py`` of 0.10.2 and 0.32.
"""

from rayfleet.model.engine import MetricMap, TrafficMetrics

METRICS = MetricMap(
    requests_running=("vllm:num_requests_running",),
    requests_waiting=("vllm:num_requests_waiting", "vllm:num_requests_waiting_by_reason"),
    kv_cache_usage_ratio=("vllm:kv_cache_usage_perc", "vllm:gpu_cache_usage_perc"),
    prefix_cache_queries_total=("vllm:prefix_cache_queries_total", "vllm:gpu_prefix_cache_queries_total"),
    prefix_cache_hits_total=("vllm:prefix_cache_hits_total", "vllm:gpu_prefix_cache_hits_total"),
    prompt_tokens_total=("vllm:prompt_tokens_total",),
    generation_tokens_total=("vllm:generation_tokens_total",),
    preemptions_total=("vllm:num_preemptions_total",),
    time_to_first_token_seconds=("vllm:time_to_first_token_seconds",),
    inter_token_latency_seconds=("vllm:inter_token_latency_seconds", "vllm:time_per_output_token_seconds"),
)

# vLLM 0.32.0. What it answered with 5xx is its fault: its own counter of requests knows only those that it took up.
_HANDLERS = ("/v1/completions", "/v1/chat/completions", "/v1/responses", "/v1/messages")
TRAFFIC = TrafficMetrics(
    running=("vllm:num_requests_running",),
    waiting=("vllm:num_requests_waiting",),
    # A prompt in pieces brings no token for many steps, and none of the counters moves; the cache's use does.
    steps=("vllm:iteration_tokens_total_count", "vllm:generation_tokens_total", "vllm:kv_cache_usage_perc"),
    served=tuple(f'http_requests_total{{handler="{handler}",status="2xx"}}' for handler in _HANDLERS),
    failed=tuple(f'http_requests_total{{handler="{handler}",status="5xx"}}' for handler in _HANDLERS),
)
