"""The KubeRay stand-in's edge: what it reads, and what wakes a Ray cluster. The plan is ``plan``'s."""

import secrets
from dataclasses import replace

from rayfleet.kube.watches import Reflectors, Stores
from rayfleet.local.kuberay.names import auth_secret_name
from rayfleet.local.kuberay.plan import WRITES, ObservedCluster, plan_ray_cluster
from rayfleet.local.kuberay.pods import PodOptions
from rayfleet.model.json import ReadOnlyJson
from rayfleet.model.meta import ObjectKey
from rayfleet.model.resources import PODS, RAY_CLUSTERS, SECRETS, SERVICES
from rayfleet.objects.meta import name_of, namespace_of, uid_of
from rayfleet.reconciling.passes import Steps
from rayfleet.reconciling.runtime import Watch, owner_key, primary

_TOKEN_BYTES = 32


def ray_cluster_steps(stores: Stores, options: PodOptions | None = None) -> Steps[ObservedCluster]:
    """Return the read and the decision for one Ray cluster."""

    def observe(cluster: ReadOnlyJson) -> ObservedCluster:
        namespace = namespace_of(cluster)
        secret = stores.store(SECRETS).get(ObjectKey(namespace=namespace, name=auth_secret_name(cluster)))
        return ObservedCluster(
            cluster=cluster,
            pods=sorted(stores.store(PODS).by_owner(uid_of(cluster)), key=name_of),
            services=stores.store(SERVICES).list(namespace),
            secrets=() if secret is None else (secret,),
            token=secrets.token_bytes(_TOKEN_BYTES),
            options=options or PodOptions(),
        )

    return Steps(
        find=stores.store(RAY_CLUSTERS).get,
        observe=observe,
        plan=plan_ray_cluster,
        with_failure=lambda observed, failure: replace(observed, failure=failure),
        writes=WRITES,
    )


def ray_cluster_watches(reflectors: Reflectors) -> tuple[Watch, ...]:
    """Return what wakes a Ray cluster: itself and what it owns."""
    owned = owner_key(RAY_CLUSTERS.kind)
    return (
        primary(reflectors[RAY_CLUSTERS]),
        *(Watch(reflector=reflectors[resource], keys=owned) for resource in (PODS, SERVICES, SECRETS)),
    )
