"""A stand-in for the garbage collector and the namespace controller of kube-controller-manager."""
