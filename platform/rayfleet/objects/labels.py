"""Labels and annotations by their meaning. Pure.

Those of ``aibrix.ai`` and ``deployment.kubernetes.io`` are AIBrix's and Deployment's own, kept so that tools find what
they know; those of ``ray.io`` are KubeRay's (ray-operator/controllers/ray/utils/constant.go, 1.6).
"""

# On our objects and, through the template, on Ray clusters and pods.
MODEL_LABEL = "model.aibrix.ai/name"
MODEL_PORT_LABEL = "model.aibrix.ai/port"
FLEET_LABEL = "orchestration.aibrix.ai/raycluster-fleet-name"
HASH_LABEL = "pod-template-hash"
REVISION_ANNOTATION = "deployment.kubernetes.io/revision"
REVISION_HISTORY_ANNOTATION = "deployment.kubernetes.io/revision-history"
DESIRED_REPLICAS_ANNOTATION = "deployment.kubernetes.io/desired-replicas"
MAX_REPLICAS_ANNOTATION = "deployment.kubernetes.io/max-replicas"
LAST_APPLIED_ANNOTATION = "kubectl.kubernetes.io/last-applied-configuration"
DELETION_COST_ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
TEMPLATE_HASH_ANNOTATION = "orchestration.aibrix.ai/template-hash"
"""Full hash of what a replica set was made from; on the replica set and on each of its RayClusters."""
SERVING_ANNOTATION = "orchestration.aibrix.ai/serving"
"""On a replica set that was rendered from ``spec.serving``: that short form, so that it can be written back."""
CHANGE_CAUSE_ANNOTATION = "kubernetes.io/change-cause"
ROLLBACK_ANNOTATION = "deprecated.deployment.rollback.to"
"""On a fleet: the revision to go back to ("0": the one before); taken off when that is done."""
INDEX_LABEL = "orchestration.aibrix.ai/replica-index"
"""The place of a RayCluster in its replica set, from 0: rebuilds are counted by it."""
DRAINING_ANNOTATION = "orchestration.aibrix.ai/draining-since"
"""On a head pod that was taken out of its Service, since when: its requests may still run."""
RESUME_ANNOTATION = "orchestration.aibrix.ai/resume-recovery"
"""On a fleet (copied to its replica sets): a new value gives Failed replicas another budget of rebuilds."""

# KubeRay's, on the pods and Services of a Ray cluster.
RAY_CLUSTER_LABEL = "ray.io/cluster"
NODE_TYPE_LABEL = "ray.io/node-type"
HEAD_NODE_TYPE = "head"
WORKER_NODE_TYPE = "worker"
GROUP_LABEL = "ray.io/group"
IDENTIFIER_LABEL = "ray.io/identifier"
IS_RAY_NODE_LABEL = "ray.io/is-ray-node"
REPLICA_NAME_LABEL = "ray.io/worker-group-replica-name"
REPLICA_INDEX_LABEL = "ray.io/worker-group-replica-index"
HOST_INDEX_LABEL = "ray.io/replica-host-index"
SERVE_LABEL = "ray.io/serve"
HEADLESS_WORKER_LABEL = "ray.io/headless-worker-svc"
ORIGIN_NAME_LABEL = "ray.io/originated-from-cr-name"
ORIGIN_KIND_LABEL = "ray.io/originated-from-crd"
APP_LABEL = "app.kubernetes.io/name"
CREATED_BY_LABEL = "app.kubernetes.io/created-by"

# KubeRay's annotations.
OVERWRITE_COMMAND_ANNOTATION = "ray.io/overwrite-container-cmd"
FAULT_TOLERANCE_ANNOTATION = "ray.io/ft-enabled"
SERVE_SERVICE_ANNOTATION = "ray.io/enable-serve-service"
KEEP_HEADLESS_ANNOTATION = "ray.io/disable-provisioned-head-restart"
OPERATOR_VERSION_ANNOTATION = "ray.io/kuberay-version"
RECREATE_HASH_ANNOTATION = "ray.io/upgrade-strategy-recreate-hash"

# The endpoint slice controller's.
SERVICE_NAME_LABEL = "kubernetes.io/service-name"
SLICE_MANAGER_LABEL = "endpointslice.kubernetes.io/managed-by"
HEADLESS_SERVICE_LABEL = "service.kubernetes.io/headless"
