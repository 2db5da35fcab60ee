"""``python -m tests.bench [gateway|activation|fleets|sidecar|ray]``: each a module here; no word: a short gateway."""

import argparse
import asyncio
import sys

from tests.bench import activation, fleets, gateway, ray_cost, sidecar


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="gateway: with peers, written into docs/benchmarks.md; quick: without, on the screen.",
    )
    parser.add_argument(
        "what", nargs="?", choices=("quick", "gateway", "activation", "fleets", "sidecar", "ray"), default="quick"
    )
    parser.add_argument("--seconds", type=float, default=1.0, help="gateway: length of one turn")
    parser.add_argument(
        "--turns", type=int, default=3, help="gateway, sidecar, ray: turns of each (default: %(default)s)"
    )
    parser.add_argument("--requests", type=int, default=200_000, help="gateway: for memory (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=50, help="activation: of each change (default: %(default)s)")
    parser.add_argument("--no-write", action="store_true", help="gateway: leave docs/benchmarks.md as it is")
    parser.add_argument("--nice", type=int, default=0, help="gateway: priority of all its processes, -20 to 19")
    parser.add_argument("--fleets", type=int, default=200, help="fleets: how many (default: %(default)s)")
    parser.add_argument("--replicas", type=int, default=5, help="fleets: replicas of each (default: %(default)s)")
    parser.add_argument("--against", default="", help="fleets: a commit to run in the same way first")
    parser.add_argument("--create", action="store_true", help="fleets: create them, and no more")
    parser.add_argument("--profile", default="", help="fleets: write a cProfile of the controllers there")
    return parser


if __name__ == "__main__":
    chosen = _parser().parse_args()
    match chosen.what:
        case "fleets":
            size = fleets.Size(
                fleets=chosen.fleets, replicas=chosen.replicas, profile=chosen.profile, is_created_only=chosen.create
            )
            asyncio.run(fleets.main(size, chosen.against))
        case "gateway":
            extent = gateway.Extent(
                turn_seconds=chosen.seconds,
                turns=chosen.turns,
                memory_requests=chosen.requests,
                activation_rounds=chosen.rounds,
                peers=True,
                is_written=not chosen.no_write,
                niceness=chosen.nice,
            )
            asyncio.run(gateway.main(extent))
        case "sidecar":
            asyncio.run(sidecar.main(chosen.turns))
        case "ray":
            ray_cost.main(chosen.turns)
        case "activation":
            sys.stdout.write(asyncio.run(activation.measured(chosen.rounds)).rendered() + "\n")
        case _:
            quick = gateway.Extent(turn_seconds=chosen.seconds, turns=chosen.turns, niceness=chosen.nice)
            asyncio.run(gateway.main(quick))
