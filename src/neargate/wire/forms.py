"""Form and query strings as a tree of names: `Tag.1.Key=x` is `{"Tag": {"1": {"Key": "x"}}}`. Everything is bounded."""

from urllib.parse import unquote_to_bytes

from .faults import MalformedQuery

PARAMETERS_MAX = 2000
DEPTH_MAX = 16

Tree = dict[str, "str | Tree"]


def parse_form(data: bytes) -> Tree:
    """Raises MalformedQuery: too many or too deep names, text that is not UTF-8, a name that is value and prefix."""
    root: Tree = {}
    if data.count(b"&") >= PARAMETERS_MAX:
        raise MalformedQuery(f"The query string has more than {PARAMETERS_MAX} parameters")
    for pair in data.split(b"&"):
        if pair:
            name, _, value = pair.partition(b"=")
            _put(root, _text(name), _text(value))
    return root


def _text(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise MalformedQuery("The query string is not valid UTF-8") from None


def _put(root: Tree, name: str, value: str) -> None:
    parts = name.split(".", DEPTH_MAX)
    if len(parts) > DEPTH_MAX:
        raise MalformedQuery("The query string contains a parameter that is nested too deeply")
    node = root
    for part in parts[:-1]:
        inner = node.setdefault(part, {})
        if isinstance(inner, str):
            raise MalformedQuery(f"The parameter {name[:128]} is given both as a value and as a structure")
        node = inner
    if isinstance(node.get(parts[-1]), dict):
        raise MalformedQuery(f"The parameter {name[:128]} is given both as a value and as a structure")
    node[parts[-1]] = value
