"""The `query` protocol (STS) and its EC2 dialect: form parameters in, params out. Pure.

The two differ in the names of members and lists, and in how they say what is wrong: `query` services collect all
violations in one ValidationError, EC2 answers for the first one with a code of its own and refuses unknown parameters.
"""

from typing import Any

from .faults import InvalidParameterValue, MalformedInput, MissingParameter, UnknownParameter, ValidationError
from .forms import Tree, parse_form
from .shapes import Member, OperationModel, ServiceModel, Shape
from .text import NotThat, parse_scalar
from .violations import NOT_NULL, Violation, element_path, member_path, sentence
from .walk import violations_of, violations_of_strings
from .xml import XmlSerialiser

_COMMON = frozenset(
    {"Action", "Version", "AWSAccessKeyId", "Signature", "SignatureMethod", "SignatureVersion", "Timestamp"}
)
# What EC2 calls a list that is missing, where that is not the parameter's own name.
_EC2_SETS = {"ResourceId": "resourceIdSet"}


class QueryCodec:
    """`parse` takes the form (body or query string); `serialise` gives XML with the request id."""

    def __init__(self, model: ServiceModel, operation: OperationModel) -> None:
        self._model = model
        self._ec2 = model.metadata.protocol == "ec2"
        self._shape = None if operation.input is None else model.shape(operation.input)
        self._serialiser = XmlSerialiser(model, operation)

    def parse(self, form: bytes) -> dict[str, Any]:
        """Raises AwsError in the protocol's words."""
        tree = parse_form(form)
        if self._shape is None:
            return {}
        if self._ec2:
            self._refuse_unknown(tree, self._shape)
        found: list[Violation] = []
        reader = _Reader(self._model, self._ec2, found)
        params = reader.structure(self._shape, tree, "", "")
        if found:
            raise ValidationError(sentence(found, self._model.name))
        return params

    def _refuse_unknown(self, tree: Tree, shape: Shape) -> None:
        known = {_ec2_name(member) for member in shape.members.values()}
        for name in tree:
            if name not in known and name not in _COMMON and not name.startswith("X-Amz-"):
                raise UnknownParameter(f"The parameter {name[:128]} is not recognized")

    def error_members(self, shape: Shape, fields: dict[str, Any]) -> str:
        return self._serialiser.error_members(shape, fields)

    def serialise(self, answer: dict[str, Any], request_id: str) -> bytes:
        return self._serialiser.serialise(answer, request_id)


def _ec2_name(member: Member) -> str:
    if member.query_name is not None:
        return member.query_name
    name = member.location_name or member.name
    return name[:1].upper() + name[1:]


class _Reader:
    """One walk of a form tree along the input shape. `name` is the parameter's full name, `path` AWS's for members."""

    def __init__(self, model: ServiceModel, ec2: bool, found: list[Violation]) -> None:
        self._model = model
        self._ec2 = ec2
        self._found = found

    def structure(self, shape: Shape, node: "str | Tree", name: str, path: str) -> dict[str, Any]:
        if isinstance(node, str):
            if node == "" and name:
                return {}
            raise self._wrong(name, node)
        kept = {}
        for member in shape.members.values():
            key = _ec2_name(member) if self._ec2 else member.location_name or member.name
            full = f"{name}.{key}" if name else key
            value = self._member(member, node, key, full, member_path(path, member.name))
            if value is not None:
                kept[member.name] = value
            elif member.name in shape.required:
                self._missing(full, member_path(path, member.name))
        return kept

    def _member(self, member: Member, node: Tree, key: str, name: str, path: str) -> Any:
        shape = self._model.shape(member.shape)
        if shape.type == "list" and not self._ec2 and (shape.flattened or member.flattened):
            assert shape.element is not None
            # The elements' own name, as botocore writes it, or the list's, as other SDKs do.
            key = shape.element.location_name if shape.element.location_name in node else key
        child = node.get(key)
        return None if child is None else self._value(member, child, name, path)

    def _value(self, member: Member, node: "str | Tree", name: str, path: str) -> Any:
        shape = self._model.shape(member.shape)
        if shape.type == "structure":
            return self.structure(shape, node, name, path)
        if shape.type == "list":
            return self._list(shape, member, node, name, path)
        if shape.type == "map":
            return self._map(shape, member, node, name, path)
        if not isinstance(node, str):
            raise self._wrong(name, "")
        try:
            value = parse_scalar(shape, node, member.timestamp_format or shape.timestamp_format)
        except NotThat:
            raise self._wrong(name, node) from None
        self._check(shape, value, name, path)
        return value

    def _list(self, shape: Shape, member: Member, node: "str | Tree", name: str, path: str) -> list[Any]:
        assert shape.element is not None
        if isinstance(node, str):
            if node == "":
                return []  # `Name=` is how the query protocol writes an empty list
            raise self._wrong(name, node)
        if not self._ec2 and not (shape.flattened or member.flattened):
            inner = node.get(shape.element.location_name or "member", {})
            if isinstance(inner, str):
                raise self._wrong(name, inner)
            node = inner
        items = [
            self._value(shape.element, node[key], f"{name}.{key}", element_path(path, index))
            if self._model.shape(shape.element.shape).type != "string"
            else self._string(node[key], f"{name}.{key}")
            for index, key in enumerate(self._numbers(node, name))
        ]
        self._check(shape, items, name, path)
        element = self._model.shape(shape.element.shape)
        if element.type == "string":
            self._report(violations_of_strings(shape, element, items, path), name, items)
        return items

    def _string(self, node: "str | Tree", name: str) -> str:
        if not isinstance(node, str):
            raise self._wrong(name, "")
        return node

    def _numbers(self, node: Tree, name: str) -> list[str]:
        for key in node:
            if not key.isascii() or not key.isdigit() or len(key) > 9:
                raise self._wrong(f"{name}.{key}", key)
        return sorted(node, key=int)

    def _map(self, shape: Shape, member: Member, node: "str | Tree", name: str, path: str) -> dict[str, Any]:
        assert shape.key is not None and shape.value is not None
        if isinstance(node, str):
            if node == "":
                return {}
            raise self._wrong(name, node)
        if not (shape.flattened or member.flattened):
            inner = node.get("entry", {})
            if isinstance(inner, str):
                raise self._wrong(name, inner)
            node = inner
        kept = {}
        for number in self._numbers(node, name):
            entry = node[number]
            key = entry.get(shape.key.location_name or "key") if isinstance(entry, dict) else None
            value = entry.get(shape.value.location_name or "value") if isinstance(entry, dict) else None
            if not isinstance(key, str) or value is None:
                raise self._wrong(f"{name}.{number}", "")
            kept[key] = self._value(shape.value, value, f"{name}.{number}.value", f"{path}.{key[:256]}.member")
        self._check(shape, kept, name, path)
        return kept

    def _check(self, shape: Shape, value: Any, name: str, path: str) -> None:
        self._report(violations_of(shape, value, path), name, value)

    def _report(self, found: list[Violation], name: str, value: Any) -> None:
        if found and self._ec2:
            raise InvalidParameterValue(_ec2_invalid(found[0], name, value))
        self._found.extend(found)

    def _missing(self, name: str, path: str) -> None:
        if self._ec2:
            raise MissingParameter(f"The request must contain the parameter {_EC2_SETS.get(name, name)}")
        self._found.append(Violation(path, "null", NOT_NULL))

    def _wrong(self, name: str, text: str) -> InvalidParameterValue | MalformedInput:
        if self._ec2:
            return InvalidParameterValue(f"Invalid value '{text[:256]}' for {name[:256]}")
        return MalformedInput(f"Unexpected value '{text[:256]}' for {name[:256]}")


def _ec2_invalid(violation: Violation, name: str, value: Any) -> str:
    """`Value ( 4 ) for parameter maxResults is invalid. Expecting a value greater than 5.`, as EC2 has it."""
    if isinstance(value, int):
        more = "greater" if "greater" in violation.constraint else "less"
        bound = violation.constraint.rpartition(" ")[2]
        return f"Value ( {value} ) for parameter {violation.path} is invalid. Expecting a value {more} than {bound}."
    shown = str(value if not isinstance(value, list) else ",".join(map(str, value)))[:256]
    return f"Value ({shown}) for parameter {name} is invalid. {violation.constraint}"
