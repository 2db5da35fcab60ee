"""Label selectors: what one holds for. Pure.

Source: Kubernetes, "Labels and Selectors". The text form of a query (``a=b,c in (d)``) is the API server's business.
"""

from collections.abc import Mapping

from rayfleet.model.fleet import Selector


def selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    """Whether all of ``selector`` holds for ``labels``; an empty selector holds for everything."""
    if not has_all(selector.match_labels, labels):
        return False
    for requirement in selector.match_expressions:
        value = labels.get(requirement.key)
        holds = {
            "In": value is not None and value in requirement.values,
            "NotIn": value is None or value not in requirement.values,
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not holds[requirement.operator]:
            return False
    return True


def has_all(asked: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Whether ``labels`` has every pair of ``asked``: a Service's selector, ``matchLabels``, ``nodeSelector``."""
    return all(labels.get(name) == value for name, value in asked.items())
