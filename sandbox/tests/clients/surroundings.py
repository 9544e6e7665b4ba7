"""What surrounds the instances: groups, subscriptions, proxies, blue/green deployments, sharing, exports. Driven in the
order in which they need each other; each operation is a check of its own."""

import botocore

from checks import until

ROLE = "arn:aws:iam::111122223333:role/sandbox"


def drive(checks, client, flawless, refused):
    rds = client("rds")

    def ask(operation, to=rds, **arguments):
        return checks.run(operation, flawless, getattr(to, botocore.xform_name(operation)), **arguments)

    def no(code, operation, **arguments):
        checks.run(f"{operation} is refused with {code}", refused, code, getattr(rds, botocore.xform_name(operation)), **arguments)

    def becomes(what, wanted, look):
        checks.run(f"{what} becomes {wanted}", until, what, lambda: look() == wanted)

    instance = rds.describe_db_instances(DBInstanceIdentifier="prod-two")["DBInstances"][0]
    source, subnets = instance["DBInstanceArn"], [subnet["SubnetIdentifier"] for subnet in instance["DBSubnetGroup"]["Subnets"]]
    ask("ApplyPendingMaintenanceAction", ResourceIdentifier=source, ApplyAction="system-update", OptInType="next-maintenance")
    ask("DescribePendingMaintenanceActions")
    groups(ask, no, subnets)
    subscriptions(ask, no)
    proxies(ask, no, becomes, rds, subnets, source)
    elsewhere = client("rds", "us-east-1")
    ask("StartDBInstanceAutomatedBackupsReplication", to=elsewhere, SourceDBInstanceArn=source, BackupRetentionPeriod=7)
    ask("DescribeDBInstanceAutomatedBackups", to=elsewhere)
    ask("DescribeDBInstances", DBInstanceIdentifier="prod-two")
    ask("StopDBInstanceAutomatedBackupsReplication", to=elsewhere, SourceDBInstanceArn=source)
    deployment(ask, no, becomes, rds, source)
    sharing(ask, no, becomes, rds, source)
    cluster = "arn:aws:rds:eu-central-1:111122223333:cluster:aurora-orders"
    ask("StartActivityStream", ResourceArn=cluster, Mode="async", KmsKeyId="alias/rds-migration")
    becomes("activity stream", "started", lambda: rds.describe_db_clusters(DBClusterIdentifier="aurora-orders")["DBClusters"][0]["ActivityStreamStatus"])
    ask("DescribeDBClusters", DBClusterIdentifier="aurora-orders")
    ask("StopActivityStream", ResourceArn=cluster)


def groups(ask, no, subnets):
    for kind, family in (("DB", "mariadb10.11"), ("DBCluster", "aurora-mysql8.0")):
        name = {f"{kind}ParameterGroupName": "fresh"}
        ask(f"Create{kind}ParameterGroup", DBParameterGroupFamily=family, Description="x", Tags=[dict(Key="a", Value="b")], **name)
        no("DBParameterGroupAlreadyExists", f"Create{kind}ParameterGroup", DBParameterGroupFamily=family, Description="x", **name)
        ask(f"Modify{kind}ParameterGroup", Parameters=[dict(ParameterName="wait_timeout", ParameterValue="60", ApplyMethod="immediate")], **name)
        no("InvalidParameterCombination", f"Modify{kind}ParameterGroup",
           Parameters=[dict(ParameterName="performance_schema", ParameterValue="1", ApplyMethod="immediate")], **name)
        shown = ask(f"Describe{kind}Parameters", Source="user", **name)["Parameters"]
        assert [(parameter["ParameterName"], parameter["ParameterValue"]) for parameter in shown] == [("wait_timeout", "60")], shown
        copy = {f"Source{kind}ParameterGroupIdentifier": "fresh", f"Target{kind}ParameterGroupIdentifier": "copied"}
        ask(f"Copy{kind}ParameterGroup", **copy, **{f"Target{kind}ParameterGroupDescription": "y"})
        ask(f"Reset{kind}ParameterGroup", ResetAllParameters=True, **name)
        ask(f"Describe{kind}ParameterGroups")
        ask(f"Delete{kind}ParameterGroup", **name)
        no("DBParameterGroupNotFound", f"Describe{kind}ParameterGroups", **name)
    ask("CreateOptionGroup", OptionGroupName="fresh", EngineName="mariadb", MajorEngineVersion="10.11", OptionGroupDescription="x")
    ask("ModifyOptionGroup", OptionGroupName="fresh", OptionsToInclude=[dict(OptionName="MARIADB_AUDIT_PLUGIN")], ApplyImmediately=True)
    ask("CopyOptionGroup", SourceOptionGroupIdentifier="fresh", TargetOptionGroupIdentifier="copied", TargetOptionGroupDescription="y")
    ask("DeleteOptionGroup", OptionGroupName="fresh")
    ask("CreateDBSubnetGroup", DBSubnetGroupName="fresh", DBSubnetGroupDescription="x", SubnetIds=subnets[:2])
    ask("ModifyDBSubnetGroup", DBSubnetGroupName="fresh", SubnetIds=subnets)
    no("InvalidSubnet", "ModifyDBSubnetGroup", DBSubnetGroupName="fresh", SubnetIds=["subnet-0"])
    ask("DeleteDBSubnetGroup", DBSubnetGroupName="fresh")


def subscriptions(ask, no):
    name = dict(SubscriptionName="fresh")
    topic = dict(SnsTopicArn="arn:aws:sns:eu-central-1:111122223333:t")
    no("SourceNotFound", "CreateEventSubscription", SourceType="db-instance", SourceIds=["nobody"], **topic, **name)
    ask("CreateEventSubscription", SourceType="db-instance", SourceIds=["prod-two"], **topic, **name)
    ask("ModifyEventSubscription", EventCategories=["failure"], **name)
    ask("AddSourceIdentifierToSubscription", SourceIdentifier="prod-three", **name)
    ask("RemoveSourceIdentifierFromSubscription", SourceIdentifier="prod-three", **name)
    ask("DescribeEventSubscriptions", **name)
    ask("DeleteEventSubscription", **name)


def proxies(ask, no, becomes, rds, subnets, source):
    name, target = dict(DBProxyName="fresh"), dict(DBInstanceIdentifiers=["prod-one"])
    ask("CreateDBProxy", EngineFamily="MYSQL", RoleArn=ROLE, VpcSubnetIds=subnets,
        Auth=[dict(AuthScheme="SECRETS", SecretArn="arn:aws:secretsmanager:eu-central-1:111122223333:secret:s-abcdef")], **name)
    becomes("proxy", "available", lambda: rds.describe_db_proxies(**name)["DBProxies"][0]["Status"])
    ask("DescribeDBProxies", **name)
    ask("RegisterDBProxyTargets", **target, **name)
    no("DBProxyTargetAlreadyRegisteredFault", "RegisterDBProxyTargets", **target, **name)
    becomes("target", "AVAILABLE", lambda: rds.describe_db_proxy_targets(**name)["Targets"][0]["TargetHealth"]["State"])
    ask("DescribeDBProxyTargets", **name)
    ask("DescribeDBProxyTargetGroups", **name)
    # prod-two is the target of the fleet's own proxy.
    no("SourceDatabaseNotSupportedFault", "CreateBlueGreenDeployment", BlueGreenDeploymentName="b", Source=source)
    ask("DeregisterDBProxyTargets", **target, **name)
    ask("DeregisterDBProxyTargets", DBProxyName="front", DBInstanceIdentifiers=["prod-two"])
    ask("DeleteDBProxy", **name)


def deployment(ask, no, becomes, rds, source):
    made = ask("CreateBlueGreenDeployment", BlueGreenDeploymentName="b", Source=source,
               TargetResourceConfigurations=[dict(SourceArn=source, TargetKmsKeyId="alias/rds-migration")])["BlueGreenDeployment"]
    by_id = dict(BlueGreenDeploymentIdentifier=made["BlueGreenDeploymentIdentifier"])
    status = lambda: rds.describe_blue_green_deployments(**by_id)["BlueGreenDeployments"][0]["Status"]
    becomes("deployment", "AVAILABLE", status)
    ask("DescribeBlueGreenDeployments", **by_id)
    ask("SwitchoverBlueGreenDeployment", **by_id)
    becomes("deployment", "SWITCHOVER_COMPLETED", status)
    shown = ask("DescribeDBInstances", DBInstanceIdentifier="prod-two")["DBInstances"][0]
    assert shown["StorageEncrypted"], shown
    no("InvalidBlueGreenDeploymentStateFault", "SwitchoverBlueGreenDeployment", **by_id)
    ask("DeleteBlueGreenDeployment", **by_id)
    becomes("number of deployments", 0, lambda: len(rds.describe_blue_green_deployments()["BlueGreenDeployments"]))
    no("BlueGreenDeploymentNotFoundFault", "DescribeBlueGreenDeployments", **by_id)
    rds.delete_db_instance(DBInstanceIdentifier="prod-two-old1", SkipFinalSnapshot=True)


def sharing(ask, no, becomes, rds, source):
    name = dict(DBSnapshotIdentifier="shared")
    ask("CreateDBSnapshot", DBInstanceIdentifier="prod-one", **name)
    becomes("snapshot", "available", lambda: rds.describe_db_snapshots(**name)["DBSnapshots"][0]["Status"])
    ask("ModifyDBSnapshotAttribute", AttributeName="restore", ValuesToAdd=["999999999999"], **name)
    ask("DescribeDBSnapshotAttributes", **name)
    ask("DescribeDBSnapshots", IncludeShared=True, IncludePublic=True)
    cluster = dict(DBClusterSnapshotIdentifier="aurora-orders-monthly")
    ask("ModifyDBClusterSnapshotAttribute", AttributeName="restore", ValuesToAdd=["999999999999"], **cluster)
    ask("DescribeDBClusterSnapshotAttributes", **cluster)
    task = dict(ExportTaskIdentifier="fresh")
    snapshot = source.replace(":db:prod-two", ":snapshot:shared")
    ask("StartExportTask", SourceArn=snapshot, S3BucketName="b", IamRoleArn=ROLE, KmsKeyId="alias/rds-migration", **task)
    ask("DescribeExportTasks", **task)
    becomes("export", "COMPLETE", lambda: rds.describe_export_tasks(**task)["ExportTasks"][0]["Status"])
    ask("DescribeExportTasks", **task)
    no("InvalidExportTaskStateFault", "CancelExportTask", **task)
