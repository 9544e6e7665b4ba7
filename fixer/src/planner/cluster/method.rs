//! Methods that are better than the cold one, and why a cluster is not migrated by them.

use atrest_model::instance::DbCluster;
use atrest_model::plan::{Method, NotTaken};

use super::multi_az;
use crate::planner::Wish;

/// The better methods that were asked for and are not possible; `Err` when only they were.
pub(super) fn choose(wish: Wish, cluster: &DbCluster) -> Result<Vec<NotTaken>, String> {
    let not = |method, reason: String| NotTaken {
        method,
        reasons: vec![reason],
    };
    let better = [
        not(Method::Replica, not_replica(cluster)),
        not(Method::BlueGreen, not_blue_green(cluster)),
    ];
    let not_taken: Vec<NotTaken> = better
        .into_iter()
        .filter(|not| wish.includes(not.method))
        .collect();
    if wish.includes(Method::Cold) {
        return Ok(not_taken);
    }
    let whys: Vec<String> = not_taken
        .iter()
        .map(|not| {
            format!(
                "the {} method is not possible: {}",
                not.method.as_str(),
                not.reasons.join("; ")
            )
        })
        .collect();
    Err(whys.join("; "))
}

fn not_replica(cluster: &DbCluster) -> String {
    match cluster.engine() {
        "mysql" => "the DB instances of a Multi-AZ DB cluster take no mysql.rds_stop_replication, without which no position is held".to_owned(),
        "aurora-mysql" => "Aurora tells where the log of a restored cluster stands in an event only, and RDS does not promise that one comes".to_owned(),
        engine => format!("{engine} is neither MySQL nor MariaDB"),
    }
}

fn not_blue_green(cluster: &DbCluster) -> String {
    if multi_az::is(cluster) {
        "RDS makes no blue/green deployment of a Multi-AZ DB cluster".to_owned()
    } else {
        "this version makes blue/green deployments of DB instances, not of clusters".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_better_method_says_why_it_is_not_taken_and_is_refused_alone() {
        for (engine, words) in [
            ("mysql", "rds_stop_replication"),
            ("postgres", "neither MySQL nor MariaDB"),
            ("aurora-mysql", "in an event only"),
            ("aurora-postgresql", "neither MySQL nor MariaDB"),
        ] {
            let cluster = DbCluster {
                region: "eu-central-1".to_owned(),
                document: json!({"Engine": engine}),
            };
            let auto = choose(Wish::Auto, &cluster).unwrap();
            let methods: Vec<Method> = auto.iter().map(|not| not.method).collect();
            assert_eq!(methods, [Method::Replica, Method::BlueGreen], "{engine}");
            assert!(auto[0].reasons[0].contains(words), "{engine}: {auto:?}");
            assert!(
                choose(Wish::Only(Method::Cold), &cluster)
                    .unwrap()
                    .is_empty()
            );
            for only in methods {
                let why = choose(Wish::Only(only), &cluster).unwrap_err();
                assert!(
                    why.starts_with(&format!("the {} method", only.as_str())),
                    "{why}"
                );
            }
        }
    }
}
