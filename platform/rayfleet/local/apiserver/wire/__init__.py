"""Requests taken apart and answers put together."""
