"""What comes into being: an instance, a restore to a point in time, clusters, and what crosses regions."""

from checks import until


def drive(checks, client, flawless, refused, visible):
    rds, far = client("rds"), client("rds", "us-east-1")

    def instance(name, there=rds):
        found = visible(there, "describe_db_instances", dict(DBInstanceIdentifier=name))
        return found and found["DBInstances"][0]

    def cluster(name, there=rds):
        found = visible(there, "describe_db_clusters", dict(DBClusterIdentifier=name))
        return found and found["DBClusters"][0]

    def available(read, name, there=rds):
        found = read(name, there)
        return found and found.get("DBInstanceStatus", found.get("Status")) == "available" and found

    def once_ready(call, **arguments):
        """Describe lags behind a write, so `available` may be that of before it: the call itself says when it may be."""
        def taken():
            try:
                return flawless(call, **arguments)
            except rds.exceptions.InvalidDBClusterStateFault:
                return None
        return until("ready", taken)

    def an_instance():
        made = flawless(rds.create_db_instance, DBInstanceIdentifier="made", DBInstanceClass="db.m6g.large", Engine="mysql", EngineVersion="8.0",
                        MasterUsername="admin", MasterUserPassword="correct-horse", AllocatedStorage=20, StorageEncrypted=True, BackupRetentionPeriod=3,
                        Tags=[dict(Key="team", Value="a & b")], EnableCloudwatchLogsExports=["error"])["DBInstance"]
        assert made["DBInstanceStatus"] == "creating" and made["PendingModifiedValues"]["MasterUserPassword"] == "****", made
        until("created", lambda: available(instance, "made"))
        refused("DBInstanceAlreadyExists", rds.create_db_instance, DBInstanceIdentifier="made", DBInstanceClass="db.m6g.large", Engine="mysql",
                MasterUsername="admin", MasterUserPassword="correct-horse", AllocatedStorage=20)

    def a_point_in_time():
        latest = until("restorable", lambda: instance("made").get("LatestRestorableTime", instance("made")["InstanceCreateTime"]) >= instance("made")["InstanceCreateTime"] and instance("made")["LatestRestorableTime"])
        flawless(rds.restore_db_instance_to_point_in_time, SourceDBInstanceIdentifier="made", TargetDBInstanceIdentifier="again", RestoreTime=latest)
        until("restored", lambda: available(instance, "again"))
        refused("PointInTimeRestoreNotEnabled", rds.restore_db_instance_to_point_in_time, SourceDBInstanceIdentifier="prod-three-replica-1",
                TargetDBInstanceIdentifier="never", UseLatestRestorableTime=True)

    def a_far_replica():
        flawless(far.create_db_instance_read_replica, DBInstanceIdentifier="far", SourceRegion="eu-central-1", KmsKeyId="alias/aws/rds",
                 SourceDBInstanceIdentifier=instance("made")["DBInstanceArn"])
        made = until("replica", lambda: available(instance, "far", far))
        assert made["ReadReplicaSourceDBInstanceIdentifier"] == instance("made")["DBInstanceArn"], made
        assert instance("made")["ReadReplicaDBInstanceIdentifiers"] == [made["DBInstanceArn"]]

    def kept_backups():
        rid = instance("again")["DbiResourceId"]
        flawless(rds.delete_db_instance, DBInstanceIdentifier="again", SkipFinalSnapshot=True, DeleteAutomatedBackups=False)
        until("deleted", lambda: not instance("again"))
        flawless(rds.describe_db_instance_automated_backups, DbiResourceId=rid)
        flawless(rds.delete_db_instance_automated_backup, DbiResourceId=rid)
        refused("DBInstanceAutomatedBackupNotFound", rds.describe_db_instance_automated_backups, DbiResourceId=rid)

    def a_cluster():
        made = flawless(rds.create_db_cluster, DBClusterIdentifier="shop", Engine="aurora-mysql", MasterUsername="admin", MasterUserPassword="correct-horse",
                        ServerlessV2ScalingConfiguration=dict(MinCapacity=0.5, MaxCapacity=4), BacktrackWindow=3600, CopyTagsToSnapshot=True)["DBCluster"]
        assert (made["StorageEncrypted"], made["StorageEncryptionType"]) == (False, "sse-rds") and "KmsKeyId" not in made, made
        until("cluster", lambda: available(cluster, "shop"))
        for name in ("shop-1", "shop-2"):
            flawless(rds.create_db_instance, DBInstanceIdentifier=name, DBClusterIdentifier="shop", DBInstanceClass="db.serverless", Engine="aurora-mysql", PromotionTier=2)
            until("member", lambda: available(instance, name))
        assert [member["IsClusterWriter"] for member in cluster("shop")["DBClusterMembers"]] == [True, False]
        assert len(flawless(rds.describe_db_cluster_endpoints, DBClusterIdentifier="shop")["DBClusterEndpoints"]) == 2

    def its_changes():
        flawless(rds.failover_db_cluster, DBClusterIdentifier="shop")
        until("failed over", lambda: available(cluster, "shop") and not cluster("shop")["DBClusterMembers"][0]["IsClusterWriter"])
        flawless(rds.add_role_to_db_cluster, DBClusterIdentifier="shop", RoleArn="arn:aws:iam::111122223333:role/s3", FeatureName="s3Import")
        until("role", lambda: cluster("shop")["AssociatedRoles"][0]["Status"] == "ACTIVE")
        flawless(rds.remove_role_from_db_cluster, DBClusterIdentifier="shop", RoleArn="arn:aws:iam::111122223333:role/s3", FeatureName="s3Import")
        flawless(rds.modify_db_cluster, DBClusterIdentifier="shop", NewDBClusterIdentifier="store", EnableIAMDatabaseAuthentication=True)
        assert cluster("shop") and until("pending", lambda: cluster("shop").get("PendingModifiedValues"))["DBClusterIdentifier"] == "store"
        flawless(rds.describe_db_clusters)
        flawless(rds.modify_db_cluster, DBClusterIdentifier="shop", CloudwatchLogsExportConfiguration=dict(EnableLogTypes=["error"]), ApplyImmediately=True)
        until("renamed", lambda: available(cluster, "store") and cluster("store")["IAMDatabaseAuthenticationEnabled"])
        for action, after in ((rds.stop_db_cluster, "stopped"), (rds.start_db_cluster, "available")):
            flawless(action, DBClusterIdentifier="store")
            until(after, lambda: cluster("store")["Status"] == after)
        refused("InvalidDBClusterStateFault", rds.start_db_cluster, DBClusterIdentifier="store")

    def its_copies():
        flawless(rds.create_db_cluster_snapshot, DBClusterIdentifier="store", DBClusterSnapshotIdentifier="s")
        rds.get_waiter("db_cluster_snapshot_available").wait(DBClusterSnapshotIdentifier="s", WaiterConfig=dict(Delay=1, MaxAttempts=60))
        flawless(rds.copy_db_cluster_snapshot, SourceDBClusterSnapshotIdentifier="s", TargetDBClusterSnapshotIdentifier="c", KmsKeyId="alias/rds-migration")
        rds.get_waiter("db_cluster_snapshot_available").wait(DBClusterSnapshotIdentifier="c", WaiterConfig=dict(Delay=1, MaxAttempts=60))
        restored = flawless(rds.restore_db_cluster_from_snapshot, DBClusterIdentifier="r", SnapshotIdentifier="s", Engine="aurora-mysql", KmsKeyId="alias/rds-migration")["DBCluster"]
        assert restored["StorageEncrypted"] and not restored["DBClusterMembers"], restored
        flawless(rds.restore_db_cluster_to_point_in_time, DBClusterIdentifier="clone", SourceDBClusterIdentifier="store", UseLatestRestorableTime=True, RestoreType="copy-on-write")
        for name in ("r", "clone"):
            until(name, lambda: available(cluster, name))
        for name in ("s", "c"):
            flawless(rds.delete_db_cluster_snapshot, DBClusterSnapshotIdentifier=name)
        refused("DBClusterSnapshotNotFoundFault", rds.describe_db_cluster_snapshots, DBClusterSnapshotIdentifier="s")

    def a_multi_az_cluster():
        flawless(rds.create_db_cluster, DBClusterIdentifier="three", Engine="mysql", MasterUsername="admin", ManageMasterUserPassword=True,
                 DBClusterInstanceClass="db.m6g.large", AllocatedStorage=100, Iops=1000)
        made = until("cluster", lambda: available(cluster, "three"))
        assert len(made["DBClusterMembers"]) == 3 and made["MasterUserSecret"]["SecretStatus"] == "active", made
        flawless(rds.reboot_db_cluster, DBClusterIdentifier="three")
        until("rebooted", lambda: available(cluster, "three"))
        once_ready(rds.delete_db_cluster, DBClusterIdentifier="three", SkipFinalSnapshot=True, DeleteAutomatedBackups=False)
        until("deleted", lambda: not cluster("three"))
        flawless(rds.describe_db_cluster_automated_backups, DbClusterResourceId=made["DbClusterResourceId"])
        flawless(rds.delete_db_cluster_automated_backup, DbClusterResourceId=made["DbClusterResourceId"])

    def a_global_cluster():
        flawless(rds.create_global_cluster, GlobalClusterIdentifier="world", SourceDBClusterIdentifier=cluster("store")["DBClusterArn"])
        flawless(far.create_db_cluster, DBClusterIdentifier="abroad", Engine="aurora-mysql", EngineVersion=cluster("store")["EngineVersion"], GlobalClusterIdentifier="world")
        abroad = until("reader", lambda: available(cluster, "abroad", far))
        members = flawless(far.describe_global_clusters, GlobalClusterIdentifier="world")["GlobalClusters"][0]["GlobalClusterMembers"]
        assert [member["IsWriter"] for member in members] == [True, False] and members[0]["Readers"] == [abroad["DBClusterArn"]], members
        refused("InvalidGlobalClusterStateFault", rds.delete_global_cluster, GlobalClusterIdentifier="world")
        for arn in (abroad["DBClusterArn"], cluster("store")["DBClusterArn"]):
            flawless(rds.remove_from_global_cluster, GlobalClusterIdentifier="world", DbClusterIdentifier=arn)
        flawless(rds.delete_global_cluster, GlobalClusterIdentifier="world")
        refused("GlobalClusterNotFoundFault", rds.describe_global_clusters, GlobalClusterIdentifier="world")

    for check in (an_instance, a_point_in_time, a_far_replica, kept_backups, a_cluster, its_changes, its_copies, a_multi_az_cluster, a_global_cluster):
        checks.run(check.__name__.replace("_", " "), check)
