//! How the green side comes to be: a replica of the source, its upgrade and backups, then replicas of it.

use super::{event, open_endpoints, show_endpoints};
use crate::rds::state::{DbInstance, Membership};
use crate::rds::{Call, data};
use crate::world::{JobOutput, Moment, Timeline};

pub(super) const REPLICA: &str = "CREATING_READ_REPLICA_OF_SOURCE";
pub(super) const UPGRADE: &str = "DB_ENGINE_VERSION_UPGRADE";
pub(super) const BACKUPS: &str = "CONFIGURE_BACKUPS";
pub(super) const TOPOLOGY: &str = "CREATING_TOPOLOGY_OF_SOURCE";

/// Schedules it: `others` are the green replicas by resource id, `later` the same as they will be.
pub(super) fn provision(
    call: &mut Call<'_>,
    id: &str,
    blue: &DbInstance,
    root: &str,
    (others, later): (Vec<String>, Vec<DbInstance>),
    upgrades: bool,
) {
    let (scope, now) = (call.scope, call.now);
    let mut takes = |what: &str, range| call.world.takes(&format!("bgd-{what}/{id}"), range);
    let (busy, creating) = (takes("busy", (60, 150)), takes("replica", (400, 750)));
    let upgrading = if upgrades {
        takes("upgrade", (300, 900))
    } else {
        0
    };
    let backups = takes("backups", (90, 200));
    let topology = if later.is_empty() {
        0
    } else {
        takes("topology", (400, 750))
    };
    // The blue source is snapshotted for its green one, as for any replica.
    if let Some(truth) = call.region().by_resource_mut(&blue.resource_id) {
        truth.status = "modifying".to_owned();
    }
    call.world.schedule(
        now,
        Timeline::new(scope, &blue.resource_id)
            .then(busy / 2, |moment| moment.status("backing-up"))
            .then(busy - busy / 2, |moment| {
                if moment
                    .instance()
                    .is_some_and(|instance| instance.status == "backing-up")
                {
                    moment.status("available");
                }
            }),
    );

    let (blue, root) = (blue.resource_id.clone(), root.to_owned());
    let (one, two, three, four, five) = (
        vec![root.clone()],
        root.clone(),
        root.clone(),
        root.clone(),
        root.clone(),
    );
    let (greens, opened, last) = (others.clone(), others.clone(), others);
    let timeline = Timeline::new(scope, id)
        .then(busy, move |moment| {
            follow(moment, &blue, std::slice::from_ref(&root));
        })
        .when_done(creating, move |moment| {
            born(moment, &one);
            task(moment, REPLICA, "COMPLETED");
            if upgrades {
                task(moment, UPGRADE, "IN_PROGRESS");
                status(moment, &one, "upgrading");
            }
            open_endpoints(moment, &one);
        })
        .when_done(upgrading, move |moment| {
            show_endpoints(moment, std::slice::from_ref(&two));
            task(moment, UPGRADE, "COMPLETED");
            task(moment, BACKUPS, "IN_PROGRESS");
            status(moment, std::slice::from_ref(&two), "backing-up");
        })
        .then(backups, move |moment| {
            task(moment, BACKUPS, "COMPLETED");
            status(moment, std::slice::from_ref(&three), "available");
            if !later.is_empty() {
                task(moment, TOPOLOGY, "IN_PROGRESS");
                moment.region().instances.extend(later);
                follow(moment, &four, &greens);
            }
        })
        .when_done(topology, move |moment| {
            born(moment, &opened);
            open_endpoints(moment, &opened);
        })
        .when_done(0, move |moment| {
            show_endpoints(moment, &last);
            status(moment, &last, "available");
            task(moment, TOPOLOGY, "COMPLETED");
            ready(moment, &five);
        })
        .on_failure(|moment, error| fail(moment, &error));
    call.world.schedule(now, timeline);
}

/// Makes real servers that replicate from that of `source`, where there is one.
fn follow(moment: &mut Moment<'_>, source: &str, greens: &[String]) {
    let region = moment.region();
    let from = region
        .by_resource(source)
        .and_then(|source| source.server.clone());
    let specs: Vec<_> = greens
        .iter()
        .filter_map(|green| region.by_resource(green))
        .map(|green| data::server_spec(region, green))
        .collect();
    let (Some(engines), Some(from)) = (moment.world.engines.clone(), from) else {
        return;
    };
    for spec in specs {
        let (engines, from) = (engines.clone(), from.clone());
        moment.start(async move { engines.replica(&from, spec).await.map(JobOutput::Server) });
    }
}

/// Green instances whose servers, if any, are there: in the order in which [`follow`] was told of them.
fn born(moment: &mut Moment<'_>, greens: &[String]) {
    let mut servers = moment
        .outputs
        .iter()
        .filter_map(|output| match output {
            JobOutput::Server(server) => Some(server.clone()),
            JobOutput::Done | JobOutput::Copy(_) | JobOutput::Address(_) => None,
        })
        .collect::<Vec<_>>()
        .into_iter();
    let now = moment.now;
    for green in greens {
        let Some(instance) = moment.region().by_resource_mut(green) else {
            continue;
        };
        instance.server = servers.next();
        instance.created = Some(now);
        instance.status = "modifying".to_owned();
        // The second field of the pair is the status, the first its message.
        instance.replication = Some(Membership {
            name: String::new(),
            status: "replicating".to_owned(),
        });
        let id = instance.id.clone();
        let scope = moment.scope.clone();
        moment.world.event(
            &scope,
            now,
            "db-instance",
            &id,
            "creation",
            "DB instance created".to_owned(),
        );
    }
}

fn status(moment: &mut Moment<'_>, greens: &[String], status: &str) {
    for green in greens {
        if let Some(instance) = moment.region().by_resource_mut(green) {
            status.clone_into(&mut instance.status);
        }
    }
}

fn task(moment: &mut Moment<'_>, name: &str, status: &'static str) {
    let id = moment.subject.clone();
    if let Ok(deployment) = super::find(moment.region(), &id) {
        deployment.task(name, status);
    }
}

fn ready(moment: &mut Moment<'_>, root: &str) {
    let id = moment.subject.clone();
    if moment.region().by_resource(root).is_none() {
        fail(moment, "the target DB instance wasn't found.");
        return;
    }
    if let Ok(deployment) = super::find(moment.region(), &id) {
        deployment.status = "AVAILABLE";
        for member in &mut deployment.members {
            member.status = "AVAILABLE";
        }
    }
    event(
        moment,
        "creation",
        "Blue/green deployment tasks completed. You can make more modifications to the green environment databases or switch over the deployment.".to_owned(),
    );
}

fn fail(moment: &mut Moment<'_>, reason: &str) {
    let id = moment.subject.clone();
    let mut greens = Vec::new();
    if let Ok(deployment) = super::find(moment.region(), &id) {
        deployment.status = "INVALID_CONFIGURATION";
        deployment.details = Some(reason.to_owned());
        for task in &mut deployment.tasks {
            if task.1 == "IN_PROGRESS" {
                task.1 = "FAILED";
            }
        }
        greens.extend(deployment.members.iter().map(|member| member.green.clone()));
    }
    for green in greens {
        if let Some(instance) = moment.region().by_resource_mut(&green)
            && instance.status != "available"
        {
            instance.status = "failed".to_owned();
        }
    }
    event(
        moment,
        "failure",
        format!("Creation of blue/green deployment failed because {reason}"),
    );
}
