"""kuberay."""
