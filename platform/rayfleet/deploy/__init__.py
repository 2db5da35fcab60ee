"""What is applied to a Kubernetes cluster: CRDs (made by ``rayfleet.manifest.crds``) and RBAC, as YAML files."""
