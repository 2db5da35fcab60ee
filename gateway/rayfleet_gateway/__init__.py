"""rayfleet_gateway."""
