"""What is applied to a Kubernetes cluster, as values, as objects and as a Helm chart; the images of our processes.

``crds/`` (made by ``rayfleet.manifest.crds``) and ``rbac/`` are YAML files; the rest is declared in the modules here.
"""
