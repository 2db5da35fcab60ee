"""Decisions as values: observed state and the time in, a plan out. Pure.

The face, by module:

- ``plan``: actions, events, ``Plan``; ``observed``: what a pass reads;
- ``fleet``: ``plan_fleet(observed, now)``, ``plan_invalid_fleet(observed, now)``;
- ``replica_set``: ``plan_replica_set(observed, now)``;
- ``render``: ``fleet_template(fleet, engines)`` and ``render_template(serving, launch_plan, meta, drain)``;
- ``route``: ``plan_route(observed, now)``: the one HTTPRoute of a model;
- ``names``: ``service_name(fleet)``, ``route_name(model)`` and every other derived name.
"""
