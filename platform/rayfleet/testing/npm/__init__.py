"""Packages of npm, which tests of real JavaScript clients need: outside the checkout, by version, made once."""

from rayfleet.testing.npm.install import OPENAI, ensure_package, node_program

__all__ = ["OPENAI", "ensure_package", "node_program"]
