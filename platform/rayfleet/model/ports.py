"""Ports of a head pod that several parts agree on. Pure."""

ENGINE_PORT = 8000
"""Where clients reach a fleet's Service, and where an engine listens unless ``model.aibrix.ai/port`` says otherwise."""

SIDECAR_PORT = 8080
"""Where the sidecar of a head pod listens (``aibrix_runtime``'s port too)."""

RANKS_PORT = 8081
"""Where the ranks of an engine that spans its nodes without Ray watch one another, on the head pod."""

OVERLAY_PORT = 8082
"""Where a sidecar listens that a head lacked and got: there Ray's metrics have 8080 unless the manifest says else."""
