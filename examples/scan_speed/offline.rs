//! The case `offline`: saved output of many instances, judged by every built-in policy.
//!
//! Its lower bound is a parse of the same bytes that keeps nothing. Above it stands what a program pays that keeps them
//! all as values.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::de::IgnoredAny;
use serde_json::{Value, json};

use crate::{Outcome, REGIONS, beside, measured, show_row};

const ACCOUNT: &str = "111122223333";

/// Writes and measures; `instances` in equal parts a region, one file each.
pub(crate) fn measure(instances: usize, runs: usize) -> Outcome<()> {
    let dir = tempfile::tempdir()?;
    let bytes = write(dir.path(), instances)?;
    println!(
        "offline: {instances} instances in {} files, {:.0} MB",
        REGIONS.len(),
        bytes as f64 / 1e6
    );
    let path = dir.path().to_string_lossy().into_owned();
    let myself = std::env::current_exe()?.to_string_lossy().into_owned();
    for way in ["ignored", "values"] {
        let command = [&myself, "parse", way, &path].map(str::to_owned);
        show_row("offline", way, &measured(&command, &[])?, 0, 1.0);
    }
    let scan = [
        &beside("atrest")?,
        "scan",
        "-v",
        "--exit-zero",
        "--offline",
        &path,
        "--format",
        "json=/dev/null",
    ];
    for _run in 0..runs {
        let figures = measured(&scan.map(str::to_owned), &[])?;
        show_row("offline", "atrest", &figures, 0, 1.0);
        for line in figures.said.lines().filter(|line| line.contains(" was ")) {
            println!("           {line}");
        }
        println!(
            "           {:.0} instances/s from JSON to verdict",
            instances as f64 / figures.wall
        );
    }
    Ok(())
}

/// Parses every file and keeps nothing (`ignored`) or everything (`values`), one file after the other.
pub(crate) fn parse(way: &str, dir: &Path) -> Outcome<()> {
    let began = Instant::now();
    let mut kept = Vec::new();
    for file in files(dir)? {
        let file = BufReader::with_capacity(1 << 20, File::open(file)?);
        match way {
            "ignored" => drop(serde_json::from_reader::<_, IgnoredAny>(file)?),
            "values" => kept.push(serde_json::from_reader::<_, Value>(file)?),
            _ => return Err("ignored or values?".into()),
        }
    }
    eprintln!(
        "{} values, {:.3} s",
        kept.len(),
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

fn files(dir: &Path) -> Outcome<Vec<PathBuf>> {
    let mut files = Vec::new();
    for region in std::fs::read_dir(dir)? {
        for file in std::fs::read_dir(region?.path())? {
            files.push(file?.path());
        }
    }
    files.sort();
    Ok(files)
}

/// What the AWS CLI would have saved; the number of bytes.
fn write(dir: &Path, instances: usize) -> Outcome<u64> {
    let mut bytes = 0;
    for (index, region) in REGIONS.iter().enumerate() {
        let folder = dir.join(region);
        std::fs::create_dir(&folder)?;
        let path = folder.join("instances.json");
        let mut out = BufWriter::new(File::create(&path)?);
        out.write_all(b"{\"DBInstances\": [")?;
        let part = instances / REGIONS.len() + usize::from(index < instances % REGIONS.len());
        for number in 0..part {
            if number > 0 {
                out.write_all(b",\n")?;
            }
            serde_json::to_writer(&mut out, &instance(region, number))?;
        }
        out.write_all(b"]}\n")?;
        out.into_inner()?.sync_all()?;
        bytes += std::fs::metadata(&path)?.len();
        let small =
            |name: String, value: Value| std::fs::write(folder.join(name), value.to_string());
        for manager in ["AWS", "CUSTOMER"] {
            small(
                format!("key-{manager}.json"),
                json!({"KeyMetadata": {
                    "Arn": key(region, manager), "KeyState": "Enabled", "KeyManager": manager, "KeyUsage": "ENCRYPT_DECRYPT",
                    "KeySpec": "SYMMETRIC_DEFAULT", "Origin": "AWS_KMS", "MultiRegion": false,
                }}),
            )?;
        }
        for (name, value) in [("on", "1"), ("off", "0")] {
            let parameter =
                json!({"ParameterName": "require_secure_transport", "ParameterValue": value});
            small(
                format!("describe-db-parameters.{name}.json"),
                json!({"Parameters": [parameter]}),
            )?;
        }
    }
    Ok(bytes)
}

fn key(region: &str, manager: &str) -> String {
    format!("arn:aws:kms:{region}:{ACCOUNT}:key/{manager}")
}

/// An instance with the members that RDS sends for MySQL. A tenth is not encrypted, a tenth under an AWS-managed key, a
/// third are replicas.
fn instance(region: &str, number: usize) -> Value {
    let name = format!("prod-orders-{number:06}");
    let is_encrypted = !number.is_multiple_of(10);
    let subnets: Vec<Value> = ["a", "b", "c"]
        .iter()
        .map(|zone| {
            json!({
                "SubnetIdentifier": format!("subnet-0a1b2c3d4e5f6071{zone}"), "SubnetStatus": "Active",
                "SubnetAvailabilityZone": {"Name": format!("{region}{zone}")}, "SubnetOutpost": {},
            })
        })
        .collect();
    let mut document = json!({
        "DBInstanceIdentifier": name,
        "DBInstanceArn": format!("arn:aws:rds:{region}:{ACCOUNT}:db:{name}"),
        "DbiResourceId": format!("db-{number:026}"),
        "DBInstanceClass": "db.r6g.2xlarge",
        "DBInstanceStatus": "available",
        "Engine": "mysql",
        "EngineVersion": "8.0.39",
        "MasterUsername": "admin",
        "DBName": "orders",
        "Endpoint": {"Address": format!("{name}.c9akciq32rgz.{region}.rds.amazonaws.com"), "Port": 3306, "HostedZoneId": "Z2R2ITUGPM61AM"},
        "AllocatedStorage": 500,
        "MaxAllocatedStorage": 1000,
        "InstanceCreateTime": "2023-04-05T06:07:08.910000+00:00",
        "PreferredBackupWindow": "03:00-03:30",
        "PreferredMaintenanceWindow": "sun:04:00-sun:04:30",
        "BackupRetentionPeriod": 7,
        "DBSecurityGroups": [],
        "VpcSecurityGroups": [
            {"VpcSecurityGroupId": "sg-0a1b2c3d4e5f60718", "Status": "active"},
            {"VpcSecurityGroupId": "sg-0a1b2c3d4e5f60719", "Status": "active"},
        ],
        "DBParameterGroups": [{
            "DBParameterGroupName": if number.is_multiple_of(5) { "off" } else { "on" },
            "ParameterApplyStatus": "in-sync",
        }],
        "OptionGroupMemberships": [{"OptionGroupName": "default:mysql-8-0", "Status": "in-sync"}],
        "AvailabilityZone": format!("{region}a"),
        "SecondaryAvailabilityZone": format!("{region}b"),
        "DBSubnetGroup": {
            "DBSubnetGroupName": "private", "DBSubnetGroupDescription": "private subnets", "VpcId": "vpc-0a1b2c3d4e5f60718",
            "SubnetGroupStatus": "Complete", "SupportedNetworkTypes": ["IPV4"],
            "Subnets": subnets,
        },
    });
    let mut more = json!({
        "PendingModifiedValues": {},
        "LatestRestorableTime": "2026-11-24T01:55:00+00:00",
        "MultiAZ": true,
        "AutoMinorVersionUpgrade": true,
        "ReadReplicaDBInstanceIdentifiers": [],
        "LicenseModel": "general-public-license",
        "StorageType": "gp3",
        "Iops": 12000,
        "StorageThroughput": 500,
        "StorageEncrypted": is_encrypted,
        "StorageEncryptionType": if is_encrypted { "sse-kms" } else { "none" },
        "PubliclyAccessible": false,
        "DbInstancePort": 0,
        "CACertificateIdentifier": "rds-ca-rsa2048-g1",
        "CertificateDetails": {"CAIdentifier": "rds-ca-rsa2048-g1", "ValidTill": "2027-04-05T06:07:08+00:00"},
        "DomainMemberships": [],
        "CopyTagsToSnapshot": true,
        "MonitoringInterval": 60,
        "MonitoringRoleArn": format!("arn:aws:iam::{ACCOUNT}:role/rds-monitoring-role"),
        "EnhancedMonitoringResourceArn": format!("arn:aws:logs:{region}:{ACCOUNT}:log-group:RDSOSMetrics:log-stream:db-{number:026}"),
        "IAMDatabaseAuthenticationEnabled": false,
        "PerformanceInsightsEnabled": number.is_multiple_of(2),
        "PerformanceInsightsKMSKeyId": key(region, "CUSTOMER"),
        "PerformanceInsightsRetentionPeriod": 7,
        "EnabledCloudwatchLogsExports": ["error", "slowquery"],
        "ProcessorFeatures": [],
        "DeletionProtection": true,
        "AssociatedRoles": [],
        "TagList": [
            {"Key": "owner", "Value": "dbre@example.com"}, {"Key": "env", "Value": "prod"}, {"Key": "service", "Value": "orders"},
            {"Key": "cost-center", "Value": "4711"}, {"Key": "aws:cloudformation:stack-name", "Value": "orders-db"},
        ],
        "CustomerOwnedIpEnabled": false,
        "ActivityStreamStatus": "stopped",
        "BackupTarget": "region",
        "NetworkType": "IPV4",
        "DedicatedLogVolume": false,
        "EngineLifecycleSupport": "open-source-rds-extended-support",
        "IsStorageConfigUpgradeAvailable": false,
    });
    if let (Some(members), Some(more)) = (document.as_object_mut(), more.as_object_mut()) {
        members.append(more);
        if is_encrypted {
            let manager = if number % 10 == 1 { "AWS" } else { "CUSTOMER" };
            members.insert("KmsKeyId".to_owned(), key(region, manager).into());
        }
        if number % 3 == 2 {
            let source = format!("prod-orders-{:06}", number - 1);
            members.insert(
                "ReadReplicaSourceDBInstanceIdentifier".to_owned(),
                source.into(),
            );
        }
    }
    document
}
