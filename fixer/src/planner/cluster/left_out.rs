//! Which clusters are left out, and what leads around that.

use atrest_model::document::{str_of, strings_of};
use atrest_model::instance::DbCluster;

use super::multi_az;

/// Why a cluster is not migrated by this version, with the commands that make it one that is.
pub(super) fn why(cluster: &DbCluster) -> Option<String> {
    let document = &cluster.document;
    let engine = cluster.engine();
    if matches!(engine, "neptune" | "docdb") {
        return Some(format!("{engine} is not a DB cluster of RDS proper"));
    }
    if !engine.starts_with("aurora") && !multi_az::is(cluster) {
        return Some(format!(
            "{engine} is no engine of an Aurora or Multi-AZ DB cluster that this version knows"
        ));
    }
    if str_of(document, "EngineMode").is_some_and(|mode| mode != "provisioned") {
        return Some(format!(
            "its engine mode is {}; only provisioned clusters, Serverless v2 included, are migrated",
            str_of(document, "EngineMode").unwrap_or_default()
        ));
    }
    if let Some(global) =
        str_of(document, "GlobalClusterIdentifier").filter(|name| !name.is_empty())
    {
        return Some(of_global(cluster, global));
    }
    if let Some(source) = str_of(document, "ReplicationSourceIdentifier") {
        return Some(format!("it is a replica of {source}; migrate that first"));
    }
    if let Some(replica) = strings_of(document, "ReadReplicaIdentifiers").next() {
        return Some(format!(
            "it has the replica {replica}, which this version does not make again"
        ));
    }
    let endpoints: Vec<&str> = strings_of(document, "CustomEndpoints")
        .filter_map(|address| address.split('.').next())
        .collect();
    if !endpoints.is_empty() {
        return Some(with_endpoints(cluster, &endpoints));
    }
    if str_of(document, "ActivityStreamStatus").is_some_and(|status| status != "stopped") {
        return Some(format!(
            "its activity stream is on, and a stream belongs to one cluster: aws rds stop-activity-stream --resource-arn {arn} --apply-immediately before, aws rds start-activity-stream --resource-arn {arn} with its mode and key afterwards, and tell its consumers the name of the new stream",
            arn = cluster.arn()
        ));
    }
    None
}

/// RDS takes an existing cluster into a global cluster only as the first of a new one. What that means for the other
/// regions is not for this tool to decide.
fn of_global(cluster: &DbCluster, global: &str) -> String {
    let (arn, region) = (cluster.arn(), cluster.region.as_str());
    format!(
        "it is a member of the global cluster {global}, and RDS takes an existing cluster into one only as the first of a new one. \
         Before: see the members with aws rds describe-global-clusters --global-cluster-identifier {global}; take out all but the writer and then that, each with \
         aws rds remove-from-global-cluster --global-cluster-identifier {global} --db-cluster-identifier ARN; then plan. \
         Other members go on as clusters of their own, unencrypted still, and no longer follow. \
         Afterwards: aws rds delete-global-cluster --global-cluster-identifier {global}; \
         aws rds create-global-cluster --region {region} --global-cluster-identifier {global} --source-db-cluster-identifier {arn}; \
         in each other region aws rds create-db-cluster --global-cluster-identifier {global} with --kms-key-id of that region, and aws rds create-db-instance"
    )
}

/// A custom endpoint belongs to one cluster, and its name is given once in a region.
fn with_endpoints(cluster: &DbCluster, endpoints: &[&str]) -> String {
    let name = cluster.identifier();
    format!(
        "it has custom endpoints ({}), whose names can be given again only after they are deleted. \
         Before: keep what aws rds describe-db-cluster-endpoints --db-cluster-identifier {name} says, and aws rds delete-db-cluster-endpoint --db-cluster-endpoint-identifier each. \
         Afterwards: aws rds create-db-cluster-endpoint --db-cluster-identifier {name} --db-cluster-endpoint-identifier each, with the same --endpoint-type and --static-members",
        endpoints.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn with(more: &Value) -> DbCluster {
        let mut document = json!({
            "DBClusterIdentifier": "sky", "DBClusterArn": "arn:aws:rds:eu-central-1:111122223333:cluster:sky",
            "Engine": "aurora-mysql", "EngineMode": "provisioned",
        });
        let members = document.as_object_mut().unwrap();
        members.extend(more.as_object().unwrap().clone());
        DbCluster {
            region: "eu-central-1".to_owned(),
            document,
        }
    }

    #[test]
    fn what_comes_out_the_same_is_not_left_out() {
        for more in [
            json!({}),
            json!({"Engine": "mysql"}),
            json!({"Engine": "aurora-postgresql", "HttpEndpointEnabled": true}),
            json!({"BacktrackWindow": 3600, "DeletionProtection": true, "IAMDatabaseAuthenticationEnabled": true}),
            json!({"ServerlessV2ScalingConfiguration": {"MinCapacity": 0.5, "MaxCapacity": 4}}),
            json!({"MasterUserSecret": {"SecretArn": "s"}, "EnabledCloudwatchLogsExports": ["audit"]}),
            json!({"ActivityStreamStatus": "stopped", "GlobalClusterIdentifier": ""}),
        ] {
            assert_eq!(why(&with(&more)), None, "{more}");
        }
    }

    #[test]
    fn what_is_left_out_says_what_to_do_before_and_afterwards() {
        let arn = "arn:aws:rds:eu-central-1:111122223333:cluster:sky";
        let cases = [
            (
                json!({"GlobalClusterIdentifier": "planet"}),
                vec![
                    "remove-from-global-cluster --global-cluster-identifier planet".to_owned(),
                    "delete-global-cluster --global-cluster-identifier planet".to_owned(),
                    format!(
                        "create-global-cluster --region eu-central-1 --global-cluster-identifier planet --source-db-cluster-identifier {arn}"
                    ),
                    "--kms-key-id of that region".to_owned(),
                ],
            ),
            (
                json!({"CustomEndpoints": ["reports.cluster-custom-abc.eu-central-1.rds.amazonaws.com"]}),
                vec![
                    "custom endpoints (reports)".to_owned(),
                    "delete-db-cluster-endpoint".to_owned(),
                    "create-db-cluster-endpoint --db-cluster-identifier sky".to_owned(),
                ],
            ),
            (
                json!({"ActivityStreamStatus": "started"}),
                vec![format!("stop-activity-stream --resource-arn {arn}")],
            ),
            (
                json!({"ReplicationSourceIdentifier": "arn:x"}),
                vec!["migrate that first".to_owned()],
            ),
            (
                json!({"ReadReplicaIdentifiers": ["arn:y"]}),
                vec!["arn:y".to_owned()],
            ),
            (
                json!({"EngineMode": "serverless"}),
                vec!["serverless".to_owned()],
            ),
            (json!({"Engine": "neptune"}), vec!["neptune".to_owned()]),
        ];
        for (more, words) in cases {
            let why = why(&with(&more)).unwrap_or_default();
            for word in words {
                assert!(why.contains(&word), "{word}: {why}");
            }
            // One line that wraps.
            assert!(!why.contains("  ") && !why.contains('\n'), "{why}");
        }
    }
}
