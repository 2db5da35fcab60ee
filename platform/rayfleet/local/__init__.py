"""The embedded cluster: API server, stand-ins for KubeRay and the controller manager, node, supervisor."""
