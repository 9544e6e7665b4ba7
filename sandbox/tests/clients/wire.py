"""What AWS's own service models say about an answer: nothing in it may be lost in parsing, nothing may be misread."""

import json
import re
import xml.etree.ElementTree as ET

# Codes that every operation may answer and that no model lists.
COMMON = {
    "AccessDenied", "InternalFailure", "InvalidAction", "InvalidClientTokenId", "InvalidParameterCombination",
    "InvalidParameterValue", "InvalidSignatureException", "MissingParameter", "SignatureDoesNotMatch", "Throttling", "ValidationError",
}
INSTANT = re.compile(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
# Members that RDS sends although the service model does not know them.
UNMODELLED = {"UpgradeRolloutOrder"}


class Wire:
    """Listens to a client and keeps what is wrong with the answers it gets."""

    def __init__(self):
        self.problems = []
        self.heard = 0

    def watch(self, client):
        client.meta.events.register("before-parse.*", self.answer)
        return client

    def take(self):
        """What was wrong since the last call."""
        problems, self.problems = self.problems, []
        return problems

    def answer(self, operation_model, response_dict, **_):
        name = operation_model.name
        problems = problems_of(operation_model, response_dict["status_code"], response_dict["headers"], response_dict["body"])
        self.heard += 1
        self.problems += [f"{name}: {problem}" for problem in problems]


def problems_of(operation, status, headers, body):
    protocol = operation.service_model.protocol
    if status >= 500:
        # Nothing promises that a server error has a body of any kind.
        return []
    if protocol == "query":
        return query_problems(operation, status, headers, ET.fromstring(body))
    answer = json.loads(body)
    if status >= 400:
        code = answer["__type"].rsplit("#", 1)[-1]
        return unknown_code(operation, code)
    return json_problems(answer, operation.output_shape, operation.name) if operation.output_shape else []


def query_problems(operation, status, headers, root):
    request_id = headers.get("x-amzn-requestid")
    if status >= 400:
        if local(root) != "ErrorResponse":
            return [f"an error's root is {local(root)}"]
        found = {local(child): child.text for child in root[0]}
        problems = unknown_code(operation, found.get("Code"))
        if found.get("Type") != "Sender":
            problems.append(f"an error of status {status} is the {found.get('Type')}'s")
        return problems + same_id(request_id, root)
    if local(root) != f"{operation.name}Response":
        return [f"the root is {local(root)}"]
    namespace = operation.service_model.metadata["xmlNamespace"]
    problems = [] if root.tag == f"{{{namespace}}}{local(root)}" else [f"the namespace is not {namespace}"]
    if operation.output_shape is not None:
        if local(root[0]) != f"{operation.name}Result":
            return [f"the first child is {local(root[0])}"]
        problems += xml_problems(root[0], operation.output_shape, "")
    elif [local(child) for child in root] != ["ResponseMetadata"]:
        problems.append("an operation without output has a result")
    return problems + same_id(request_id, root)


def same_id(header, root):
    written = [element.text for element in root.iter() if local(element) == "RequestId"]
    return [] if written == [header] else [f"request id {header} in the header, {written} in the body"]


def unknown_code(operation, code):
    known = COMMON | {shape.metadata.get("error", {}).get("code", shape.name) for shape in operation.error_shapes}
    return [] if code in known else [f"the code {code} is not among its errors"]


def local(element):
    return element.tag.rsplit("}", 1)[-1]


def xml_problems(element, shape, path):
    here = f"{path}.{local(element)}"
    if shape.type_name == "structure":
        members = {member.serialization.get("name", name): member for name, member in shape.members.items()}
        found, seen = [], set()
        for child in element:
            name = local(child)
            if name in UNMODELLED:
                continue
            if name not in members:
                found.append(f"{here}.{name} would be lost")
            elif name in seen and not members[name].serialization.get("flattened"):
                found.append(f"{here}.{name} is there twice")
            else:
                found += xml_problems(child, members[name], here)
            seen.add(name)
        return found
    if shape.type_name == "list":
        item = shape.member.serialization.get("name", "member")
        found = [f"{here}: an item is called {local(child)}, not {item}" for child in element if local(child) != item]
        return found + [problem for child in element if local(child) == item for problem in xml_problems(child, shape.member, here)]
    if shape.type_name == "map":
        return [f"{here} is a map, which no RDS answer has"]
    return scalar_problems(element, shape, here)


def scalar_problems(element, shape, here):
    if len(element):
        return [f"{here} is a {shape.type_name} and has elements in it"]
    text = element.text or ""
    fits = {
        "boolean": lambda: text in ("true", "false"),
        "integer": lambda: re.fullmatch(r"-?\d+", text),
        "long": lambda: re.fullmatch(r"-?\d+", text),
        "double": lambda: re.fullmatch(r"-?\d+(\.\d+)?", text),
        "timestamp": lambda: INSTANT.match(text),
        "string": lambda: not shape.enum or text in shape.enum,
    }[shape.type_name]
    return [] if fits() else [f"{here} is no {shape.type_name}{' of its enum' if shape.type_name == 'string' else ''}: {text!r}"]


def json_problems(value, shape, path):
    if shape.type_name == "structure":
        if not isinstance(value, dict):
            return [f"{path} is not an object"]
        members = {member.serialization.get("name", name): member for name, member in shape.members.items()}
        return [problem for name, inner in value.items()
                for problem in (json_problems(inner, members[name], f"{path}.{name}") if name in members else [f"{path}.{name} would be lost"])]
    if shape.type_name == "list":
        if not isinstance(value, list):
            return [f"{path} is not a list"]
        return [problem for inner in value for problem in json_problems(inner, shape.member, path)]
    kind = {"boolean": bool, "integer": int, "long": int, "timestamp": (int, float), "string": str}.get(shape.type_name)
    return [] if kind is None or isinstance(value, kind) else [f"{path} is no {shape.type_name}: {value!r}"]
