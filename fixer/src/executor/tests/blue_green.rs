//! Blue/green deployments that are refused, taken, or do not switch over.

use atrest_model::plan::{Action, Method};

use super::*;

fn only() -> planner::MethodFacts {
    planner::MethodFacts {
        wish: planner::Wish::Only(Method::BlueGreen),
        ..planner::MethodFacts::default()
    }
}

fn needs(outcome: Outcome) -> (String, String) {
    match outcome {
        Outcome::NeedsOperator { step, reason, .. } => (step, reason),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_region_that_refuses_encryption_is_quoted_and_nothing_has_changed() {
    let bed = Bed::by(
        "[knobs]\nno_blue_green_encryption = ['eu-central-1']\n",
        only(),
    )
    .await;
    let store = RunStore::create(&bed.state("s"), bed.plan.clone()).unwrap();
    let (step, reason) = needs(bed.run(store, Careless::default(), None).await);
    assert_eq!(step, "blue-green");
    assert!(reason.contains("isn't supported"), "{reason}");
    assert_eq!(bed.count("*"), bed.count("AddTagsToResource"));
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deployment_of_our_name_that_nobody_tagged_stops_the_run() {
    let bed = Bed::by("", only()).await;
    let migration = &bed.plan.migrations[0];
    let name = migration
        .steps
        .iter()
        .find_map(|step| match &step.action {
            Action::CreateBlueGreen { deployment, .. } => Some(deployment.clone()),
            _ => None,
        })
        .unwrap();
    let arn = format!("arn:aws:rds:{REGION}:111122223333:db:orders");
    let rds = bed.aws.rds(REGION);
    let made = rds
        .client()
        .create_blue_green_deployment()
        .blue_green_deployment_name(&name)
        .source(arn)
        .send()
        .await
        .unwrap();
    let id = made
        .blue_green_deployment()
        .unwrap()
        .blue_green_deployment_identifier()
        .unwrap()
        .to_owned();
    let store = RunStore::create(&bed.state("s"), bed.plan.clone()).unwrap();
    let (step, reason) = needs(bed.run(store, Careless::default(), None).await);
    assert_eq!(step, "blue-green");
    assert!(reason.contains("another run (none)"), "{reason}");
    let found = rds.blue_green_deployments().await.unwrap().items;
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["BlueGreenDeploymentIdentifier"], id.as_str());
    bed.stop().await;
}

/// Twenty times as slow: no switchover ends within its timeout.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_switchover_that_rds_cancels_stops_the_run_and_resuming_is_another_try() {
    let bed = Bed::by("[knobs]\npace = 20.0\n", only()).await;
    for tries in 1..=2 {
        let store = match tries {
            1 => RunStore::create(&bed.state("s"), bed.plan.clone()),
            _ => RunStore::open(&bed.state("s"), "r"),
        };
        let (step, reason) = needs(bed.run(store.unwrap(), Careless::default(), None).await);
        assert_eq!(step, "switchover");
        assert!(reason.contains("timeout"), "{reason}");
        assert_eq!(bed.count("SwitchoverBlueGreenDeployment"), tries);
    }
    let (instances, _calls) = bed.aws.rds(REGION).db_instances().await.unwrap();
    let named = |name: &str| instances.iter().find(|i| i.identifier() == name).unwrap();
    assert_eq!(
        named("orders").encryption(),
        atrest_model::instance::Encryption::None
    );
    bed.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changes_between_validation_and_switchover_stops_it() {
    let bed = Bed::by("", only()).await;
    let store = RunStore::create(&bed.state("s"), bed.plan.clone()).unwrap();
    let stopped = bed.run(store, Careless::default(), Some("cutover")).await;
    assert!(
        matches!(&stopped, Outcome::Stopped { step, .. } if step == "switchover"),
        "{stopped:?}"
    );
    bed.aws
        .rds(REGION)
        .client()
        .modify_db_instance()
        .db_instance_identifier("orders")
        .backup_retention_period(9)
        .apply_immediately(true)
        .send()
        .await
        .unwrap();
    let store = RunStore::open(&bed.state("s"), "r").unwrap();
    let (step, reason) = needs(bed.run(store, Careless::default(), None).await);
    assert_eq!(step, "switchover");
    assert!(reason.contains("BackupRetentionPeriod"), "{reason}");
    assert_eq!(bed.count("SwitchoverBlueGreenDeployment"), 0);
    bed.stop().await;
}
