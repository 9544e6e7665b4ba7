"""boto3 against a running sandbox: `boto3_checks.py GROUP`, endpoint and keys in the environment as for any client."""

import datetime
import os
import sys

import boto3
import botocore
from botocore.config import Config

import creations
import operations
import surroundings
from checks import Checks, until
from wire import Wire, problems_of

checks = Checks("boto3")
wire = Wire()


def client(service, region="eu-central-1", watched=True, **more):
    keys = dict(aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"], aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"])
    made = boto3.client(service, region_name=region, config=Config(retries={"max_attempts": 0}), **{**keys, **more})
    return wire.watch(made) if watched else made


def flawless(call, **arguments):
    """Calls, and fails if anything in the answer would be lost or misread."""
    wire.take()
    heard = wire.heard
    answer = call(**arguments)
    assert wire.heard > heard, "nobody listened to the answer"
    problems = sorted(set(wire.take()))
    assert not problems, "; ".join(problems[:10])
    return answer


def refused(code, call, **arguments):
    wire.take()
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        assert error.response["ResponseMetadata"]["RequestId"]
        assert not wire.problems, wire.problems
        return error
    raise AssertionError(f"{code} expected")


# ------------------------------------------------------------------- reading

def reads():
    """Every reading operation the sandbox offers, in a region full of things and in one with little."""
    model = client("rds").meta.service_model
    not_offered = []
    for region in ("eu-central-1", "us-east-1"):
        rds = client("rds", region)
        for operation, calls in operations.reading(model):
            if not offered(rds, operation):
                not_offered.append(operation)
                continue
            if region != "eu-central-1":
                calls = [call for call in calls or [] if not call]
            elif calls is None:
                checks.run(f"{operation} has arguments to be driven with", no_arguments, operation)
                continue
            for arguments in calls:
                checks.run(f"{operation}({operations.shown(arguments)}) {region}", flawless, method(rds, operation), **arguments)
    missing = sorted(operations.FLOOR & set(not_offered))
    checks.run("what was offered is offered still", lambda: none_of(missing))
    print("NOT OFFERED by the sandbox, not driven: " + ", ".join(sorted(set(not_offered))))


def none_of(missing):
    assert not missing, f"no longer offered: {missing}"


def no_arguments(operation):
    raise AssertionError(f"{operation} is offered and needs arguments: add them to ARGUMENTS in operations.py")


def method(rds, operation):
    return getattr(rds, botocore.xform_name(operation))


def offered(rds, operation):
    """Asked with nothing: what is missing is the caller's business, an unknown action is not."""
    unchecked = client("rds", rds.meta.region_name, watched=False)
    shape = unchecked.meta.service_model.operation_model(operation).input_shape
    known = operations.ARGUMENTS.get(operation, [{}])[0]
    if shape and shape.required_members and not known:
        known = {name: "x" for name in shape.required_members}
    try:
        method(unchecked, operation)(**known)
    except botocore.exceptions.ClientError as error:
        return error.response["Error"]["Code"] != "InvalidAction"
    except botocore.exceptions.ParamValidationError:
        return True
    return True


# -------------------------------------------------------------------- paging

def paging():
    rds = client("rds")

    def whole(operation, key, **arguments):
        # What is restorable moves on between two calls.
        name = lambda entry: repr(sorted(item for item in entry.items() if "Restorable" not in item[0]))
        pages = list(rds.get_paginator(operation).paginate(PaginationConfig=dict(PageSize=20), **arguments))
        entries = [name(entry) for page in pages for entry in page[key]]
        assert len(set(entries)) == len(entries), "an entry came twice"
        full = rds.get_paginator(operation).paginate(PaginationConfig=dict(PageSize=100), **arguments).build_full_result()[key]
        assert sorted(map(name, full)) == sorted(entries)
        assert all(len(page[key]) <= 20 for page in pages)
        return pages, entries

    def instances():
        pages, entries = whole("describe_db_instances", "DBInstances")
        assert len(pages) > 2 and len(entries) > 45, (len(pages), len(entries))
        found = rds.get_paginator("describe_db_instances").paginate(PaginationConfig=dict(PageSize=20)).search("DBInstances[?StorageEncrypted==`false`].DBInstanceIdentifier")
        assert "prod-one" in list(found)

    checks.run("paginator describe_db_instances", instances)
    for operation, key, arguments in [
        ("describe_db_snapshots", "DBSnapshots", {}), ("describe_db_clusters", "DBClusters", {}),
        ("describe_db_parameter_groups", "DBParameterGroups", {}), ("describe_option_groups", "OptionGroupsList", {}),
        ("describe_db_subnet_groups", "DBSubnetGroups", {}), ("describe_events", "Events", dict(Duration=20160)),
        ("describe_db_parameters", "Parameters", dict(DBParameterGroupName="prod-mariadb-10-11")),
        ("describe_orderable_db_instance_options", "OrderableDBInstanceOptions", dict(Engine="mariadb")),
    ]:
        checks.run(f"paginator {operation}", whole, operation, key, **arguments)
    checks.run("a page of 19 is refused", refused, "InvalidParameterValue", rds.describe_db_instances, MaxRecords=19)
    checks.run("a marker of one's own is refused", refused, "InvalidParameterValue", rds.describe_db_instances, Marker="20")


# ------------------------------------------------------------------- waiters

class Polls:
    """Counts what a waiter saw on its way."""

    def __init__(self, rds):
        self.bodies = []
        rds.meta.events.register("after-call.rds.*", lambda parsed, **_: self.bodies.append(parsed))

    def waited(self, statuses):
        seen = [entry.get("DBInstanceStatus") or entry.get("Status") for body in self.bodies for key in ("DBInstances", "DBSnapshots") for entry in body.get(key, [])]
        assert set(seen) & set(statuses), f"it never saw one of {statuses}, only {seen}"


def waiters():
    often = dict(Delay=0.05, MaxAttempts=1200)

    def wait(name, started, statuses, **arguments):
        rds = client("rds")
        flawless(getattr(rds, started[0]), **started[1])
        # Describe may lag behind the write: a waiter that asks at once is told that there is nothing yet.
        kind = "describe_db_snapshots" if "snapshot" in name else "describe_db_instances"
        until("visible", lambda: visible(rds, kind, arguments))
        polls = Polls(rds)
        rds.get_waiter(name).wait(WaiterConfig=often, **arguments)
        polls.waited(statuses)
        assert not wire.take()

    checks.run("waiter db_snapshot_available", wait, "db_snapshot_available",
               ("create_db_snapshot", dict(DBInstanceIdentifier="prod-two", DBSnapshotIdentifier="w-plain")), ["creating"], DBSnapshotIdentifier="w-plain")
    checks.run("waiter db_snapshot_completed", wait, "db_snapshot_completed",
               ("copy_db_snapshot", dict(SourceDBSnapshotIdentifier="w-plain", TargetDBSnapshotIdentifier="w-enc", KmsKeyId="alias/rds-migration")),
               ["creating", "copying", "pending"], DBSnapshotIdentifier="w-enc")
    checks.run("waiter db_instance_available", wait, "db_instance_available",
               ("restore_db_instance_from_db_snapshot", dict(DBInstanceIdentifier="w-new", DBSnapshotIdentifier="w-enc")), ["creating"], DBInstanceIdentifier="w-new")
    checks.run("waiter db_instance_deleted", wait, "db_instance_deleted",
               ("delete_db_instance", dict(DBInstanceIdentifier="w-new", SkipFinalSnapshot=True)), ["deleting"], DBInstanceIdentifier="w-new")
    checks.run("waiter db_snapshot_deleted", wait_deleted, often)


def wait_deleted(often):
    rds = client("rds")
    flawless(rds.delete_db_snapshot, DBSnapshotIdentifier="w-enc")
    rds.get_waiter("db_snapshot_deleted").wait(DBSnapshotIdentifier="w-enc", WaiterConfig=often)


def visible(rds, kind, arguments):
    try:
        return getattr(rds, kind)(**arguments)
    except botocore.exceptions.ClientError as error:
        assert "NotFound" in error.response["Error"]["Code"], error
        return None


# ----------------------------------------------------------------- migrating

def migration():
    rds = client("rds")

    def instance(name):
        try:
            return rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
        except rds.exceptions.DBInstanceNotFoundFault:
            return None

    def available(name):
        found = instance(name)
        return found is not None and found["DBInstanceStatus"] in ("available", "storage-optimization") and not found["PendingModifiedValues"]

    def step(name, *arguments, **more):
        def flawless_step():
            wire.take()
            arguments[0](*arguments[1:], **more)
            assert not wire.problems, wire.take()
        checks.run(name, flawless_step)

    name = "prod-three"
    before = instance(name)
    old, new, rid = f"old-{name}", f"new-{name}", before["DbiResourceId"]
    by_id = [dict(Name="dbi-resource-id", Values=[rid])]
    snapshot = lambda id: rds.describe_db_snapshots(DBSnapshotIdentifier=id)["DBSnapshots"][0]["Status"] == "available"

    def rename():
        rds.modify_db_instance(DBInstanceIdentifier=name, NewDBInstanceIdentifier=old, ApplyImmediately=True)
        until("renamed", lambda: [i["DBInstanceIdentifier"] for i in rds.describe_db_instances(Filters=by_id)["DBInstances"]] == [old])
        until("available under the old- name", lambda: available(old))
        until("endpoint follows", lambda: instance(old)["Endpoint"]["Address"] != before["Endpoint"]["Address"])

    def reboot(id):
        rds.reboot_db_instance(DBInstanceIdentifier=id)
        until("rebooting", lambda: instance(id)["DBInstanceStatus"] == "rebooting")
        until("rebooted", lambda: available(id))

    def make_snapshot():
        rds.create_db_snapshot(DBSnapshotIdentifier="m-plain", DBInstanceIdentifier=old)
        until("snapshot", lambda: visible(rds, "describe_db_snapshots", dict(DBSnapshotIdentifier="m-plain")) and snapshot("m-plain"))

    def copy():
        made = rds.copy_db_snapshot(SourceDBSnapshotIdentifier="m-plain", TargetDBSnapshotIdentifier="m-enc", KmsKeyId="alias/rds-migration")["DBSnapshot"]
        assert made["Encrypted"] and made["KmsKeyId"].startswith("arn:aws:kms:"), made
        until("encrypted copy", lambda: snapshot("m-enc"))

    def restore():
        rds.restore_db_instance_from_db_snapshot(
            DBInstanceIdentifier=new, DBSnapshotIdentifier="m-enc", StorageType="gp2", AvailabilityZone=before["AvailabilityZone"], DBParameterGroupName="wiki-mariadb-10-11",
            PubliclyAccessible=True, CopyTagsToSnapshot=True, PreferredBackupWindow=before["PreferredBackupWindow"],
            EngineLifecycleSupport=before["EngineLifecycleSupport"], EnableCloudwatchLogsExports=["error", "general"])
        until("restored", lambda: available(new))

    def modify():
        rds.modify_db_instance(DBInstanceIdentifier=new, ApplyImmediately=True, MaxAllocatedStorage=200, PreferredMaintenanceWindow=before["PreferredMaintenanceWindow"])
        until("modified", lambda: available(new) and instance(new).get("MaxAllocatedStorage") == 200)
        if instance(new)["DBParameterGroups"][0]["ParameterApplyStatus"] == "pending-reboot":
            reboot(new)
        assert instance(new)["DBParameterGroups"][0]["ParameterApplyStatus"] == "in-sync"

    def replica_asked(replica):
        try:
            rds.create_db_instance_read_replica(DBInstanceIdentifier=f"new-{replica}", SourceDBInstanceIdentifier=new)
            return True
        except rds.exceptions.InvalidDBInstanceStateFault:
            return False

    def replicas():
        for replica in before["ReadReplicaDBInstanceIdentifiers"]:
            until("source ready", lambda: available(new))
            until("replica asked for", lambda: replica_asked(replica))
            until("replica", lambda: available(f"new-{replica}"))
            made = instance(f"new-{replica}")
            assert made["StorageEncrypted"] and made["StatusInfos"][0]["Status"] == "replicating", made
        until("source free again", lambda: available(new))

    def name_back():
        rds.modify_db_instance(DBInstanceIdentifier=new, NewDBInstanceIdentifier=name, ApplyImmediately=True)
        until("has its name back", lambda: available(name) and instance(name)["StorageEncrypted"])
        until("has its address back", lambda: instance(name)["Endpoint"]["Address"] == before["Endpoint"]["Address"])

    def nothing_else_changed():
        after = instance(name)
        differ = {key for key in set(before) | set(after) if before.get(key) != after.get(key)}
        expected = {"CertificateDetails", "DbiResourceId", "InstanceCreateTime", "KmsKeyId", "LatestRestorableTime",
                    "ReadReplicaDBInstanceIdentifiers", "StorageEncrypted", "StorageEncryptionType", "TagList"}
        assert differ == expected, differ ^ expected

    def delete_old():
        rds.delete_db_instance(DBInstanceIdentifier=old, SkipFinalSnapshot=True, DeleteAutomatedBackups=False)
        until("deleted", lambda: instance(old) is None)
        until("its replica stands alone", lambda: "ReadReplicaSourceDBInstanceIdentifier" not in instance("prod-three-replica-1"))
        retained = rds.describe_db_instance_automated_backups(Filters=[dict(Name="status", Values=["retained"])])["DBInstanceAutomatedBackups"]
        assert [backup["DbiResourceId"] for backup in retained] == [rid], retained
        messages = [event["Message"] for event in rds.describe_events(Duration=20160)["Events"]]
        assert any(message.startswith("Restored from snapshot") for message in messages), messages

    tags = [{"Key": "atrest:run", "Value": "r1 & <co>"}]
    checks.run("AddTagsToResource", flawless, rds.add_tags_to_resource, ResourceName=before["DBInstanceArn"], Tags=tags)
    checks.run("RemoveTagsFromResource", flawless, rds.remove_tags_from_resource, ResourceName=before["DBInstanceArn"], TagKeys=["no-such-tag"])
    step("ModifyDBInstance NewDBInstanceIdentifier", rename)
    step("RebootDBInstance", reboot, old)
    step("CreateDBSnapshot", make_snapshot)
    step("CopyDBSnapshot KmsKeyId", copy)
    step("RestoreDBInstanceFromDBSnapshot", restore)
    step("ModifyDBInstance", modify)
    checks.run("an encrypted replica of an unencrypted source is refused", refused, "InvalidParameterCombination",
               rds.create_db_instance_read_replica, DBInstanceIdentifier="bad", SourceDBInstanceIdentifier=old, KmsKeyId="alias/rds-migration")
    checks.run("a subnet group on a same-region replica is refused", refused, "DBSubnetGroupNotAllowedFault",
               rds.create_db_instance_read_replica, DBInstanceIdentifier="bad", SourceDBInstanceIdentifier=new, DBSubnetGroupName="default")
    step("CreateDBInstanceReadReplica", replicas)
    step("the name goes back", name_back)
    checks.run("nothing else changed", nothing_else_changed)
    checks.run("DeleteDBInstance without a word about the data is refused", refused, "InvalidParameterCombination", rds.delete_db_instance, DBInstanceIdentifier=old)
    step("DeleteDBInstance DeleteAutomatedBackups", delete_old)


# ---------------------------------------------------------------- neighbours

def neighbours():
    rds, sts, kms = client("rds"), client("sts"), client("kms")

    def identity():
        assert flawless(sts.get_caller_identity)["Account"] == "111122223333"

    def keys():
        key = flawless(kms.describe_key, KeyId="alias/rds-migration")["KeyMetadata"]
        assert key["Enabled"] and key["KeyManager"] == "CUSTOMER" and key["CreationDate"].year > 2020, key
        assert flawless(kms.describe_key, KeyId="alias/aws/rds")["KeyMetadata"]["KeyManager"] == "AWS"
        assert any(alias["AliasName"] == "alias/vault" for alias in flawless(kms.list_aliases)["Aliases"])
        flawless(kms.create_grant, KeyId=key["Arn"], GranteePrincipal="arn:aws:iam::111122223333:root", Operations=["Decrypt"])
        refused("NotFoundException", kms.describe_key, KeyId="alias/none")
        retired = flawless(kms.describe_key, KeyId="alias/retired")["KeyMetadata"]
        assert retired["KeyState"] == "Disabled", retired
        refused("DisabledException", kms.create_grant, KeyId=retired["KeyId"], GranteePrincipal="x", Operations=["Decrypt"])

    def regions():
        found = flawless(client("account", "us-east-1").list_regions, RegionOptStatusContains=["ENABLED", "ENABLED_BY_DEFAULT"])["Regions"]
        assert any(region["RegionName"] == "eu-central-1" for region in found), found

    def others():
        organizations = client("organizations", "us-east-1")
        accounts = [account for page in organizations.get_paginator("list_accounts").paginate() for account in page["Accounts"]]
        assert [(account["Id"], account["Status"]) for account in accounts] == [("111122223333", "ACTIVE"), ("444455556666", "SUSPENDED")], accounts
        refused("AccountNotFoundException", organizations.describe_account, AccountId="000000000000")
        regions = client("ec2", watched=False).describe_regions(AllRegions=True)["Regions"]
        assert dict(RegionName="eu-central-1", Endpoint="ec2.eu-central-1.amazonaws.com", OptInStatus="opt-in-not-required") in regions, regions
        secret = flawless(client("secretsmanager").get_secret_value, SecretId="prod/scan")
        assert secret["SecretString"] == "for the checks" and secret["VersionStages"] == ["AWSCURRENT"], secret
        refused("ResourceNotFoundException", client("secretsmanager").get_secret_value, SecretId="prod/none")
        role = flawless(sts.assume_role, RoleArn="arn:aws:iam::111122223333:role/scan", RoleSessionName="checks")["Credentials"]
        session = client("sts", aws_access_key_id=role["AccessKeyId"], aws_secret_access_key=role["SecretAccessKey"], aws_session_token=role["SessionToken"])
        assert flawless(session.get_caller_identity)["Arn"] == "arn:aws:sts::111122223333:assumed-role/scan/checks"
        simulated = flawless(client("iam").simulate_principal_policy, PolicySourceArn="arn:aws:iam::111122223333:user/dbre", ActionNames=["rds:CopyDBSnapshot"])
        assert [result["EvalDecision"] for result in simulated["EvaluationResults"]] == ["allowed"], simulated

    def metrics():
        """Whatever protocol this boto3 speaks with CloudWatch."""
        cloudwatch, now = client("cloudwatch", watched=False), datetime.datetime.now(datetime.timezone.utc)
        alarm = cloudwatch.describe_alarms()["MetricAlarms"][0]
        assert (alarm["AlarmName"], alarm["Threshold"], alarm["StateUpdatedTimestamp"].year > 2020) == ("lag", 60.0, True), alarm
        metric = dict(Namespace="AWS/RDS", MetricName="DatabaseConnections", Dimensions=[dict(Name="DBInstanceIdentifier", Value="prod-two")])
        wanted = dict(MetricDataQueries=[dict(Id="m", MetricStat=dict(Metric=metric, Period=60, Stat="Maximum"))], StartTime=now - datetime.timedelta(minutes=5), EndTime=now)
        points = cloudwatch.get_metric_data(**wanted)["MetricDataResults"][0]
        assert points["Values"] == [0.0] * 5 and points["Timestamps"][0] > points["Timestamps"][-1], points
        refused("InvalidNextToken", cloudwatch.get_metric_data, NextToken="x", **wanted)

    def deaf():
        """What the checks of answers rest on: that they see what is wrong."""
        operation = rds.meta.service_model.operation_model("DescribeDBInstances")
        good = ("<DescribeDBInstancesResponse xmlns='http://rds.amazonaws.com/doc/2014-10-31/'><DescribeDBInstancesResult><DBInstances><DBInstance>"
                "<MultiAZ>true</MultiAZ><Iops>3000</Iops></DBInstance></DBInstances></DescribeDBInstancesResult>"
                "<ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></DescribeDBInstancesResponse>")
        seen = lambda body, status=200: problems_of(operation, status, {"x-amzn-requestid": "r"}, body)
        assert not seen(good), seen(good)
        for old, new in [("<MultiAZ>true", "<MultiAZ>yes"), ("<Iops>3000", "<Iops>"), ("MultiAZ", "MultiAz"), ("<DBInstance>", "<member>"), ("</Iops>", "</Iops><Iops>1</Iops>"),
                         (">r<", ">s<"), ("DescribeDBInstancesResult", "Result"), ("/2014-10-31/", "/2014-09-01/")]:
            bad = good.replace(old, new).replace("</DBInstance>", "</member>" if new == "<member>" else "</DBInstance>")
            assert seen(bad), f"{old} -> {new} is not seen"
        assert seen("<ErrorResponse><Error><Type>Sender</Type><Code>DBInstanceNotFoundFault</Code></Error><RequestId>r</RequestId></ErrorResponse>", 404)

    checks.run("what is wrong with an answer is seen", deaf)
    checks.run("sts GetCallerIdentity", identity)
    checks.run("kms DescribeKey, ListAliases, CreateGrant", keys)
    checks.run("account ListRegions", regions)
    checks.run("organizations, ec2, secretsmanager, sts AssumeRole, iam", others)
    checks.run("cloudwatch DescribeAlarms, GetMetricData", metrics)
    for service, call in (("rds", "describe_db_instances"), ("sts", "get_caller_identity")):
        stranger = client(service, aws_access_key_id="AKIAUNKNOWN")
        checks.run(f"{service} does not know a stranger", refused, "InvalidClientTokenId", getattr(stranger, call))
    checks.run("a name without an instance", refused, "DBInstanceNotFound", rds.describe_db_instances, DBInstanceIdentifier="nope")


# ---------------------------------------------------------------- signatures

def signatures():
    """Only in a sandbox whose scenario gives the access key a secret; it is in the environment."""
    calls = [("rds", "eu-central-1", "describe_db_instances"), ("sts", "eu-central-1", "get_caller_identity"),
             ("kms", "eu-central-1", "list_aliases"), ("account", "us-east-1", "list_regions")]
    for service, region, call in calls:
        checks.run(f"{service} takes a right signature", flawless, getattr(client(service, region), call))
        wrong = client(service, region, aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"] + "x")
        # The services that speak JSON have a word of their own for it.
        code = "SignatureDoesNotMatch" if service in ("rds", "sts") else "InvalidSignatureException"
        checks.run(f"{service} refuses another secret's signature", refused, code, getattr(wrong, call))

    def tampered():
        rds = client("rds")

        def swap(request, **_):
            assert "prod-two" in request.body
            request.body = request.body.replace("prod-two", "prod-one")

        rds.meta.events.register("before-send.rds.*", swap)
        refused("SignatureDoesNotMatch", rds.describe_db_instances, DBInstanceIdentifier="prod-two")

    checks.run("rds refuses a body that was not signed", tampered)
    checks.run("names and values of every kind are signed alike", flawless, client("rds").add_tags_to_resource,
               ResourceName="arn:aws:rds:eu-central-1:111122223333:db:prod-two", Tags=[dict(Key="a b+c/ü", Value="=&?%20 ~*'()")])


GROUPS = dict(creations=lambda: creations.drive(checks, client, flawless, refused, visible), surroundings=lambda: surroundings.drive(checks, client, flawless, refused), reads=reads, paging=paging, waiters=waiters, migration=migration, neighbours=neighbours, signatures=signatures)
GROUPS[sys.argv[1]]()
checks.end()
