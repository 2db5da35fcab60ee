"""The node of an embedded cluster: a small kubelet and scheduler.

Pods become process groups, their truth becomes pod status.

Containers run in the machine's own file system and are not isolated; what they share with a real container is their
life: environment, probes, restarts, logs, termination, and that the end of the first process is the end of all. A pod
has an address of its own (127.x.y.z); ``loopback`` adapts what assumes a network of its own.

``lifecycle`` (a container), ``pod_lifecycle`` and ``roster`` decide, each in a table; ``container``, ``pod`` and
``agent`` carry out what they say. ``recalling`` gives the first view of a pod, ``pod_status`` shows a view.

What does not work is said in the pod's status (waiting, with the way out) and never silently left out: images without a
local environment, volumes mounted elsewhere than at /dev/shm, /tmp/ray or their own host path, postStart hooks, grpc
probes, sidecars among the init containers. CPU and memory are no limits; accelerators are counted, not assigned (no
CUDA_VISIBLE_DEVICES).
"""
