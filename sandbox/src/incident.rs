//! Incidents: what befalls a resource, at a moment or when it next becomes available.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::fault::names;
use crate::kms;
use crate::rds::state::Scope;
use crate::world::{JobOutput, Moment, Timeline, World};

/// All logs but the newest, which begins here.
const PURGE: &str = "FLUSH BINARY LOGS;\nPURGE BINARY LOGS BEFORE DATE_ADD(NOW(), INTERVAL 1 DAY);";

/// When a status sets in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum When {
    #[default]
    Now,
    /// Instead of `available`, when the resource would be that the next time.
    NextAvailable,
}

/// What happens to the resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum What {
    State {
        to: String,
        when: When,
    },
    KeyDisabled,
    EngineCrash {
        /// Whether RDS brings the server back.
        recovers: bool,
    },
    BinlogPurge,
    SqlLostAnswer {
        /// Words of the statement.
        statement: String,
    },
}

/// An incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Incident {
    /// Name of the fault that it comes from.
    pub(crate) name: String,
    /// Patterns.
    pub(crate) account: String,
    pub(crate) region: String,
    pub(crate) target: String,
    pub(crate) what: What,
}

#[derive(Debug)]
struct Planned {
    incident: Incident,
    due: Timestamp,
}

/// What lies in wait for a resource that becomes available.
#[derive(Debug)]
struct Waiting {
    incident: Incident,
    /// Resources that were seen not to be available; the next time they are, it happens.
    armed: BTreeSet<(Scope, String)>,
}

/// Incidents to come.
#[derive(Debug, Default)]
pub(crate) struct Incidents {
    planned: Vec<Planned>,
    waiting: Vec<Waiting>,
}

impl Incidents {
    pub(crate) fn plan(&mut self, incident: Incident, due: Timestamp) {
        self.planned.push(Planned { incident, due });
    }

    /// Drops what a fault had planned.
    pub(crate) fn unplan(&mut self, name: &str) {
        self.planned.retain(|planned| planned.incident.name != name);
        self.waiting.retain(|waiting| waiting.incident.name != name);
    }

    /// When the next one is due.
    pub(crate) fn next_due(&self, now: Timestamp) -> Option<Timestamp> {
        self.planned
            .iter()
            .map(|planned| planned.due)
            .filter(|due| *due <= now)
            .min()
    }

    fn take_due(&mut self, due: Timestamp) -> Option<Incident> {
        let index = self.planned.iter().position(|planned| planned.due == due)?;
        Some(self.planned.remove(index).incident)
    }

    pub(crate) fn len(&self) -> usize {
        self.planned.len() + self.waiting.len()
    }
}

impl World {
    /// Carries out the incident that is due.
    pub(crate) fn happen(&mut self, due: Timestamp) {
        let Some(incident) = self.incidents.take_due(due) else {
            return;
        };
        self.version += 1;
        match &incident.what {
            What::State {
                when: When::NextAvailable,
                ..
            } => {
                self.incidents.waiting.push(Waiting {
                    incident,
                    armed: BTreeSet::new(),
                });
                self.watch(due);
            }
            What::State { to, .. } => {
                for scope in self.scopes(&incident) {
                    for (name, is_snapshot) in self.targets(&scope, &incident.target) {
                        self.enter(&scope, &name, is_snapshot, to, due);
                    }
                }
            }
            What::KeyDisabled => {
                for scope in self.scopes(&incident) {
                    let region = self.region_mut(&scope);
                    let by_alias = region.key(&incident.target).map(|key| key.id.clone());
                    let mut ids: BTreeSet<String> = region
                        .keys
                        .iter()
                        .filter(|key| {
                            names(&incident.target, &key.id) || names(&incident.target, &key.arn)
                        })
                        .map(|key| key.id.clone())
                        .collect();
                    ids.extend(by_alias);
                    for id in ids {
                        kms::outage::disable(self, &scope, &id, due);
                    }
                }
            }
            What::SqlLostAnswer { statement } => {
                if let Some(engines) = &self.engines {
                    engines.lose_answer(statement);
                }
            }
            What::BinlogPurge => {
                for scope in self.scopes(&incident) {
                    for (name, is_snapshot) in self.targets(&scope, &incident.target) {
                        if !is_snapshot {
                            self.purge(&scope, &name, due);
                        }
                    }
                }
            }
            What::EngineCrash { recovers } => {
                for scope in self.scopes(&incident) {
                    for (name, is_snapshot) in self.targets(&scope, &incident.target) {
                        if !is_snapshot {
                            self.crash(&scope, &name, *recovers, due);
                        }
                    }
                }
            }
        }
    }

    /// Looks for resources that have become available although something lies in wait for them.
    pub(crate) fn watch(&mut self, now: Timestamp) {
        if self.incidents.waiting.is_empty() {
            return;
        }
        let mut all = std::mem::take(&mut self.incidents.waiting);
        for waiting in &mut all {
            let What::State { to, .. } = waiting.incident.what.clone() else {
                continue;
            };
            for scope in self.scopes(&waiting.incident) {
                for (name, is_snapshot) in self.targets(&scope, &waiting.incident.target) {
                    let region = self.region_mut(&scope);
                    let status = if is_snapshot {
                        region.snapshot(&name).map(|snapshot| &snapshot.status)
                    } else {
                        region.by_resource(&name).map(|instance| &instance.status)
                    };
                    let is_available = status.is_some_and(|status| status == "available");
                    let key = (scope.clone(), name.clone());
                    if !is_available {
                        waiting.armed.insert(key);
                    } else if waiting.armed.remove(&key) {
                        self.enter(&scope, &name, is_snapshot, &to, now);
                    }
                }
            }
        }
        all.append(&mut self.incidents.waiting);
        self.incidents.waiting = all;
    }

    fn scopes(&self, incident: &Incident) -> Vec<Scope> {
        self.regions
            .keys()
            .filter(|scope| {
                crate::fault::matches(&incident.account, &scope.account)
                    && crate::fault::matches(&incident.region, &scope.region)
            })
            .cloned()
            .collect()
    }

    /// Resource ids of instances and names of snapshots that a pattern names; whether it is a snapshot.
    fn targets(&mut self, scope: &Scope, pattern: &str) -> Vec<(String, bool)> {
        let region = self.region_mut(scope);
        let instances = region
            .instances
            .iter()
            .filter(|instance| {
                names(pattern, &instance.id)
                    || names(pattern, &instance.resource_id)
                    || pattern.eq_ignore_ascii_case(&scope.arn("db", &instance.id))
            })
            .map(|instance| (instance.resource_id.clone(), false));
        let snapshots = region
            .snapshots
            .iter()
            .filter(|snapshot| {
                names(pattern, &snapshot.id)
                    || pattern.eq_ignore_ascii_case(&scope.arn("snapshot", &snapshot.id))
            })
            .map(|snapshot| (snapshot.id.clone(), true));
        instances.chain(snapshots).collect()
    }

    /// Puts a resource into a status and drops what was to come for it.
    fn enter(&mut self, scope: &Scope, name: &str, is_snapshot: bool, to: &str, now: Timestamp) {
        let subject = if is_snapshot {
            format!("snapshot:{name}")
        } else {
            name.to_owned()
        };
        self.cancel(scope, &subject);
        let region = self.region_mut(scope);
        if is_snapshot {
            if let Some(snapshot) = region.snapshot_mut(name) {
                to.clone_into(&mut snapshot.status);
            }
            return;
        }
        let Some(instance) = region.by_resource_mut(name) else {
            return;
        };
        to.clone_into(&mut instance.status);
        instance.stale = None;
        instance.hidden = false;
        let id = instance.id.clone();
        // A rename that was under way holds no name any more.
        region.held_names.retain(|held| *held != id);
        self.event(
            scope,
            now,
            "db-instance",
            &id,
            if to == "available" {
                "notification"
            } else {
                "failure"
            },
            format!("The DB instance went into the state {to}"),
        );
    }

    /// Purges binary logs. A server that has none is left as it is.
    fn purge(&mut self, scope: &Scope, resource_id: &str, now: Timestamp) {
        let timeline = Timeline::new(scope, resource_id).then(0, |moment: &mut Moment<'_>| {
            if let Some((engines, server)) = moment.server() {
                moment.start(async move {
                    engines
                        .run_sql(&server, PURGE)
                        .await
                        .map(|()| JobOutput::Done)
                });
            }
        });
        self.schedule(
            now,
            timeline.on_failure(|moment, error| {
                moment.event(
                    "notification",
                    format!("Binary logs were not purged: {error}"),
                );
            }),
        );
    }

    /// Kills the server behind an instance. RDS notices, starts it again and lets it recover.
    fn crash(&mut self, scope: &Scope, resource_id: &str, recovers: bool, now: Timestamp) {
        let noticed = self.takes(&format!("crash-noticed/{resource_id}"), (5, 15));
        let recovered = self.takes(&format!("crash-recovered/{resource_id}"), (10, 60));
        let kill = Timeline::new(scope, resource_id).then(0, |moment: &mut Moment<'_>| {
            if let Some((engines, server)) = moment.server() {
                moment.start(async move { engines.crash(&server).await.map(|()| JobOutput::Done) });
            }
        });
        let timeline = if recovers {
            kill.when_done(noticed, |moment| {
                moment.event(
                    "recovery",
                    "Recovery of the DB instance has started. Recovery time will vary with the amount of data to be recovered.",
                );
                if let Some((engines, server)) = moment.server() {
                    moment
                        .start(async move { engines.start(&server).await.map(|()| JobOutput::Done) });
                }
            })
            .when_done(recovered, |moment| {
                moment.event("availability", "DB instance restarted");
                moment.event("recovery", "Recovery of the DB instance is complete.");
            })
        } else {
            kill.when_done(noticed, |moment| {
                moment.status("failed");
                moment.event(
                    "failure",
                    "The DB instance went into the state failed: its database process ended and cannot be started",
                );
            })
        };
        self.schedule(
            now,
            timeline.on_failure(|moment, error| {
                moment.status("failed");
                moment.event(
                    "failure",
                    format!("The DB instance went into the state failed: {error}"),
                );
            }),
        );
    }
}
