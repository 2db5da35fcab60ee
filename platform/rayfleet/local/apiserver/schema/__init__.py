"""Structural schemas of custom kinds: what they may be, what they make of an object, and their CEL rules. Pure."""
