"""The text of a CEL rule: what the library lacks is rewritten, what a type check would find is looked for. Pure.

The library's parser does not know optional field selection: ``self.?a.b`` becomes
``self.optionalField('a').optionalField('b')`` and ``m[?'k']`` becomes ``m.optionalIndex('k')``, functions that
``cel_functions`` brings.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

from rayfleet.local.apiserver.schema.cel_values import escaped_name
from rayfleet.model.json import Json, ReadOnlyJson

_TOKEN = re.compile(
    r"(?P<space>(?:\s|//[^\n]*)+)"
    r"|(?P<text>[rRbB]{0,2}(?:\"\"\".*?\"\"\"|'''.*?'''|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'))"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<number>\d[\dA-Za-z.]*)"
    r"|(?P<optional>\.\?|\[\?)"
    r"|(?P<sign>.)",
    re.DOTALL,
)
_RETURN_OPTIONALS = frozenset({"or", "of", "none", "ofNonZeroValue", "optionalField", "optionalIndex"})
_MACROS = re.compile(r"\.\s*(?:all|exists|exists_one|existsOne|filter|map)\s*\(\s*([A-Za-z_]\w*)\s*,")


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a rule: space, text, name, number, optional or sign, and where it begins."""

    kind: str
    text: str
    offset: int


def tokens_of(source: str) -> list[Token]:
    """Return all pieces of a rule, spaces too."""
    return [Token(match.lastgroup or "", match.group(), match.start()) for match in _TOKEN.finditer(source)]


def with_optionals(source: str) -> str:
    """Return ``source`` with optional selections as function calls."""
    tokens = tokens_of(source)
    if not any(token.kind == "optional" for token in tokens):
        return source
    return "".join(_Rewriter(tokens).parts())


def bound_names(source: str) -> frozenset[str]:
    """Return the variables that macros such as ``all(x, ...)`` bind."""
    return frozenset(_MACROS.findall(source))


def undefined_field(source: str, schema: ReadOnlyJson, roots: Collection[str]) -> tuple[int, str] | None:
    """Return place and name of the first field that is asked of one of ``roots`` and that ``schema`` does not have."""
    tokens = [token for token in tokens_of(source) if token.kind != "space"]
    for index, token in enumerate(tokens):
        is_root = token.kind == "name" and token.text in roots
        if is_root and (index == 0 or tokens[index - 1].text not in {".", ".?"}):
            missing = _missing(tokens, index + 1, schema)
            if missing is not None:
                return missing
    return None


def name_at(source: str, name: str) -> int:
    """Return where ``name`` stands first; of a function, where its arguments open, as the API server counts."""
    tokens = [token for token in tokens_of(source) if token.kind != "space"]
    for token, following in zip(tokens, [*tokens[1:], Token("", "", 0)], strict=True):
        if token.text == name:
            return following.offset if following.text == "(" else token.offset
    return 0


def located(source: str, offset: int, text: str) -> str:
    """Return ``text`` with its line and column, the line, and a mark below it, as cel-go writes it."""
    before = source[:offset]
    line, column = before.count("\n") + 1, offset - (before.rfind("\n") + 1)
    return f"ERROR: <input>:{line}:{column + 1}: {text}\n | {source.splitlines()[line - 1]}\n | {'.' * column}^"


def _missing(tokens: Sequence[Token], index: int, schema: ReadOnlyJson) -> tuple[int, str] | None:
    while index + 1 < len(tokens) and tokens[index].text in {".", ".?"} and tokens[index + 1].kind == "name":
        properties: Json | None = schema.get("properties")
        is_call = index + 2 < len(tokens) and tokens[index + 2].text == "("
        if is_call or properties is None:
            return None
        by_name = {escaped_name(name): inner for name, inner in properties.items()}
        name = tokens[index + 1].text
        if name not in by_name:
            return tokens[index].offset, name
        schema = by_name[name]
        index += 2
    return None


@dataclass(slots=True)
class _Rewriter:
    """Walks the tokens; ``is_optional`` is whether the value of the chain that was just read is an optional."""

    tokens: Sequence[Token]
    is_optional: bool = False
    open_brackets: list[tuple[str, bool]] = field(default_factory=list)  # what closes each, and what its value then is

    def parts(self) -> Iterator[str]:
        index = 0
        while index < len(self.tokens):
            text, used = self._next(index)
            yield text
            index += used

    def _next(self, index: int) -> tuple[str, int]:
        """Return what the token at ``index`` becomes, and how many tokens that used up."""
        token = self.tokens[index]
        is_call = self._is_call(index + 2)
        if token.text == ".?" or (token.text == "." and self.is_optional and not is_call):
            self.is_optional = True
            name = self.tokens[index + 1].text if index + 1 < len(self.tokens) else ""
            return f".optionalField('{name}')", 2
        if token.text == "." and is_call:
            name = self.tokens[index + 1].text
            return self._opened(f".{name}(", ")", value_is_optional=name in _RETURN_OPTIONALS), 3
        if token.text == "[?" or (token.text == "[" and self.is_optional):
            return self._opened(".optionalIndex(", ")", value_is_optional=True), 1
        if token.text in {"(", "["}:
            return self._opened(token.text, ")" if token.text == "(" else "]", value_is_optional=False), 1
        if token.text in {")", "]"} and self.open_brackets:
            closing, self.is_optional = self.open_brackets.pop()
            return closing, 1
        if token.kind != "space":
            self.is_optional = False
        return token.text, 1

    def _opened(self, text: str, closing: str, *, value_is_optional: bool) -> str:
        self.open_brackets.append((closing, value_is_optional))
        self.is_optional = False
        return text

    def _is_call(self, index: int) -> bool:
        return index < len(self.tokens) and self.tokens[index].text == "("
