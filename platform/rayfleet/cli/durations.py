"""Durations, as kubectl takes them (``30s``, ``5m``, ``1h30m``, or plain seconds) and shows them (``12m``)."""

from datetime import datetime, timedelta
from typing import Any

import click

from rayfleet.objects.durations import duration_seconds


class Duration(click.ParamType[timedelta]):
    """An option's value that is a ``timedelta``, never negative."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> timedelta:
        """Return the duration; a usage error for what is none."""
        if isinstance(value, timedelta):
            return value
        seconds = duration_seconds(str(value))
        if seconds is None:
            self.fail(f"{value!r} is no duration; write 30s, 5m or 1h30m", param, ctx)
        return timedelta(seconds=seconds)


def age(since: datetime | None, now: datetime) -> str:
    """Return how long ago in kubectl's short form: ``5s``, ``12m``, ``3h``, ``2d``; ``<unknown>`` without a time."""
    if since is None:
        return "<unknown>"
    seconds = max(0, int((now - since).total_seconds()))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "m")):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"
