"""One replica as people are told of it: what blocks it, where it stands, where its time went. Pure."""
