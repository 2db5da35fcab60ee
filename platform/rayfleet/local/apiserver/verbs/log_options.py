"""The query of a log, checked. Pure. Source: Kubernetes v1.36 ValidatePodLogOptions."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from rayfleet.local.apiserver.grammar.refusal import Cause, bad_request, forbidden_field, invalid, invalid_object
from rayfleet.local.apiserver.reads.lists import whole_number
from rayfleet.objects.times import decode_time


@dataclass(frozen=True, slots=True, kw_only=True)
class LogOptions:
    """What of a log is shown; None means no limit. ``since``: lines that came then or later."""

    container: str = ""
    follows: bool = False
    is_previous: bool = False
    tail_lines: int | None = None
    limit_bytes: int | None = None
    since: datetime | None = None
    has_times: bool = False

    @property
    def needs_times(self) -> bool:
        """Whether the times of lines matter."""
        return self.has_times or self.since is not None


def decode_log_options(query: Mapping[str, str], pod: str, now: datetime) -> LogOptions:
    """Return the options of a query about a pod of that name. Raises Refusal: 400, 422."""
    tail, limit = _number(query, "tailLines"), _number(query, "limitBytes")
    seconds, moment = _number(query, "sinceSeconds"), _moment(query)
    causes: list[Cause] = []
    if tail is not None and tail < 0:
        causes.append(invalid("tailLines", tail, "must be greater than or equal to 0"))
    if limit is not None and limit < 1:
        causes.append(invalid("limitBytes", limit, "must be greater than 0"))
    if seconds is not None and moment is not None:
        causes.append(forbidden_field("", "at most one of `sinceTime` or `sinceSeconds` may be specified"))
    elif seconds is not None and seconds < 1:
        causes.append(invalid("sinceSeconds", seconds, "must be greater than 0"))
    if causes:
        raise invalid_object("", "PodLogOptions", pod, causes)
    return LogOptions(
        container=query.get("container", ""),
        follows=_flag(query, "follow"),
        is_previous=_flag(query, "previous"),
        tail_lines=tail,
        limit_bytes=limit,
        since=moment if seconds is None else now - timedelta(seconds=seconds),
        has_times=_flag(query, "timestamps"),
    )


def _number(query: Mapping[str, str], name: str) -> int | None:
    return whole_number(query[name], name) if query.get(name) else None


def _moment(query: Mapping[str, str]) -> datetime | None:
    text = query.get("sinceTime", "")
    moment = decode_time(text)
    if text and moment is None:
        raise bad_request(f'sinceTime: parsing time "{text}" as "2006-01-02T15:04:05Z07:00": cannot parse it')
    return moment


def _flag(query: Mapping[str, str], name: str) -> bool:
    """Whether a flag is set, as apimachinery's Convert_Slice_string_To_bool reads it: by anything but 0 and false."""
    return name in query and query[name].lower() not in ("0", "false")
