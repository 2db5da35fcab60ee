"""What parts must do, as tests to be subclassed: for our own, for those of plugins, and for what they stand in for."""
