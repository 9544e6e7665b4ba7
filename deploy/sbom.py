#!/usr/bin/env python3
"""Writes the CycloneDX 1.6 document of the program: what it is built from, as Cargo has resolved it.

    deploy/sbom.py [--program FILE] [--platform TRIPLE] > atrest.cdx.json

FILE is a binary whose SHA-256 is noted. The same lock file and commit give the same bytes: no clock and no random
number is in it, the time is SOURCE_DATE_EPOCH or that of the last commit.
"""

import argparse
import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tomllib
import uuid
from datetime import datetime, timezone

ROOT = pathlib.Path(__file__).resolve().parent.parent
# For names of documents that are made from their content.
NAMESPACE = uuid.UUID("5b5c6a0e-6d2c-5e0e-9a53-6c1f3a6f2f10")


def output(*command):
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def moment():
    epoch = os.environ.get("SOURCE_DATE_EPOCH") or output("git", "log", "-1", "--format=%ct")
    return datetime.fromtimestamp(int(epoch), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def checksums():
    """SHA-256 of each crate as the registry gave it, by name and version."""
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    return {(p["name"], p["version"]): p.get("checksum") for p in lock["package"]}


def reachable(nodes, start, kinds):
    """Ids of what `start` needs by dependencies of these kinds, itself included."""
    seen, todo = set(), [start]
    while todo:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        for dep in nodes[current]["deps"]:
            if any(kind["kind"] in kinds for kind in dep["dep_kinds"]):
                todo.append(dep["pkg"])
    return seen


def built(platform):
    """Names and versions of what is really built. `cargo metadata` also lists what a feature that is off would need."""
    lines = output(
        "cargo", "tree", "--locked", "--workspace", "--edges", "normal,build", "--target", platform,
        "--prefix", "none", "--no-dedupe", "--format", "{p}",
    ).splitlines()  # fmt: skip
    return {tuple(line.split()[:2]) for line in lines if line}


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version'].replace('+', '%2B')}"


def component(package, checksum, linked):
    made = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        # What only builds it is not in the program.
        "scope": "required" if linked else "excluded",
        "purl": purl(package),
    }
    if package.get("description"):
        made["description"] = " ".join(package["description"].split())
    if package.get("license"):
        # Before 2018 Cargo took a slash for OR.
        made["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if checksum:
        made["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package.get("repository"):
        made["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    return made


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path)
    parser.add_argument("--platform", default="x86_64-unknown-linux-gnu")
    args = parser.parse_args()

    metadata = json.loads(
        output("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", args.platform)
    )
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    root = next(p for p in metadata["packages"] if p["name"] == "atrest" and p["source"] is None)
    real = built(args.platform)
    for node in nodes.values():
        node["deps"] = [
            dep
            for dep in node["deps"]
            if (packages[dep["pkg"]]["name"], f"v{packages[dep['pkg']]['version']}") in real
        ]
    everything = reachable(nodes, root["id"], {None, "build"})
    linked = reachable(nodes, root["id"], {None})
    # A macro runs in the compiler, and so does what it needs.
    macros = {
        id
        for id in linked
        if any("proc-macro" in target["kind"] for target in packages[id]["targets"])
    }
    for id in macros:
        nodes[id] = {**nodes[id], "deps": []}
    linked = reachable(nodes, root["id"], {None}) - macros

    sums = checksums()
    main_component = {
        "type": "application",
        "bom-ref": purl(root),
        "name": "atrest",
        "version": root["version"],
        "description": root["description"],
        "licenses": [{"expression": root["license"]}],
        "purl": purl(root),
    }
    if args.program:
        digest = hashlib.sha256(args.program.read_bytes()).hexdigest()
        main_component["hashes"] = [{"alg": "SHA-256", "content": digest}]
    others = sorted((packages[id] for id in everything if id != root["id"]), key=purl)
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": moment(),
            "component": main_component,
            "properties": [{"name": "atrest:platform", "value": args.platform}],
        },
        "components": [
            component(p, sums.get((p["name"], p["version"])), p["id"] in linked) for p in others
        ],
        "dependencies": [
            {
                "ref": purl(packages[id]),
                "dependsOn": sorted(
                    {
                        purl(packages[dep["pkg"]])
                        for dep in nodes[id]["deps"]
                        if dep["pkg"] in everything
                        and any(kind["kind"] in (None, "build") for kind in dep["dep_kinds"])
                    }
                ),
            }
            for id in sorted(everything, key=lambda id: purl(packages[id]))
        ],
    }
    name = uuid.uuid5(NAMESPACE, json.dumps(document, sort_keys=True))
    document = {"bomFormat": "CycloneDX", "specVersion": "1.6", "serialNumber": f"urn:uuid:{name}", **document}
    json.dump(document, sys.stdout, indent=1, ensure_ascii=False)
    print()


main()
