"""Facts of one container as a pod template writes it: image, words, ports. Pure; unreadable parts count as absent."""

from dataclasses import dataclass

from rayfleet.model.json import ReadOnlyJson
from rayfleet.objects.parts import mappings, whole_number


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredPort:
    """``place`` in the list of ports; ``host`` is the port of the node that it takes, 0 for none."""

    place: int
    number: int
    is_tcp: bool = True
    host: int = 0


def container_name(container: ReadOnlyJson) -> str:
    """Return a container's name, empty without one."""
    return str(container.get("name") or "")


def container_image(container: ReadOnlyJson) -> str:
    """Return a container's image, empty without one."""
    return str(container.get("image") or "")


def container_words(container: ReadOnlyJson) -> list[str]:
    """Return command and arguments of a container; also those of a probe's or a hook's ``exec``."""
    lists = (container.get("command"), container.get("args"))
    return [str(word) for each in lists if isinstance(each, list) for word in each]


def literal_environment(container: ReadOnlyJson) -> dict[str, str]:
    """Return the variables of a container that have a value as it stands, without those that come from elsewhere."""
    entries = mappings(container.get("env"))
    return {str(entry.get("name")): str(entry["value"]) for entry in entries if entry.get("value") is not None}


def declared_ports(container: ReadOnlyJson) -> list[DeclaredPort]:
    """Return the ports that a container declares, in order."""
    return [
        DeclaredPort(
            place=place,
            number=whole_number(entry.get("containerPort"), 0),
            is_tcp=entry.get("protocol", "TCP") == "TCP",
            host=whole_number(entry.get("hostPort"), 0),
        )
        for place, entry in enumerate(mappings(container.get("ports")))
    ]
