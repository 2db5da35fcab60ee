"""The rules of the pre-flight check, one small function each, by what they are about. Pure."""
