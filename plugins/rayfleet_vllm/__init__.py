"""vLLM: one model split over the nodes of a replica by tensor and pipeline parallelism, by Ray or without it."""
