"""Derived names: the same input gives the same name, so a repeated create is harmless. Pure.

Hashes are written with letters that form no words and cannot be taken for one another (Kubernetes'
``SafeEncodeString``).
"""

import hashlib

from rayfleet.model.meta import ObjectMeta

TEMPLATE_HASH_LETTERS = 6
INCARNATION_HASH_LETTERS = 5
_HEAD_SUFFIX = "-head"
_ROUTE_SUFFIX = "-router"
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


def safe_hash(text: str, letters: int) -> str:
    """Return that many letters of a hash of ``text``; 6 letters tell 387 million texts apart."""
    number = int.from_bytes(hashlib.sha256(text.encode()).digest())
    written: list[str] = []
    for _ in range(letters):
        number, index = divmod(number, len(_ALPHABET))
        written.append(_ALPHABET[index])
    return "".join(written)


def template_hash(identity: str, collision_count: int | None) -> str:
    """Return the short hash in a replica set's name and labels; another one for each collision that was met."""
    salt = "" if not collision_count else f"/{collision_count}"
    return safe_hash(f"{identity}{salt}", TEMPLATE_HASH_LETTERS)


def replica_set_name(fleet_name: str, short_hash: str) -> str:
    """Return ``<fleet>-<hash>``."""
    return f"{fleet_name}-{short_hash}"


def ray_cluster_name(replica_set: ObjectMeta, index: int, number: int, attempt: int = 0) -> str:
    """Return the name of a Ray cluster: ``<replica set>-<hash>``.

    Its place and the number of its incarnation are in the hash; ``attempt`` counts names that others have.
    """
    identity = f"{replica_set.uid}/{index}/{number}" + (f"/{attempt}" if attempt else "")
    return f"{replica_set.name}-{safe_hash(identity, INCARNATION_HASH_LETTERS)}"


def service_names(fleet_name: str) -> tuple[str, ...]:
    """Return the names that the fleet's Service may have, by preference.

    A manifest may bring a Service of the fleet's own name; ours then steps aside.
    """
    return (fleet_name, f"{fleet_name}{_HEAD_SUFFIX}")


def route_name(fleet_name: str) -> str:
    """Return the name of the fleet's HTTPRoute."""
    return f"{fleet_name}{_ROUTE_SUFFIX}"


def fleets_wanting(name: str) -> tuple[str, ...]:
    """Return the names of fleets that would give ``name`` to a Service or an HTTPRoute of theirs.

    Whoever has the name, they are to look again when it comes or goes.
    """
    return (name, *(name.removesuffix(end) for end in (_HEAD_SUFFIX, _ROUTE_SUFFIX) if name.endswith(end)))
