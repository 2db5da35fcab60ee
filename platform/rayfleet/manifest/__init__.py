"""YAML and JSON to the model and back; defaults; errors with field paths; CRDs. Pure.

The face, by module: ``documents.load_documents``; ``fleet.decode_fleet`` and ``encode_fleet_status``;
``replica_set.decode_replica_set``; ``ray_cluster.decode_ray_cluster``; ``crds.all_crds``.
"""
