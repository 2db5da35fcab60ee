"""The router: sends each OpenAI-compatible request to the fleet that its ``model`` names."""
