"""The facts of Kubernetes objects, each read and written in one place. Pure.

An object is JSON as an API server gave it; a fact is what a decision needs of it: who controls it, whether its pod is
ready, how many workers it asks for. Whoever needs one asks here, so that two parts cannot read it differently:

=============== =======================================================================================================
``parts``       what of foreign JSON has the right type; the rest counts as absent
``meta``        keys, names, UIDs, labels, annotations, deletion; as ``ObjectMeta``
``owners``      who controls an object; the reference that a child carries
``conditions``  conditions as values and in JSON; transition times that move only with the status
``labels``      the label and annotation names
``selectors``   what a label selector holds for
``quantity``    ``500m``, ``8Gi``, ``1e3``
``times``       the two forms of time
``backoff``     delays that double
``pods``        ready, the Ray container, restarts, the incarnation
``ray_spec``    the groups, workers and accelerators of a RayCluster
``services``    ports, the Service of heads, EndpointSlices
=============== =======================================================================================================

The JSON aliases themselves are ``rayfleet.model.json``'s, below everything.
"""
