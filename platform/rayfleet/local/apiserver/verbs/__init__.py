"""What a request does, verb by verb. Edge."""
