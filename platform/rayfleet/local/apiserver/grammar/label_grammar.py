"""What a label's key and value may be, in the words of Kubernetes 1.36 (``apimachinery/pkg/api/validate/content``).

Pure.
"""

import re

_NAME = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_NAME_LETTERS = 63
_SUBDOMAIN_LETTERS = 253
_LETTERS_OF_A_NAME = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
    f" (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_NAME}')"
)
_LETTERS_OF_A_VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and"
    " end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
    f" '({_NAME})?')"
)
_LETTERS_OF_A_SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and"
    f" end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)


def label_key_problem(key: str) -> str:
    """Return what is wrong with the key of a label or annotation, or the empty text; ``[DNS_SUBDOMAIN/]NAME``."""
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        subdomain = "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return f"a valid label key {_LETTERS_OF_A_NAME} {subdomain}"
    problems = [f"prefix part {text}" for text in _prefix_problems(prefix)] if slash else []
    return "; ".join(problems + [f"name part {text}" for text in _name_problems(name)])


def label_value_problem(value: str) -> str:
    """Return what is wrong with the value of a label, or the empty text."""
    problems = []
    if len(value) > _NAME_LETTERS:
        problems.append(f"must be no more than {_NAME_LETTERS} bytes")
    if not re.fullmatch(f"({_NAME})?", value, re.ASCII):
        problems.append(_LETTERS_OF_A_VALUE)
    return "; ".join(problems)


def _prefix_problems(prefix: str) -> list[str]:
    if not prefix:
        return ["must be non-empty"]
    problems = []
    if len(prefix) > _SUBDOMAIN_LETTERS:
        problems.append(f"must be no more than {_SUBDOMAIN_LETTERS} bytes")
    if not re.fullmatch(_SUBDOMAIN, prefix, re.ASCII):
        problems.append(_LETTERS_OF_A_SUBDOMAIN)
    return problems


def _name_problems(name: str) -> list[str]:
    if not name:
        return ["must be non-empty"]
    problems = []
    if len(name) > _NAME_LETTERS:
        problems.append(f"must be no more than {_NAME_LETTERS} bytes")
    if not re.fullmatch(_NAME, name, re.ASCII):
        problems.append(_LETTERS_OF_A_NAME)
    return problems
