"""rayfleet_sidecar."""
