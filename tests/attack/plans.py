"""Every attack by its name: what it does in a folder of its own, and the verdict."""

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path

from tests.attack import floods, restarts, soak
from tests.attack.fuzz import fuzz
from tests.attack.process import Verdict
from tests.attack.scene import Plan, Size, carried_out
from tests.attack.steps import longest_steps

PLANS: Mapping[str, Plan] = {
    "unfinished-heads": Plan(attack=floods.unfinished_heads, most_mib=60),
    "header-floods": Plan(attack=floods.header_floods, most_mib=60),
    "unfinished-bodies": Plan(attack=floods.unfinished_bodies, most_mib=400, flags=("--body-budget", str(256 << 20))),
    "slow-senders": Plan(attack=floods.slow_senders, most_mib=60),
    "slow-after-a-request": Plan(attack=floods.idle_after_a_request, most_mib=60),
    "stalled-readers": Plan(attack=floods.stalled_readers, most_mib=300),
    "pipelining": Plan(attack=floods.pipelining, most_mib=80),
    "file-limit": Plan(
        attack=floods.file_limit,
        most_files=256,
        most_mib=60,
        flags=("--body-start-timeout", "300"),  # one client's body waits until the attack is over
        is_alone=True,
    ),
    "random-models": Plan(attack=floods.random_models, most_mib=40),
    "many-chunks": Plan(attack=floods.many_chunks, most_mib=150),
    "gzip-bombs": Plan(attack=floods.gzip_bombs, most_mib=600),
    "leavers": Plan(attack=floods.leavers, most_mib=100),
    "odd-questions": Plan(attack=floods.odd_questions, most_mib=400),
    "fuzz": Plan(attack=fuzz, most_mib=60),
    "soak": Plan(attack=soak.soak, most_mib=60, flags=soak.FLAGS, is_alone=True),
}

Run = Callable[[Size, Path], Awaitable[Verdict]]

RUNS: Mapping[str, Run] = {
    **{name: partial(carried_out, plan) for name, plan in PLANS.items()},
    "rolling-restart": restarts.rolling_restart,
    "api-server-away": restarts.api_server_away,
    "steps": longest_steps,
}
QUICK = ("file-limit", "fuzz", "leavers", "soak")
"""Those that every check runs, small."""
