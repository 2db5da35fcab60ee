"""The door for plugins: hookspecs, contracts, registry."""
