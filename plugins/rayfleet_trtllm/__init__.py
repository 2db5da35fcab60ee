"""TensorRT-LLM: one model on the accelerators of a node, or over several by Ray."""
