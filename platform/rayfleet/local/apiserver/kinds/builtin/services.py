"""Services: defaults, cluster addresses, what is checked. Pure but for the allocator, which looks at what is stored.

Source: Kubernetes ``pkg/apis/core/v1/defaults.go`` and ``registry/core/service`` (v1.36). Node ports and load balancers
are not allocated; dual stack is not offered.
"""

import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from rayfleet.local.apiserver.grammar.names import label_name_problem, label_problems
from rayfleet.local.apiserver.grammar.refusal import Cause, duplicate, invalid, required, unsupported
from rayfleet.model.json import Json, ReadOnlyJson

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PORTS = range(1, 65536)
_PORT_DETAIL = "must be between 1 and 65535, inclusive"
_RESERVED = 16  # the range's first addresses are left to those who ask for one by number


def default_service(service: Json) -> None:
    """Fill in what a Service leaves out, in place."""
    spec = service.setdefault("spec", {})
    spec.setdefault("sessionAffinity", "None")
    spec.setdefault("type", "ClusterIP")
    if spec["sessionAffinity"] == "ClientIP":
        spec.setdefault("sessionAffinityConfig", {"clientIP": {"timeoutSeconds": 10800}})
    for port in spec.get("ports") or ():
        port.setdefault("protocol", "TCP")
        if port.get("targetPort") in (None, 0, ""):
            port["targetPort"] = port.get("port", 0)
    if spec["type"] != "ExternalName":
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if spec["type"] in ("NodePort", "LoadBalancer"):
        spec.setdefault("externalTrafficPolicy", "Cluster")
    if spec["type"] == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    service.setdefault("status", {}).setdefault("loadBalancer", {})


@dataclass(slots=True, kw_only=True)
class ClusterAddresses:
    """Gives Services their addresses out of one range; ``used`` returns those in use now."""

    used: Callable[[], Iterable[str]]
    network: ipaddress.IPv4Network = field(default_factory=lambda: ipaddress.IPv4Network("10.96.0.0/16"))

    def prepare(self, new: Json, old: ReadOnlyJson | None) -> None:
        """Set the Service's cluster address, or keep the one it has; in place."""
        spec = new["spec"]
        if old is None:
            new["status"] = {"loadBalancer": {}}
        if spec["type"] == "ExternalName":
            return
        kept = old["spec"] if old is not None and old["spec"].get("type") != "ExternalName" else {}
        if not spec.get("clusterIP") and not spec.get("clusterIPs"):
            if kept.get("clusterIP"):
                spec["clusterIP"], spec["clusterIPs"] = kept["clusterIP"], kept["clusterIPs"]
            else:
                spec["clusterIP"] = self._free()
        elif not spec.get("clusterIP"):
            spec["clusterIP"] = spec["clusterIPs"][0]
        spec.setdefault("clusterIPs", [spec["clusterIP"]])
        if (
            old is not None
            and spec["clusterIPs"][:1] != [spec["clusterIP"]]
            and kept.get("clusterIPs") == spec["clusterIPs"]
        ):
            spec["clusterIPs"] = [spec["clusterIP"]]
        for key, value in (("ipFamilies", ["IPv4"]), ("ipFamilyPolicy", "SingleStack")):
            spec.setdefault(key, kept.get(key, value))

    def problems(self, new: ReadOnlyJson, old: ReadOnlyJson | None) -> list[Cause]:
        """Return what is wrong with a Service."""
        spec = new["spec"]
        causes = _port_problems(spec)
        if spec["type"] not in _TYPES:
            causes.append(unsupported("spec.type", spec["type"], _TYPES))
        causes += label_problems(spec.get("selector") or {}, "spec.selector")
        if spec["type"] == "ExternalName" and not spec.get("externalName"):
            causes.append(required("spec.externalName"))
        causes += self._address_problems(spec, old)
        if spec["sessionAffinity"] not in ("None", "ClientIP"):
            causes.append(unsupported("spec.sessionAffinity", spec["sessionAffinity"], ("ClientIP", "None")))
        return causes

    def _address_problems(self, spec: ReadOnlyJson, old: ReadOnlyJson | None) -> list[Cause]:
        address = spec.get("clusterIP", "")
        if address in ("", "None"):
            changed = old is not None and old["spec"].get("clusterIP") not in ("", "None", None) and address == "None"
            if changed:
                return [invalid("spec.clusterIPs[0]", [address], "may not change once set")]
            return []
        if old is not None and old["spec"].get("clusterIP"):
            if old["spec"]["clusterIP"] == address:
                return []
            return [invalid("spec.clusterIPs[0]", [address], "may not change once set")]
        return self._new_address_problems(address)

    def _new_address_problems(self, address: str) -> list[Cause]:
        try:
            number = ipaddress.IPv4Address(address)
        except ValueError:
            detail = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
            return [invalid("spec.clusterIPs[0]", address, detail)]
        if number not in self.network:
            detail = (
                f"failed to allocate IP {address}: the provided IP is not in the valid range. "
                f"The range of valid IPs is {self.network}"
            )
            return [invalid("spec.clusterIPs", [address], detail)]
        if address in set(self.used()):
            return [
                invalid(
                    "spec.clusterIPs", [address], f"failed to allocate IP {address}: provided IP is already allocated"
                )
            ]
        return []

    def _free(self) -> str:
        used = set(self.used())
        first = int(self.network.network_address) + _RESERVED
        for number in range(first, int(self.network.broadcast_address)):
            if (text := str(ipaddress.IPv4Address(number))) not in used:
                return text
        raise RuntimeError(f"no free address is left in {self.network}")


def _port_problems(spec: ReadOnlyJson) -> list[Cause]:
    ports = spec.get("ports") or []
    if not ports and spec.get("clusterIP") != "None" and spec["type"] != "ExternalName":
        return [required("spec.ports")]
    causes: list[Cause] = []
    names: set[str] = set()
    numbers: set[tuple[object, object]] = set()
    for index, port in enumerate(ports):
        at = f"spec.ports[{index}]"
        name = port.get("name", "")
        if not name and len(ports) > 1:
            causes.append(required(f"{at}.name"))
        elif name and (problem := label_name_problem(name)):
            causes.append(invalid(f"{at}.name", name, problem))
        if name and name in names:
            causes.append(duplicate(f"{at}.name", name))
        names.add(name)
        if port.get("port", 0) not in _PORTS:
            causes.append(invalid(f"{at}.port", port.get("port", 0), _PORT_DETAIL))
        target = port.get("targetPort")
        if isinstance(target, int) and target not in _PORTS:
            causes.append(invalid(f"{at}.targetPort", target, _PORT_DETAIL))
        number = (port.get("protocol"), port.get("port"))
        if number in numbers:
            causes.append(duplicate(at, {"protocol": number[0], "port": number[1]}))
        numbers.add(number)
    return causes
