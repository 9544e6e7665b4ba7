"""Which reading operations are driven, and with what.

An operation that the sandbox offers is driven by itself when it needs no arguments. Add a line to `ARGUMENTS` for one that
does, or for more ways to call one: each line is a check of its own, for every client.
"""

INSTANCE = "prod-three"
CLUSTER = "aurora-orders"

ARGUMENTS = {
    "DescribeDBClusterBacktracks": [dict(DBClusterIdentifier=CLUSTER)],
    "DescribeDBClusterParameters": [dict(DBClusterParameterGroupName="default.aurora-mysql8.0")],
    "DescribeDBClusterSnapshotAttributes": [dict(DBClusterSnapshotIdentifier="aurora-orders-monthly")],
    "DescribeDBClusters": [{}, dict(DBClusterIdentifier=CLUSTER)],
    "DescribeDBInstances": [{}, dict(DBInstanceIdentifier=INSTANCE), dict(Filters=[dict(Name="engine", Values=["mariadb", "mysql"])])],
    "DescribeDBLogFiles": [dict(DBInstanceIdentifier=INSTANCE)],
    "DescribeDBParameters": [dict(DBParameterGroupName="prod-mariadb-10-11"), dict(DBParameterGroupName="prod-mariadb-10-11", Source="user")],
    "DescribeDBProxyTargetGroups": [dict(DBProxyName="front")],
    "DescribeDBProxyTargets": [dict(DBProxyName="front")],
    "DescribeDBSnapshotAttributes": [dict(DBSnapshotIdentifier="prod-one-before-upgrade")],
    "DescribeDBSnapshots": [{}, dict(SnapshotType="manual"), dict(SnapshotType="automated")],
    "DescribeEngineDefaultClusterParameters": [dict(DBParameterGroupFamily="aurora-mysql8.0")],
    "DescribeEngineDefaultParameters": [dict(DBParameterGroupFamily="mariadb10.11")],
    "DescribeEvents": [dict(Duration=20160)],
    "DescribeOptionGroupOptions": [dict(EngineName="mariadb")],
    "DescribeOrderableDBInstanceOptions": [dict(Engine="mariadb", MaxRecords=1000), dict(Engine="mysql")],
    "DescribeValidDBInstanceModifications": [dict(DBInstanceIdentifier=INSTANCE)],
    "ListTagsForResource": [dict(ResourceName="arn:aws:rds:eu-central-1:111122223333:db:prod-one")],
}

# What is offered once stays offered.
FLOOR = {
    "DescribeAccountAttributes", "DescribeBlueGreenDeployments", "DescribeCertificates", "DescribeDBClusterParameterGroups",
    "DescribeDBClusterParameters", "DescribeDBClusterSnapshotAttributes", "DescribeDBEngineVersions", "DescribeDBProxyTargetGroups",
    "DescribeDBSnapshotAttributes", "DescribeEngineDefaultClusterParameters", "DescribeEngineDefaultParameters",
    "DescribeEventCategories", "DescribeExportTasks", "DescribeSourceRegions", "DescribeValidDBInstanceModifications",
    "DescribeDBClusterSnapshots", "DescribeDBClusters", "DescribeDBInstanceAutomatedBackups",
    "DescribeDBInstances", "DescribeDBParameterGroups", "DescribeDBParameters", "DescribeDBProxies", "DescribeDBProxyTargets",
    "DescribeDBSnapshots", "DescribeDBSubnetGroups", "DescribeEventSubscriptions", "DescribeEvents", "DescribeOptionGroups",
    "DescribeOrderableDBInstanceOptions", "DescribePendingMaintenanceActions", "ListTagsForResource",
}


def reading(model):
    """Every reading operation of RDS with the arguments to try; `None` where somebody has to think of some."""
    for name in model.operation_names:
        if not name.startswith(("Describe", "List")):
            continue
        shape = model.operation_model(name).input_shape
        needed = shape.required_members if shape else []
        yield name, ARGUMENTS.get(name, None if needed else [{}])


def shown(arguments):
    return ", ".join(f"{name}={value if isinstance(value, (str, int)) else '…'}" for name, value in arguments.items())
