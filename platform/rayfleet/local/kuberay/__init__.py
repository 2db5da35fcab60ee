"""A stand-in for the KubeRay operator: RayCluster -> head Service, Secret, Pods, status.

It writes what KubeRay 1.5 writes for a real Kubernetes (default ports, service names); adapting pods to one machine is the node's work.
Not imitated: autoscaling, GCS fault tolerance, ingress, NetworkPolicy, TLS, batch schedulers, RayJob and RayService.
"""
