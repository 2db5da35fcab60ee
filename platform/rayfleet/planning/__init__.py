"""Decisions as values: observed state and the time in, a plan out. Pure.

The face, by module:

- ``plan``: actions, events, ``Plan``; ``observed``: what a pass reads;
- ``fleet``: ``plan_fleet(observed, now)``, ``plan_invalid_fleet(observed, now)``;
- ``replica_set``: ``plan_replica_set(observed, now)``;
- ``render``: ``fleet_template(fleet, engines)`` and ``render_template(serving, launch_plan, meta, drain)``;
- ``names``: ``service_names(fleet)``, ``route_name(fleet)`` and every other derived name.
"""
