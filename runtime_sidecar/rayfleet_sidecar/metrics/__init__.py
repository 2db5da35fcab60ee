"""The sidecar's metrics page: what it says itself, what every engine tells by one name, and the engine's own series.

``engine_page`` is the engine's page as it came, or why it did not; ``common`` makes the common series of it, pure;
``page`` puts all together. Nothing here lets the event loop wait: a page of megabytes is read in steps.
"""
