#!/usr/bin/env python3
"""Drives a running sandbox with boto3: every answer must parse without loss, and a whole migration must run.

    cargo run -p atrest-sandbox --example serve -- - 4666 600
    python3 sandbox/tests/clients/conformance.py http://127.0.0.1:4666
"""

import sys
import time
import xml.etree.ElementTree as ET

import boto3
import botocore
from botocore.config import Config

ENDPOINT = sys.argv[1]
KEY = dict(aws_access_key_id="AKIASANDBOX000000001", aws_secret_access_key="any", endpoint_url=ENDPOINT)


def client(service, region="eu-central-1", **more):
    return boto3.client(service, region_name=region, config=Config(retries={"max_attempts": 0}), **{**KEY, **more})


rds = client("rds")
raw = []
rds.meta.events.register("before-parse.rds", lambda response_dict, **_: raw.append(response_dict["body"]))


def local(tag):
    return tag.rsplit("}", 1)[-1]


def unknown(element, shape, path):
    """Names in an answer that the service model does not have: they would be lost in parsing."""
    lost = []
    if shape.type_name == "structure":
        members = {m.serialization.get("name", n): m for n, m in shape.members.items()}
        for child in element:
            member = members.get(local(child.tag))
            if member is None:
                lost.append(f"{path}.{local(child.tag)}")
            else:
                lost += unknown(child, member, f"{path}.{local(child.tag)}")
    elif shape.type_name == "list":
        item = shape.member.serialization.get("name", "member")
        for child in element:
            if local(child.tag) != item:
                lost.append(f"{path}.{local(child.tag)} (item should be {item})")
            else:
                lost += unknown(child, shape.member, path)
    return lost


def check_shape(operation, body):
    model = rds.meta.service_model.operation_model(operation)
    root = ET.fromstring(body)
    assert local(root.tag) == f"{operation}Response", root.tag
    if model.output_shape is None:
        return []
    result = root[0]
    assert local(result.tag) == f"{operation}Result", result.tag
    return unknown(result, model.output_shape, operation)


def lossless():
    group = dict(DBParameterGroupName="prod-mariadb-10-11")
    for region in ("eu-central-1", "us-east-1"):
        c = client("rds", region)
        c.meta.events.register("before-parse.rds", lambda response_dict, **_: raw.append(response_dict["body"]))
        calls = [("describe_db_instances", "DescribeDBInstances", {}), ("describe_db_snapshots", "DescribeDBSnapshots", {}),
                 ("describe_db_clusters", "DescribeDBClusters", {}), ("describe_db_cluster_snapshots", "DescribeDBClusterSnapshots", {}),
                 ("describe_db_instance_automated_backups", "DescribeDBInstanceAutomatedBackups", {}),
                 ("describe_db_parameter_groups", "DescribeDBParameterGroups", {}), ("describe_option_groups", "DescribeOptionGroups", {}),
                 ("describe_db_subnet_groups", "DescribeDBSubnetGroups", {}), ("describe_events", "DescribeEvents", {}),
                 ("describe_account_attributes", "DescribeAccountAttributes", {}), ("describe_event_subscriptions", "DescribeEventSubscriptions", {}),
                 ("describe_orderable_db_instance_options", "DescribeOrderableDBInstanceOptions", dict(Engine="mariadb", MaxRecords=1000)),
                 ("describe_pending_maintenance_actions", "DescribePendingMaintenanceActions", {}), ("describe_db_proxies", "DescribeDBProxies", {})]
        if region == "eu-central-1":
            calls.append(("describe_db_parameters", "DescribeDBParameters", group))
        for method, operation, arguments in calls:
            raw.clear()
            getattr(c, method)(**arguments)
            lost = check_shape(operation, raw[-1])
            print(f"{region} {operation}: {len(lost)} members lost" + (f" {sorted(set(lost))[:8]}" if lost else ""))
            assert not lost or all("UpgradeRolloutOrder" in l for l in lost), lost


def until(what, condition, seconds=60):
    end = time.time() + seconds
    while True:
        if condition():
            print(f"  {what}")
            return
        assert time.time() < end, f"never: {what}"
        time.sleep(0.05)


def instance(name):
    try:
        return rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
    except rds.exceptions.DBInstanceNotFoundFault:
        return None


def available(name):
    found = instance(name)
    return found is not None and found["DBInstanceStatus"] in ("available", "storage-optimization") and not found["PendingModifiedValues"]


def expect(code, call, **arguments):
    try:
        call(**arguments)
    except botocore.exceptions.ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        assert error.response["ResponseMetadata"]["RequestId"]
        print(f"  refused as it should be: {code}")
    else:
        raise AssertionError(f"{code} expected")


def migrate(name, new_attributes, after):
    print(f"migrating {name}")
    before = instance(name)
    old, rid = f"old-{name}", before["DbiResourceId"]
    rds.add_tags_to_resource(ResourceName=before["DBInstanceArn"], Tags=[{"Key": "atrest:run", "Value": "r1 & <co>"}])
    rds.modify_db_instance(DBInstanceIdentifier=name, NewDBInstanceIdentifier=old, ApplyImmediately=True)
    by_id = [dict(Name="dbi-resource-id", Values=[rid])]
    until("renamed", lambda: [i["DBInstanceIdentifier"] for i in rds.describe_db_instances(Filters=by_id)["DBInstances"]] == [old])
    until("available under the old- name", lambda: available(old))
    until("endpoint follows", lambda: instance(old)["Endpoint"]["Address"] != before["Endpoint"]["Address"])
    rds.reboot_db_instance(DBInstanceIdentifier=old)
    until("rebooting", lambda: instance(old)["DBInstanceStatus"] == "rebooting")
    until("rebooted", lambda: available(old))
    rds.create_db_snapshot(DBSnapshotIdentifier=f"{name}-plain", DBInstanceIdentifier=old)
    until("snapshot", lambda: rds.describe_db_snapshots(DBSnapshotIdentifier=f"{name}-plain")["DBSnapshots"][0]["Status"] == "available")
    copy = rds.copy_db_snapshot(SourceDBSnapshotIdentifier=f"{name}-plain", TargetDBSnapshotIdentifier=f"{name}-enc", KmsKeyId="alias/rds-migration")
    assert copy["DBSnapshot"]["Encrypted"] and copy["DBSnapshot"]["KmsKeyId"].startswith("arn:aws:kms:")
    until("encrypted copy", lambda: rds.describe_db_snapshots(DBSnapshotIdentifier=f"{name}-enc")["DBSnapshots"][0]["Status"] == "available")
    rds.restore_db_instance_from_db_snapshot(DBInstanceIdentifier=f"new-{name}", DBSnapshotIdentifier=f"{name}-enc", **new_attributes)
    until("restored", lambda: available(f"new-{name}"))
    if after:
        rds.modify_db_instance(DBInstanceIdentifier=f"new-{name}", ApplyImmediately=True, **after)
        time.sleep(0.3)
        until("modified", lambda: available(f"new-{name}"))
    if instance(f"new-{name}")["DBParameterGroups"][0]["ParameterApplyStatus"] == "pending-reboot":
        rds.reboot_db_instance(DBInstanceIdentifier=f"new-{name}")
        until("in-sync", lambda: instance(f"new-{name}")["DBParameterGroups"][0]["ParameterApplyStatus"] == "in-sync" and available(f"new-{name}"))
    if before["ReadReplicaDBInstanceIdentifiers"]:
        expect("InvalidParameterCombination", rds.create_db_instance_read_replica, DBInstanceIdentifier="bad", SourceDBInstanceIdentifier=old, KmsKeyId="alias/rds-migration")
        expect("DBSubnetGroupNotAllowedFault", rds.create_db_instance_read_replica, DBInstanceIdentifier="bad", SourceDBInstanceIdentifier=f"new-{name}", DBSubnetGroupName="default")
    for replica in before["ReadReplicaDBInstanceIdentifiers"]:
        until("source ready", lambda: available(f"new-{name}"))
        until("replica asked for", lambda: replica_asked(f"new-{name}", f"new-{replica}"))
        until(f"replica new-{replica}", lambda: available(f"new-{replica}"))
        made = instance(f"new-{replica}")
        assert made["StorageEncrypted"] and made["StatusInfos"][0]["Status"] == "replicating"
    now = instance(f"new-{name}")
    assert now["StorageEncrypted"] and now["StorageEncryptionType"] == "sse-kms"
    rds.modify_db_instance(DBInstanceIdentifier=f"new-{name}", NewDBInstanceIdentifier=name, ApplyImmediately=True)
    until("has its name back", lambda: available(name) and instance(name)["StorageEncrypted"] and instance(name)["Endpoint"]["Address"] == before["Endpoint"]["Address"])
    return before, instance(name)


def replica_asked(source, replica):
    try:
        rds.create_db_instance_read_replica(DBInstanceIdentifier=replica, SourceDBInstanceIdentifier=source)
        return True
    except rds.exceptions.InvalidDBInstanceStateFault:
        return False


def neighbours():
    sts = client("sts").get_caller_identity()
    assert sts["Account"] == "111122223333", sts
    kms = client("kms")
    key = kms.describe_key(KeyId="alias/rds-migration")["KeyMetadata"]
    assert key["Enabled"] and key["KeyManager"] == "CUSTOMER" and key["CreationDate"].year > 2020
    assert kms.describe_key(KeyId="alias/aws/rds")["KeyMetadata"]["KeyManager"] == "AWS"
    assert any(a["AliasName"] == "alias/vault" for a in kms.list_aliases()["Aliases"])
    kms.create_grant(KeyId=key["Arn"], GranteePrincipal="arn:aws:iam::111122223333:root", Operations=["Decrypt"])
    expect("NotFoundException", kms.describe_key, KeyId="alias/none")
    retired = kms.describe_key(KeyId="alias/retired")["KeyMetadata"]
    assert retired["KeyState"] == "Disabled"
    expect("DisabledException", kms.create_grant, KeyId=retired["KeyId"], GranteePrincipal="x", Operations=["Decrypt"])
    regions = client("account", "us-east-1").list_regions(RegionOptStatusContains=["ENABLED", "ENABLED_BY_DEFAULT"])["Regions"]
    assert any(r["RegionName"] == "eu-central-1" for r in regions), regions
    for service in ("rds", "sts"):
        stranger = client(service, aws_access_key_id="AKIAUNKNOWN")
        expect("InvalidClientTokenId", stranger.describe_db_instances if service == "rds" else stranger.get_caller_identity)
    expect("InvalidAction", rds.describe_db_engine_versions)
    expect("DBInstanceNotFound", rds.describe_db_instances, DBInstanceIdentifier="nope")
    print("neighbours answer")


def main():
    neighbours()
    lossless()
    source = instance("prod-three")
    restored_with = dict(StorageType="gp2", DBParameterGroupName="wiki-mariadb-10-11", PubliclyAccessible=True, CopyTagsToSnapshot=True,
                         PreferredBackupWindow=source["PreferredBackupWindow"],
                         EngineLifecycleSupport=source["EngineLifecycleSupport"], EnableCloudwatchLogsExports=["error", "general"])
    modified_to = dict(MaxAllocatedStorage=200, PreferredMaintenanceWindow=source["PreferredMaintenanceWindow"])
    before, after = migrate("prod-three", restored_with, modified_to)
    differ = {key for key in set(before) | set(after) if before.get(key) != after.get(key)}
    expected = {"CertificateDetails", "DbiResourceId", "InstanceCreateTime", "KmsKeyId", "LatestRestorableTime",
                "ReadReplicaDBInstanceIdentifiers", "StorageEncrypted", "StorageEncryptionType", "TagList"}
    assert differ == expected, differ ^ expected
    old = instance("old-prod-three")
    expect("InvalidParameterCombination", rds.delete_db_instance, DBInstanceIdentifier="old-prod-three")
    rds.delete_db_instance(DBInstanceIdentifier="old-prod-three", SkipFinalSnapshot=True, DeleteAutomatedBackups=False)
    until("deleted", lambda: instance("old-prod-three") is None)
    until("its replica stands alone", lambda: "ReadReplicaSourceDBInstanceIdentifier" not in instance("prod-three-replica-1"))
    retained = rds.describe_db_instance_automated_backups(Filters=[dict(Name="status", Values=["retained"])])["DBInstanceAutomatedBackups"]
    assert [b["DbiResourceId"] for b in retained] == [old["DbiResourceId"]], retained
    messages = [e["Message"] for e in rds.describe_events(Duration=20160)["Events"]]
    assert any(m.startswith("Restored from snapshot") for m in messages), messages
    lossless()
    print("all fine")


main()
