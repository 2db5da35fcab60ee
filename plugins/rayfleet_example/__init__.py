"""The engine of the tutorial: an OpenAI-compatible server that one command starts."""
