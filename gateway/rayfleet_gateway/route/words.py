"""Matches in words, for people who ask why a request went where. Pure."""

from collections.abc import Iterator, Mapping

from rayfleet_gateway.route.match import MODEL_HEADER, Asked, Match, PathKind, matches_host, matches_path
from rayfleet_gateway.route.patterns import Pattern


def match_words(match: Match) -> str:
    """Return all that a match asks for, in one line: ``/v1/completions or below it model=m``."""
    parts = [match.method, match.hostname, _path_words(match)]
    parts += [f"{name}={value}" for name, value in match.headers.items()]
    parts += [f"{name}~{pattern.text}" for name, pattern in match.header_patterns.items()]
    parts += [f"?{name}={value}" for name, value in match.query.items()]
    parts += [f"?{name}~{pattern.text}" for name, pattern in match.query_patterns.items()]
    return " ".join(part for part in parts if part)


def mismatches(match: Match, asked: Asked) -> Iterator[str]:
    """Yield each thing in which a request is not as a match says; nothing when it takes it."""
    if not matches_path(match, asked.path):
        yield f"the path is not {_path_words(match)}"
    if not matches_host(match.hostname, asked.host):
        yield f"the host is not {match.hostname}"
    if match.method and match.method != asked.method:
        yield f"the method is not {match.method}"
    headers = {**asked.headers, MODEL_HEADER: asked.model}
    yield from _unlike("header", headers, match.headers, match.header_patterns)
    yield from _unlike("query parameter", asked.parameters, match.query, match.query_patterns)


def _unlike(
    noun: str, sent: Mapping[str, str], values: Mapping[str, str], patterns: Mapping[str, Pattern]
) -> Iterator[str]:
    for name, value in values.items():
        if sent.get(name) != value:
            yield f"{_noun(noun, name)} is not {value}"
    for name, pattern in patterns.items():
        if name not in sent or not pattern.fits(sent[name]):
            yield f"{_noun(noun, name)} does not fit {pattern.text}"


def _noun(noun: str, name: str) -> str:
    return "the model" if noun == "header" and name == MODEL_HEADER else f"the {noun} {name}"


def _path_words(match: Match) -> str:
    match match.kind:
        case PathKind.EXACT:
            return match.path
        case PathKind.PATTERN:
            return f"one that fits {match.path}"
        case PathKind.PREFIX:
            return f"{match.path} or below it"
