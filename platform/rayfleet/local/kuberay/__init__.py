"""A stand-in for the KubeRay operator: RayCluster -> token Secret, Services, Pods, status.

It writes what KubeRay 1.6 writes for a real Kubernetes (default ports, service names); adapting pods to one machine is
the node's work, so the node runs pods of the real operator too. A test compares both, pod by pod. Where the real one is
blind or sticky, so is this one. Not imitated, and said so in an Event ``NotImitated``: autoscaling, GCS fault
tolerance, ingress, tokens of the API server's own, NetworkPolicy, TLS, in-place upgrade. RayJob, RayService and batch
schedulers are not known at all.
"""
