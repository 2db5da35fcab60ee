"""Words, patterns, ages and messages of the API: the ground floor, which knows no kind. Pure."""
