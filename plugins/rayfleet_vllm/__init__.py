"""rayfleet_vllm."""
