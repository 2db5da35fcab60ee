"""Which rule a request takes: the immutable table and the compiler that makes it from objects. Pure."""
