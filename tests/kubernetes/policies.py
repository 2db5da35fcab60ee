"""NetworkPolicies as the rules of nftables for a node's pods: CNI's bridge enforces none. Pure.

Of ingress alone, by peers in the cluster and by number; anything else raises, so that no test passes by what is left
out here. What the node itself sends (probes, the API server's proxy) goes past these rules, as NetworkPolicy has it.
Source: Kubernetes, "Network Policies".
"""

from collections.abc import Iterator, Mapping, Sequence

from rayfleet.manifest.template import decode_selector
from rayfleet.model.json import Json, ReadOnlyJson
from rayfleet.objects.meta import labels_of, name_of, namespace_of
from rayfleet.objects.parts import mappings, part
from rayfleet.objects.selectors import selects

TABLE = "inet rayfleet-policies"

_RULE_FIELDS = frozenset({"from", "ports"})
_PEER_FIELDS = frozenset({"namespaceSelector", "podSelector"})


def policy_table(policies: Sequence[ReadOnlyJson], pods: Sequence[ReadOnlyJson], namespaces: Sequence[Json]) -> str:
    """Return the table, for ``nft -f``, that takes the place of an older one. Raises ValueError."""
    place = {name_of(each): labels_of(each) for each in namespaces}
    lines = [f"table {TABLE}", f"delete table {TABLE}", f"table {TABLE} {{", "chain forward {"]
    lines += ["type filter hook forward priority 10; policy accept;", "ct state established,related accept"]
    for pod in pods:
        selecting = [each for each in policies if _selects(each, pod)]
        address = _address(pod)
        if not selecting or not address:
            continue
        for policy in selecting:
            for source, port in _allowed(policy, pods, place):
                lines.append(f"ip daddr {address} {source} {port} accept")
        lines.append(f"ip daddr {address} drop")
    return "\n".join([*lines, "}", "}", ""])


def _selects(policy: ReadOnlyJson, pod: ReadOnlyJson) -> bool:
    spec = part(policy, "spec")
    if spec.get("policyTypes") != ["Ingress"]:
        raise ValueError(f"{name_of(policy)} is not of ingress alone")
    return namespace_of(policy) == namespace_of(pod) and _matches(spec["podSelector"], labels_of(pod))


def _allowed(
    policy: ReadOnlyJson, pods: Sequence[ReadOnlyJson], place: Mapping[str, Mapping[str, str]]
) -> Iterator[tuple[str, str]]:
    """Yield what a packet that may pass has: its source and its port, each empty where it may be any."""
    for rule in mappings(part(policy, "spec").get("ingress")):
        _only(rule, _RULE_FIELDS)
        ports = [f"tcp dport {each['port']:d}" for each in mappings(rule.get("ports"))] or [""]
        sources = [""]
        if "from" in rule:
            peers = mappings(rule["from"])
            addresses = {_address(pod) for pod in pods for peer in peers if _is_peer(peer, pod, policy, place)}
            sources = [f"ip saddr {address}" for address in sorted(addresses - {""})]
        yield from ((source, port) for source in sources for port in ports)


def _is_peer(
    peer: ReadOnlyJson, pod: ReadOnlyJson, policy: ReadOnlyJson, place: Mapping[str, Mapping[str, str]]
) -> bool:
    _only(peer, _PEER_FIELDS)
    namespace = namespace_of(pod)
    if "namespaceSelector" in peer:
        is_there = _matches(peer["namespaceSelector"], place.get(namespace, {}))
    else:
        is_there = namespace == namespace_of(policy)
    return is_there and _matches(peer.get("podSelector", {}), labels_of(pod))


def _matches(selector: ReadOnlyJson, labels: Mapping[str, str]) -> bool:
    return selects(decode_selector(selector), labels)


def _address(pod: ReadOnlyJson) -> str:
    return str(part(pod, "status").get("podIP", ""))


def _only(fields: ReadOnlyJson, known: frozenset[str]) -> None:
    if fields.keys() - known:
        raise ValueError(f"not known here: {', '.join(sorted(fields.keys() - known))}")
