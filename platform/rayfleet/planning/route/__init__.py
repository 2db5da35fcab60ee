"""The one HTTPRoute of a model in a namespace, and what fleets say of it. Pure."""
