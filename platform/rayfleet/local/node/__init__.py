"""The node of an embedded cluster: a small kubelet and scheduler. Pods become process groups, their truth becomes pod status.

Containers run in the machine's own file system and are not isolated; what they share with a real container is their life: environment,
probes, restarts, logs, termination. A pod has an address of its own (127.x.y.z); ``loopback`` adapts what assumes a network of its own.
Not supported, and said so in the pod's status: mounted volumes other than emptyDir at /dev/shm and /tmp, images without a local environment.
"""
