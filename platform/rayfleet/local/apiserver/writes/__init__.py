"""Every change of an object: create, update, patch, delete."""
