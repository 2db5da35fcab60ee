"""rayfleet_models."""
