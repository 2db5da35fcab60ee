"""Model sources: ``pypi:`` (models that come inside a Python package) and local paths."""
