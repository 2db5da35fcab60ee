"""The two names for JSON objects: ours to change, and only to be read. Pure.

Every other part imports them from here; a test counts their definitions. Which of the two a function takes says what it
does: one that takes ``ReadOnlyJson`` leaves the object as it is (objects in a store are shared by all who read them).
"""

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]
"""A JSON object that belongs to who holds it: just made, or copied."""

ReadOnlyJson = Mapping[str, Any]
"""A JSON object that is read."""
