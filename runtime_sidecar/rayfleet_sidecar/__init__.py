"""The sidecar of every head pod: the only judge of the engine beside it."""
