"""llama.cpp on every Ray node of a replica: the embedded default engine."""
