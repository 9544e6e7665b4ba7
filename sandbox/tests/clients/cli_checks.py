"""The AWS CLI against a running sandbox: `cli_checks.py GROUP`, endpoint and keys in the environment as for any client."""

import contextlib
import io
import json
import os
import subprocess
import sys

import boto3
import botocore
from awscli.clidriver import create_clidriver

import operations
from checks import Checks, until
from wire import Wire

checks = Checks("aws-cli")


def aws(*words):
    """The program itself, in a process of its own; what it prints is JSON or nothing."""
    program = os.path.join(os.path.dirname(sys.executable), "aws")
    done = subprocess.run([program, *words], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"aws {' '.join(words)}: exit {done.returncode}: {done.stderr.strip()}"
    return json.loads(done.stdout) if done.stdout.strip() else None


def reads():
    """Every reading operation the sandbox offers, through the CLI's own driver: a process for each would take a second."""
    wire, driver, plain = Wire(), create_clidriver(), boto3.client("rds")
    driver.session.register("before-parse.*", wire.answer)

    def same(operation, arguments):
        words = ["rds", botocore.xform_name(operation, "-"), "--cli-input-json", json.dumps(arguments), "--output", "json"]
        wire.take()
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = driver.main(words)
        assert status == 0, err.getvalue().strip()
        assert not wire.problems, wire.take()
        # What the CLI shows is what boto3 reads, page by page.
        method = botocore.xform_name(operation)
        if plain.can_paginate(method):
            read = plain.get_paginator(method).paginate(**arguments).build_full_result()
        else:
            read = getattr(plain, method)(**arguments)
            read.pop("ResponseMetadata")
        shown = json.loads(out.getvalue())
        # Times move between the two calls.
        assert outline(shown) == outline(json.loads(json.dumps(read, default=str))), "the CLI and boto3 read different things"

    not_offered = []
    for operation, calls in operations.reading(plain.meta.service_model):
        if not is_offered(plain, operation, (calls or [{}])[0]):
            not_offered.append(operation)
            continue
        for arguments in calls or []:
            checks.run(f"{botocore.xform_name(operation, '-')} {operations.shown(arguments)}".strip(), same, operation, arguments)
    print("NOT OFFERED by the sandbox, not driven: " + ", ".join(not_offered))


def is_offered(plain, operation, arguments):
    try:
        getattr(plain, botocore.xform_name(operation))(**arguments)
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"] != "InvalidAction"
    except botocore.exceptions.ParamValidationError:
        return True
    return True


def outline(value):
    """The names in an answer and how many of each."""
    if isinstance(value, dict):
        return {name: outline(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [outline(inner) for inner in value]
    return type(value).__name__


def paging():
    def query():
        found = aws("rds", "describe-db-instances", "--query", "DBInstances[?!StorageEncrypted && Engine=='mariadb'].[DBInstanceIdentifier,DBInstanceStatus]")
        assert ["prod-one", "available"] in found and not any(name == "orders-archive" for name, _ in found), found

    def by_itself():
        every = aws("rds", "describe-db-instances", "--page-size", "20", "--query", "DBInstances[].DBInstanceIdentifier")
        assert len(every) > 45 and len(set(every)) == len(every), len(every)

    def by_hand():
        every, words = [], []
        for _ in range(20):
            page = aws("rds", "describe-db-instances", "--page-size", "20", "--max-items", "15", *words)
            every += [entry["DBInstanceIdentifier"] for entry in page["DBInstances"]]
            if "NextToken" not in page:
                break
            words = ["--starting-token", page["NextToken"]]
        whole = aws("rds", "describe-db-instances", "--query", "DBInstances[].DBInstanceIdentifier")
        assert every == whole, (every, whole)

    checks.run("describe-db-instances --query", query)
    checks.run("describe-db-instances --page-size", by_itself)
    checks.run("describe-db-instances --max-items, --starting-token", by_hand)


def story():
    """A snapshot's way from one instance to another. The CLI polls every 30 s: what it waits for is there before it asks."""
    status = lambda kind, query: aws("rds", *kind, "--query", query)

    def snapshot(name):
        def there():
            return status(["describe-db-snapshots"], f"DBSnapshots[?DBSnapshotIdentifier=='{name}'].Status") == ["available"]
        until(f"snapshot {name}", there)

    def instance(name, wanted):
        def there():
            return status(["describe-db-instances"], f"DBInstances[?DBInstanceIdentifier=='{name}'].DBInstanceStatus") == wanted
        until(f"instance {name}", there)

    def create():
        made = aws("rds", "create-db-snapshot", "--db-instance-identifier", "prod-two", "--db-snapshot-identifier", "cli-plain", "--tags", "Key=by,Value=the CLI")
        assert made["DBSnapshot"]["Status"] == "creating" and made["DBSnapshot"]["Engine"] == "mariadb", made
        snapshot("cli-plain")

    def copy():
        made = aws("rds", "copy-db-snapshot", "--source-db-snapshot-identifier", "cli-plain", "--target-db-snapshot-identifier", "cli-enc", "--kms-key-id", "alias/rds-migration", "--copy-tags")
        assert made["DBSnapshot"]["Encrypted"] is True, made
        snapshot("cli-enc")

    def restore():
        made = aws("rds", "restore-db-instance-from-db-snapshot", "--db-instance-identifier", "cli-new", "--db-snapshot-identifier", "cli-enc", "--no-multi-az", "--no-publicly-accessible")
        assert made["DBInstance"]["StorageEncrypted"] is True, made
        instance("cli-new", ["available"])

    def delete():
        made = aws("rds", "delete-db-instance", "--db-instance-identifier", "cli-new", "--skip-final-snapshot")
        assert made["DBInstance"]["DBInstanceStatus"] == "deleting", made
        instance("cli-new", [])

    checks.run("create-db-snapshot", create)
    checks.run("wait db-snapshot-available", aws, "rds", "wait", "db-snapshot-available", "--db-snapshot-identifier", "cli-plain")
    checks.run("copy-db-snapshot", copy)
    checks.run("wait db-snapshot-completed", aws, "rds", "wait", "db-snapshot-completed", "--db-snapshot-identifier", "cli-enc")
    checks.run("restore-db-instance-from-db-snapshot", restore)
    checks.run("wait db-instance-available", aws, "rds", "wait", "db-instance-available", "--db-instance-identifier", "cli-new")
    checks.run("delete-db-instance", delete)
    checks.run("wait db-instance-deleted", aws, "rds", "wait", "db-instance-deleted", "--db-instance-identifier", "cli-new")

    def refusal():
        try:
            aws("rds", "describe-db-instances", "--db-instance-identifier", "nope")
        except AssertionError as error:
            # 255 in the first version of the CLI, 254 in the second.
            assert "exit 25" in str(error) and "(DBInstanceNotFound)" in str(error), error
        else:
            raise AssertionError("a refusal was expected")

    checks.run("a refusal is told with its code", refusal)
    checks.run("sts get-caller-identity", lambda: expect(aws("sts", "get-caller-identity")["Account"], "111122223333"))


def expect(seen, wanted):
    assert seen == wanted, (seen, wanted)


GROUPS = dict(reads=reads, paging=paging, story=story)
GROUPS[sys.argv[1]]()
checks.end()
