"""Where TensorRT-LLM's page tells what every engine tells. Pure.

It is at ``/prometheus/metrics`` and there with ``return_perf_metrics``. The time of an output token is a mean of each
request there and no latency between tokens, and cached tokens are told by tiers that may hold one another: neither is
taken. Source: ``tensorrt_llm/metrics/collector.py`` of 2026 (names read, no page recorded).
"""

from rayfleet.model.engine import MetricMap

METRICS = MetricMap(
    requests_running=("trtllm_num_requests_running",),
    requests_waiting=("trtllm_num_requests_waiting",),
    kv_cache_usage_ratio=("trtllm_kv_cache_utilization",),
    prompt_tokens_total=("trtllm_prompt_tokens_total",),
    generation_tokens_total=("trtllm_generation_tokens_total",),
    time_to_first_token_seconds=("trtllm_time_to_first_token_seconds",),
)

# `/metrics` is JSON that is gone once it was read; these are there when the options say `return_perf_metrics`.
METRICS_PATH = "/prometheus/metrics"
