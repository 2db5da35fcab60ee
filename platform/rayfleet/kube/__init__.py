"""Edge: the only place that speaks to an API server.

``client`` (verbs), ``config`` (where and who), ``reflector`` and ``store`` (a cache kept by watch), ``lease`` (leader
election), ``events`` (the recorder), ``apply`` (create or merge).
"""
