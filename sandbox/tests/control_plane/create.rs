//! `CreateDBInstance`: request members and their defaults, refusals in RDS's order, members of clusters.

use super::{Bench, NO_LAG, Refusal};

const MYSQL: [(&str, &str); 6] = [
    ("DBInstanceIdentifier", "New-One"),
    ("DBInstanceClass", "db.m6g.large"),
    ("Engine", "mysql"),
    ("MasterUsername", "admin"),
    ("MasterUserPassword", "geheim-geheim"),
    ("AllocatedStorage", "50"),
];

fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut params: Vec<(&str, &str)> = MYSQL
        .iter()
        .filter(|(name, _)| !more.iter().any(|(other, _)| other == name))
        .copied()
        .collect();
    params.extend_from_slice(more);
    params
}

fn without(name: &str) -> Vec<(&'static str, &'static str)> {
    MYSQL
        .iter()
        .filter(|(other, _)| *other != name)
        .copied()
        .collect()
}

#[tokio::test]
async fn what_a_creation_is_not_told_falls_back_to_its_default() {
    let bench = Bench::with(NO_LAG).await;
    let answer = bench.ok("CreateDBInstance", &MYSQL).await;
    assert!(
        !answer.body.contains("geheim") && answer.body.contains("<MasterUserPassword>****"),
        "{}",
        answer.body
    );
    assert!(!answer.has("Endpoint") && !answer.has("InstanceCreateTime"));
    assert_eq!(
        bench.until("new-one", "available").await,
        ["creating", "backing-up", "available"]
    );
    let new = bench.instance("new-one").await.expect("there");
    let text = |name: &str| new.text(name).unwrap_or_else(|| "absent".to_owned());
    let expected = [
        ("DBInstanceIdentifier", "new-one"),
        ("EngineVersion", "8.4.3"),
        ("DBParameterGroupName", "default.mysql8.4"),
        ("OptionGroupName", "default:mysql-8-4"),
        ("DBSubnetGroupName", "default"),
        ("StorageType", "gp3"),
        ("Iops", "3000"),
        ("Port", "3306"),
        ("BackupRetentionPeriod", "1"),
        ("MultiAZ", "false"),
        ("AutoMinorVersionUpgrade", "true"),
        ("StorageEncrypted", "false"),
        ("StorageEncryptionType", "none"),
        ("KmsKeyId", "absent"),
        ("DeletionProtection", "false"),
        ("CopyTagsToSnapshot", "false"),
        ("MonitoringInterval", "0"),
        ("PerformanceInsightsEnabled", "false"),
        ("PromotionTier", "absent"),
        ("PendingModifiedValues", ""),
        ("DBName", "absent"),
    ];
    for (name, value) in expected {
        assert_eq!(text(name), value, "{name}");
    }
    assert!(text("Address").starts_with("new-one."));
    // The first backup is its point-in-time chain's beginning.
    let backups = bench
        .ok(
            "DescribeDBInstanceAutomatedBackups",
            &[("DBInstanceIdentifier", "new-one")],
        )
        .await;
    assert_eq!(backups.text("Status").as_deref(), Some("active"));
}

#[tokio::test]
async fn what_a_creation_is_told_is_what_describe_shows() {
    let bench = Bench::with(NO_LAG).await;
    let params = with(&[
        ("EngineVersion", "8.0"),
        ("DBName", "shop"),
        ("DBSubnetGroupName", "data"),
        ("DBParameterGroupName", "Dynamic"),
        ("OptionGroupName", "own"),
        (
            "VpcSecurityGroupIds.VpcSecurityGroupId.1",
            "sg-22222222222222222",
        ),
        ("MultiAZ", "true"),
        ("Port", "3399"),
        ("BackupRetentionPeriod", "0"),
        ("PreferredBackupWindow", "01:00-01:30"),
        ("PreferredMaintenanceWindow", "Sun:05:00-Sun:05:30"),
        ("StorageType", "io1"),
        ("Iops", "1000"),
        ("AllocatedStorage", "100"),
        ("MaxAllocatedStorage", "200"),
        ("StorageEncrypted", "true"),
        ("KmsKeyId", "alias/mine"),
        ("CopyTagsToSnapshot", "true"),
        ("MonitoringInterval", "60"),
        ("MonitoringRoleArn", "arn:aws:iam::111122223333:role/m"),
        ("EnablePerformanceInsights", "true"),
        ("EnableIAMDatabaseAuthentication", "true"),
        ("EnableCloudwatchLogsExports.member.1", "error"),
        ("DeletionProtection", "true"),
        ("AutoMinorVersionUpgrade", "false"),
        ("CACertificateIdentifier", "rds-ca-rsa4096-g1"),
        ("NetworkType", "DUAL"),
        (
            "EngineLifecycleSupport",
            "open-source-rds-extended-support-disabled",
        ),
        ("Tags.Tag.1.Key", "team"),
        ("Tags.Tag.1.Value", "a&b"),
    ]);
    bench.ok("CreateDBInstance", &params).await;
    assert_eq!(
        bench.until("new-one", "available").await,
        [
            "creating",
            "modifying",
            "configuring-enhanced-monitoring",
            "available"
        ]
    );
    let new = bench.instance("new-one").await.expect("there");
    let text = |name: &str| new.text(name).unwrap_or_else(|| "absent".to_owned());
    let expected = [
        // The newest version of the major one that was named.
        ("EngineVersion", "8.0.40"),
        ("DBName", "shop"),
        ("DBSubnetGroupName", "data"),
        ("DBParameterGroupName", "dynamic"),
        ("OptionGroupName", "own"),
        ("VpcSecurityGroupId", "sg-22222222222222222"),
        ("MultiAZ", "true"),
        ("Port", "3399"),
        ("BackupRetentionPeriod", "0"),
        ("PreferredBackupWindow", "01:00-01:30"),
        ("PreferredMaintenanceWindow", "sun:05:00-sun:05:30"),
        ("StorageType", "io1"),
        ("Iops", "1000"),
        ("MaxAllocatedStorage", "200"),
        ("StorageEncrypted", "true"),
        ("StorageEncryptionType", "sse-kms"),
        ("CopyTagsToSnapshot", "true"),
        ("MonitoringInterval", "60"),
        ("PerformanceInsightsEnabled", "true"),
        ("PerformanceInsightsRetentionPeriod", "7"),
        ("IAMDatabaseAuthenticationEnabled", "true"),
        ("EnabledCloudwatchLogsExports", "<member>error</member>"),
        ("DeletionProtection", "true"),
        ("AutoMinorVersionUpgrade", "false"),
        ("CACertificateIdentifier", "rds-ca-rsa4096-g1"),
        ("NetworkType", "DUAL"),
        (
            "EngineLifecycleSupport",
            "open-source-rds-extended-support-disabled",
        ),
        ("Value", "a&amp;b"),
    ];
    for (name, value) in expected {
        assert_eq!(text(name), value, "{name}");
    }
    assert!(new.has("SecondaryAvailabilityZone"));
    assert!(text("KmsKeyId").starts_with("arn:aws:kms:eu-central-1:111122223333:key/"));
}

/// §2.1 and §1.4: syntax, referenced objects, combinations; each with its code and status.
#[tokio::test]
async fn creations_that_rds_refuses() {
    let bench = Bench::with(NO_LAG).await;
    let cases: [Refusal<'_>; 34] = [
        // Syntax.
        (
            &[("DBInstanceIdentifier", "1st")],
            "InvalidParameterValue",
            400,
        ),
        (
            &[("DBInstanceClass", "large")],
            "InvalidParameterValue",
            400,
        ),
        (&[("Engine", "oracle-xe")], "InvalidParameterValue", 400),
        (
            &[("MasterUsername", "rdsadmin")],
            "InvalidParameterValue",
            400,
        ),
        (
            &[("MasterUserPassword", "short")],
            "InvalidParameterValue",
            400,
        ),
        (
            &[("MasterUserPassword", "with@sign")],
            "InvalidParameterValue",
            400,
        ),
        (&[("DBName", "1st")], "InvalidParameterValue", 400),
        (&[("Port", "80")], "InvalidParameterValue", 400),
        (
            &[("BackupRetentionPeriod", "36")],
            "InvalidParameterValue",
            400,
        ),
        (&[("AllocatedStorage", "19")], "InvalidParameterValue", 400),
        (&[("MultiAZ", "perhaps")], "InvalidParameterValue", 400),
        (
            &[("PreferredBackupWindow", "1:00-1:30")],
            "InvalidParameterValue",
            400,
        ),
        (
            &[
                ("PreferredBackupWindow", "05:15-05:45"),
                ("PreferredMaintenanceWindow", "sun:05:00-sun:05:30"),
            ],
            "InvalidParameterValue",
            400,
        ),
        // Referenced objects.
        (
            &[("DBInstanceIdentifier", "PLAIN")],
            "DBInstanceAlreadyExists",
            400,
        ),
        (
            &[("DBSubnetGroupName", "none")],
            "DBSubnetGroupNotFoundFault",
            404,
        ),
        (
            &[("DBParameterGroupName", "none")],
            "DBParameterGroupNotFound",
            404,
        ),
        (
            &[("OptionGroupName", "none")],
            "OptionGroupNotFoundFault",
            404,
        ),
        (
            &[("CACertificateIdentifier", "none")],
            "CertificateNotFound",
            404,
        ),
        (
            &[("DBClusterIdentifier", "none")],
            "DBClusterNotFoundFault",
            404,
        ),
        (
            &[("StorageEncrypted", "true"), ("KmsKeyId", "alias/none")],
            "KMSKeyNotAccessibleFault",
            400,
        ),
        (
            &[("StorageEncrypted", "true"), ("KmsKeyId", "alias/disabled")],
            "KMSKeyNotAccessibleFault",
            400,
        ),
        // Combinations.
        (
            &[("EngineVersion", "9.9.9")],
            "InvalidParameterCombination",
            400,
        ),
        (
            &[("KmsKeyId", "alias/mine")],
            "InvalidParameterCombination",
            400,
        ),
        (
            &[
                ("StorageEncrypted", "true"),
                ("DBInstanceClass", "db.t2.micro"),
            ],
            "InvalidParameterCombination",
            400,
        ),
        (
            &[("MultiAZ", "true"), ("AvailabilityZone", "eu-central-1a")],
            "InvalidParameterCombination",
            400,
        ),
        (
            &[("PromotionTier", "1")],
            "InvalidParameterCombination",
            400,
        ),
        (
            &[("Iops", "3000"), ("StorageType", "gp3")],
            "InvalidParameterCombination",
            400,
        ),
        (
            &[("StorageType", "io1"), ("AllocatedStorage", "100")],
            "InvalidParameterCombination",
            400,
        ),
        (&[("StorageType", "aurora")], "StorageTypeNotSupported", 400),
        (
            &[("MonitoringInterval", "60")],
            "InvalidParameterCombination",
            400,
        ),
        (
            &[("MaxAllocatedStorage", "50")],
            "InvalidParameterCombination",
            400,
        ),
        (
            &[("DBParameterGroupName", "other-family")],
            "InvalidParameterCombination",
            400,
        ),
        (
            &[("EnableCloudwatchLogsExports.member.1", "postgresql")],
            "InvalidParameterCombination",
            400,
        ),
        (
            &[("ManageMasterUserPassword", "true")],
            "InvalidParameterCombination",
            400,
        ),
    ];
    for (more, code, status) in cases {
        let answer = bench.call("CreateDBInstance", &with(more)).await;
        assert_eq!(
            (answer.code().as_str(), answer.status),
            (code, status),
            "{more:?}: {}",
            answer.body
        );
        assert!(!answer.body.contains("geheim"), "{}", answer.body);
    }
    for (missing, code) in [
        ("DBInstanceIdentifier", "MissingParameter"),
        ("DBInstanceClass", "MissingParameter"),
        ("Engine", "MissingParameter"),
        ("MasterUsername", "InvalidParameterValue"),
        ("MasterUserPassword", "InvalidParameterValue"),
        ("AllocatedStorage", "InvalidParameterValue"),
    ] {
        bench
            .refused("CreateDBInstance", &without(missing), code)
            .await;
    }
}

/// §8.1, order of validation: a request with a wrong word, a taken name and a bad combination.
#[tokio::test]
async fn syntax_comes_before_objects_and_objects_before_combinations() {
    let bench = Bench::with(&format!("{NO_LAG}[quotas]\ninstances = 5\n")).await;
    let all = [
        ("DBInstanceIdentifier", "plain"),
        ("Port", "80"),
        ("PromotionTier", "1"),
    ];
    for (from, code) in [
        (0, "InvalidParameterValue"),
        (1, "InvalidParameterValue"),
        (2, "InvalidParameterCombination"),
    ] {
        bench
            .refused("CreateDBInstance", &with(&all[from..]), code)
            .await;
    }
    bench
        .refused(
            "CreateDBInstance",
            &with(&[all[0], all[2]]),
            "DBInstanceAlreadyExists",
        )
        .await;
    bench
        .refused("CreateDBInstance", &MYSQL, "InstanceQuotaExceeded")
        .await;
}

#[tokio::test]
async fn an_encrypted_instance_without_a_key_has_the_default_one() {
    let bench = Bench::with(NO_LAG).await;
    let answer = bench
        .ok("CreateDBInstance", &with(&[("StorageEncrypted", "true")]))
        .await;
    let used = answer.text("KmsKeyId").expect("a key");
    let aliases = bench
        .send(
            "kms",
            "/",
            "{\"KeyId\":\"alias/aws/rds\"}",
            "X-Amz-Target: TrentService.DescribeKey\r\n",
        )
        .await
        .expect("an answer");
    assert!(aliases.body.contains(&used), "{} {used}", aliases.body);
}

#[tokio::test]
async fn a_managed_password_is_kept_in_a_secret() {
    let bench = Bench::with(NO_LAG).await;
    let mut params = without("MasterUserPassword");
    params.push(("ManageMasterUserPassword", "true"));
    let answer = bench.ok("CreateDBInstance", &params).await;
    assert_eq!(answer.text("SecretStatus").as_deref(), Some("creating"));
    assert!(!answer.has("MasterUserPassword"));
    bench.until("new-one", "available").await;
    let new = bench.instance("new-one").await.expect("there");
    assert_eq!(new.text("SecretStatus").as_deref(), Some("active"));
    assert!(new.text("SecretArn").is_some_and(|arn| {
        arn.starts_with("arn:aws:secretsmanager:eu-central-1:111122223333:secret:rds!db-")
    }));
}

#[tokio::test]
async fn a_new_instance_is_not_found_for_a_while() {
    let bench = Bench::with("\n[knobs]\ndescribe_lag = [20, 20]\n").await;
    bench.ok("CreateDBInstance", &MYSQL).await;
    assert_eq!(bench.status("new-one").await, "-");
    bench
        .refused("CreateDBInstance", &MYSQL, "DBInstanceAlreadyExists")
        .await;
    bench.pass(21).await;
    assert_eq!(bench.status("new-one").await, "creating");
    bench
        .refused(
            "CreateDBSnapshot",
            &[
                ("DBInstanceIdentifier", "new-one"),
                ("DBSnapshotIdentifier", "s"),
            ],
            "InvalidDBInstanceState",
        )
        .await;
}
