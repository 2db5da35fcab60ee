"""Print where the servers of a replica are, once all of them listen. Runs in the head's container.

Its text is passed to ``python3 -c`` by the script of ``rayfleet_llamacpp.rpc``, because the image holds no rayfleet:
standard library alone. Words: ``HOST PORT SERVER_PORT NODES SERVERS SECONDS``. The ranks of all nodes are known at
``HOST:PORT/nodes``; with fewer servers than nodes that node has none itself. Prints ``address:port,...`` in the order
of the addresses and ends with 0, or with 1 after the limit: ``llama-server`` would end at once where one is missing.
"""

import http.client
import json
import socket
import sys
import time

_LOOK_SECONDS = 0.2
_ANSWER_SECONDS = 5.0


def main(words: list[str]) -> int:
    """Do as the words say; return the exit code."""
    host, (port, server_port, nodes, servers) = words[0], map(int, words[1:5])
    limit_seconds = float(words[5])
    began = time.monotonic()
    while True:
        alive = _alive(host, port)
        addresses = alive if servers == nodes else [address for address in alive if address != host]
        silent = [address for address in addresses if not _listens(address, server_port)]
        if len(addresses) == servers and not silent:
            sys.stdout.write(",".join(f"{address}:{server_port}" for address in addresses) + "\n")
            return 0
        if time.monotonic() - began > limit_seconds:
            missing = f"{len(addresses) - len(silent)} of {servers} servers listen after {limit_seconds:.0f} s"
            sys.stderr.write(f"rayfleet: {missing}; giving up (see the logs of the other nodes)\n")
            return 1
        time.sleep(_LOOK_SECONDS)


def _alive(host: str, port: int) -> list[str]:
    """Return the addresses of the nodes that are there, sorted; none while nobody answers."""
    connection = http.client.HTTPConnection(host, port, timeout=_ANSWER_SECONDS)
    try:
        connection.request("GET", "/nodes")
        return sorted(json.load(connection.getresponse())["alive"])
    except (OSError, ValueError, http.client.HTTPException):
        return []
    finally:
        connection.close()


def _listens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=_ANSWER_SECONDS).close()
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
