"""SGLang: one model split over the nodes of a replica, one process a node or by Ray."""
