"""vLLM on Ray: one model split over the nodes of a Ray cluster by tensor and pipeline parallelism."""
