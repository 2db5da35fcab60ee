"""Keeps the processes of an embedded cluster running: API server, controllers, node, gateway."""
