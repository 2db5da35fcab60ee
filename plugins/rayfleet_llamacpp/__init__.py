"""rayfleet_llamacpp."""
