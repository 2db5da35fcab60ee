"""Bringing new images and weights to a node before the old replica there goes. Pure."""
