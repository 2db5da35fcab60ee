"""Where SGLang's page tells what every engine tells (``--enable-metrics``). Pure.

Ranks of tensor, pipeline and expert parallelism all tell of the same requests, where each of them reports
(``--enable-metrics-for-all-schedulers``); ranks of data parallelism have requests of their own. With priorities a gauge
of requests is told once as a total, under the empty priority, and once for each: the total counts. Its counters are
told for each priority alone. Source: ``sglang/srt/observability/metrics_collector.py`` of 0.5.23.
"""

from rayfleet.model.engine import MetricMap, TrafficMetrics

METRICS = MetricMap(
    requests_running=('sglang:num_running_reqs{priority=""}', "sglang:num_running_reqs"),
    requests_waiting=('sglang:num_queue_reqs{priority=""}', "sglang:num_queue_reqs"),
    kv_cache_usage_ratio=("sglang:token_usage",),
    prefix_cache_queries_total=("sglang:prompt_tokens_total",),
    prefix_cache_hits_total=("sglang:cached_tokens_total",),
    prompt_tokens_total=("sglang:prompt_tokens_total",),
    generation_tokens_total=("sglang:generation_tokens_total",),
    preemptions_total=("sglang:num_retracted_requests_total",),
    time_to_first_token_seconds=("sglang:time_to_first_token_seconds",),
    inter_token_latency_seconds=("sglang:inter_token_latency_seconds",),
    copies=("tp_rank", "pp_rank", "moe_ep_rank"),
)

# `/health` makes a token at each question; the sidecar asks for one when it wants one.
HEALTH_PATH = "/ready"
# `generation_tokens_total` grows when a request ends, so a long one would look stuck; these grow with the log interval.
TRAFFIC = TrafficMetrics(
    running=("sglang:num_running_reqs",),
    waiting=("sglang:num_queue_reqs",),
    steps=("sglang:realtime_tokens_total",),
)
