"""Derived names: the same input gives the same name, so a repeated create is harmless. Pure.

Hashes are written with letters that form no words and cannot be taken for one another (Kubernetes'
``SafeEncodeString``).
"""

import hashlib
import re
from functools import lru_cache

from rayfleet.model.meta import ObjectMeta

TEMPLATE_HASH_LETTERS = 6
INCARNATION_HASH_LETTERS = 5
OBJECT_HASH_LETTERS = 10
LABEL_LETTERS = 63
_NO_LABEL_LETTERS = re.compile(r"[^a-z0-9-]+")
_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_REMEMBERED = 4096  # names are asked for in each pass; some of each fleet


@lru_cache(maxsize=_REMEMBERED)
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


def service_name(fleet: ObjectMeta) -> str:
    """Return the name of the fleet's own objects beside its replica sets (Service, disruption budget).

    Letters of a hash of the UID end it: no file of a user's, which is written before there is a UID, has the name.
    """
    return f"{_readable(fleet.name)}-{safe_hash(fleet.uid, OBJECT_HASH_LETTERS)}"


def warm_up_pod_name(fleet: ObjectMeta, content: str) -> str:
    """Return the name of a pod that brings ``content`` to a node; a hash of it and the fleet's UID ends it."""
    return f"{_readable(f'warm-up-{fleet.name}')}-{safe_hash(f'{fleet.uid}/{content}', OBJECT_HASH_LETTERS)}"


def route_name(model: str) -> str:
    """Return the name of a model's HTTPRoute, the same in each namespace; a hash of the model ends it."""
    return f"{_readable(model)}-{safe_hash(model, OBJECT_HASH_LETTERS)}"


@lru_cache(maxsize=_REMEMBERED)
def _readable(text: str) -> str:
    """Return the text as the beginning of a DNS label that a hash follows: at most 63 letters in all (RFC 1035)."""
    kept = _NO_LABEL_LETTERS.sub("-", text.lower()).strip("-")
    label = kept if kept[:1].isalpha() else f"m-{kept}"
    return label[: LABEL_LETTERS - OBJECT_HASH_LETTERS - 1].rstrip("-")
