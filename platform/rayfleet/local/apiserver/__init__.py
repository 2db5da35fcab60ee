"""A small Kubernetes API server for one machine: aiohttp in front, SQLite behind, loopback only.

What kubectl, the official clients and our own controllers use is there, and behaves as the real one (one conformance
suite runs against both, ``tests/kube/conformance``): discovery, OpenAPI v3, create, read, replace, patch, delete, lists
with selectors and pages, watches that resume, custom resource definitions with schemas, rules, tables, status and
scale.

What it does not do, and how it says so:

- protobuf and CBOR: 406 for answers, 415 for bodies (but what kubectl and helm say in protobuf only is understood:
  ``kubectl create namespace|secret|configmap|serviceaccount|service``, reviews, evictions, options of deletions);
  ``/openapi/v2`` is there without paths, and in protobuf without definitions
- exec, attach, port-forward, proxy, resize, ephemeral containers, tokens: 404 that says so, and
  discovery does not list them
- webhooks, aggregation, RBAC, quotas, priority classes and other groups: their paths are 404; the one token may do
  everything
- conversion webhooks and rules with functions that the CEL library lacks: the definition is refused (422)
- ``managedFields``: sets are not rewritten when a schema changes from merged to atomic, managers are not bounded

Deliberate differences: EndpointSlices may hold loopback addresses, because those are the pods' addresses on one
machine; a definition is accepted in the same moment in which it is created; what CEL rules may cost is not estimated
for a definition, a rule that would take too many steps for an object is refused with that; validation of pods looks at
what a serving pod can get wrong, not at security contexts, affinity and rare volume sources. Garbage collection,
scheduling and endpoints are other processes, as they are on Kubernetes.
"""
