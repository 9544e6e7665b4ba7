#!/usr/bin/env python3
"""Makes the schemas in this folder from published packages; see README.md.

    pip download --no-deps botocore ocsf-json-schema && cargo vendor …   (once, anywhere)
    extract.py asff botocore-*.whl > asff.json
    extract.py ocsf ocsf_json_schema-*.whl > ocsf-1.5.0-compliance-finding.json

The tests read the results only: nothing has to be installed to run them.
"""

import gzip
import io
import json
import re
import sys
import tempfile
import zipfile

# What is said of a length or a number of items is in the documentation of a member only.
LENGTH = re.compile(r"Maximum length of ([\d,]+)")
ITEMS = re.compile(r"Maximum number of ([\d,]+) items")
PAIRS = re.compile(r"up to ([\d,]+) key-value pairs.*?key can contain up to ([\d,]+).*?value can contain up to ([\d,]+)", re.S)
# Details of the resources this tool speaks of; the others are left away.
DETAILS = {"AwsRdsDbInstance", "AwsRdsDbCluster", "Other"}


def number(text):
    return int(text.replace(",", ""))


def asff(wheel):
    """The shapes of BatchImportFindings as a JSON schema of a list of findings."""
    with zipfile.ZipFile(wheel) as archive:
        packed = archive.read("botocore/data/securityhub/2018-10-26/service-2.json.gz")
    model = json.load(io.TextIOWrapper(gzip.GzipFile(fileobj=io.BytesIO(packed))))
    shapes, definitions = model["shapes"], {}

    def limits(documentation):
        found = {}
        if match := LENGTH.search(documentation):
            found["maxLength"] = number(match[1])
        if match := ITEMS.search(documentation):
            found["maxItems"] = number(match[1])
        if match := PAIRS.search(documentation):
            found["maxProperties"] = number(match[1])
            found["propertyNames"] = {"maxLength": number(match[2])}
            found["additionalProperties"] = {"maxLength": number(match[3])}
        return found

    def reference(name):
        if name not in definitions:
            definitions[name] = None
            definitions[name] = definition(name)
        return {"$ref": f"#/definitions/{name}"}

    def definition(name):
        shape = shapes[name]
        kind = shape["type"]
        if kind == "structure":
            members = {}
            for member, target in shape["members"].items():
                if name == "ResourceDetails" and member not in DETAILS:
                    continue
                more = limits(target.get("documentation", ""))
                schema = reference(target["shape"])
                members[member] = {"allOf": [schema, more]} if more else schema
            return {
                "type": "object",
                "required": sorted(shape.get("required", [])),
                "properties": members,
                "additionalProperties": False,
            }
        if kind == "list":
            found = {"type": "array", "items": reference(shape["member"]["shape"])}
            found |= {"minItems": shape["min"]} if "min" in shape else {}
            return found | ({"maxItems": shape["max"]} if "max" in shape else {})
        if kind == "map":
            return {
                "type": "object",
                "propertyNames": reference(shape["key"]["shape"]),
                "additionalProperties": reference(shape["value"]["shape"]),
            }
        if kind == "string":
            found = {"type": "string"}
            found |= {"pattern": shape["pattern"]} if "pattern" in shape else {}
            return found | ({"enum": shape["enum"]} if "enum" in shape else {})
        return {
            "boolean": {"type": "boolean"},
            "integer": {"type": "integer"},
            "long": {"type": "integer"},
            "double": {"type": "number"},
            "timestamp": {"type": "string", "format": "date-time"},
        }[kind]

    findings = reference("BatchImportFindingsRequestFindingList")
    # A call takes 100 findings; a file may hold more and be sent in parts.
    del definitions["BatchImportFindingsRequestFindingList"]["maxItems"]
    del definitions["BatchImportFindingsRequestFindingList"]["minItems"]
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Findings of BatchImportFindings, from the service model of AWS Security Hub",
        **findings,
        "definitions": dict(sorted(definitions.items())),
    }


def ocsf(wheel):
    """The class Compliance Finding of OCSF 1.5.0 with the profile `cloud`."""
    with tempfile.TemporaryDirectory() as folder:
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        sys.path.insert(0, folder)
        from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema

        schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.5.0"))
        return schema.get_class_schema(class_name="compliance_finding", profiles=["cloud"])


def without_prose(value):
    """The schema without descriptions: they are ten times as long as what they describe."""
    if isinstance(value, dict):
        # A property may be called `description` too; its value is a schema then and no text.
        return {
            key: without_prose(inner)
            for key, inner in value.items()
            if not (key == "description" and isinstance(inner, str))
        }
    return [without_prose(inner) for inner in value] if isinstance(value, list) else value


if __name__ == "__main__":
    made = {"asff": asff, "ocsf": ocsf}[sys.argv[1]](sys.argv[2])
    json.dump(without_prose(made), sys.stdout, indent=1, sort_keys=True)
    print()
