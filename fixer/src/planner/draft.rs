//! What the methods share: claims, renames, the successor of each member.

use std::collections::BTreeMap;

use atrest_model::document::{list_of, str_of};
use atrest_model::instance::DbInstance;
use atrest_model::plan::{
    Action, Member, Method, Migration, MysqlAccess, Step, TAG_RUN, TAG_SOURCE, TAG_STEP, Target,
};
use sha2::Digest as _;

use super::Facts;
use crate::dependents;
use crate::requests;

/// Seconds for what does not grow with the data.
pub(super) const SHORT: u64 = 3600;
const RENAME: u64 = 2 * 3600;
/// The step after which RDS manages the master password of the new source.
pub(crate) const MANAGE_PASSWORD: &str = "manage-password";

/// Seconds that waiting for data may take: four hours, and one more for each 100 GiB.
pub(crate) fn data_deadline(gib: i64) -> u64 {
    let gib = u64::try_from(gib).unwrap_or(0);
    4 * 3600 + gib / 100 * 3600
}

/// Snapshot name: the same for every run on one source, so that two runs collide on it instead of doubling it. The
/// number is the attempt.
pub(super) fn snapshot_name(dbi_resource_id: &str, suffix: &str) -> String {
    format!("atrest-{}-1-{suffix}", short_hash(dbi_resource_id, 20))
}

/// The first digits of a SHA-256, for names that must be short and always the same.
pub(super) fn short_hash(text: &str, digits: usize) -> String {
    let mut hash = atrest_model::document::hex(&sha2::Sha256::digest(text.as_bytes()));
    hash.truncate(digits);
    hash
}

/// Steps of a migration in the making.
pub(super) struct Draft<'a> {
    pub(super) facts: &'a Facts,
    pub(super) migration: &'a Migration,
    /// Source first, as in the migration.
    pub(super) members: &'a [&'a DbInstance],
    /// Seconds for what grows with the data.
    pub(super) data: u64,
    pub(super) steps: Vec<Step>,
    /// By member: the step after which its successor stands as it should.
    settled: BTreeMap<String, String>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(
        facts: &'a Facts,
        migration: &'a Migration,
        members: &'a [&'a DbInstance],
    ) -> Self {
        Self {
            facts,
            migration,
            members,
            data: data_deadline(migration.allocated_storage),
            steps: Vec::new(),
            settled: BTreeMap::new(),
        }
    }

    pub(super) fn push(
        &mut self,
        id: &str,
        needs: &[impl AsRef<str>],
        deadline_seconds: u64,
        action: Action,
    ) {
        let needs = needs.iter().map(|need| need.as_ref().to_owned()).collect();
        self.steps.push(Step {
            id: id.to_owned(),
            needs,
            deadline_seconds,
            action,
        });
    }

    /// The tags of what a step makes.
    pub(super) fn tags(&self, step: &str) -> Vec<(String, String)> {
        vec![
            (TAG_RUN.to_owned(), self.facts.run.to_string()),
            (
                TAG_SOURCE.to_owned(),
                self.migration.source.dbi_resource_id.clone(),
            ),
            (TAG_STEP.to_owned(), step.to_owned()),
        ]
    }

    /// Claims every member before anything changes: a foreign claim stops the run here.
    pub(super) fn claims(&mut self) -> Vec<String> {
        let mut claims = Vec::new();
        for member in self.migration.members() {
            let id = format!("claim:{}", member.identifier);
            let mut own = self.tags(&id);
            own.retain(|(key, _)| key == TAG_RUN);
            let action = Action::Claim {
                instance: Target::Old(member.dbi_resource_id.clone()),
                tags: own,
            };
            self.push(&id, &[] as &[&str], SHORT, action);
            claims.push(id);
        }
        claims
    }

    /// Clients lose their endpoints.
    pub(super) fn rename_old(&mut self, needs: &[String]) -> Vec<String> {
        let mut renamed = Vec::new();
        for member in self.migration.members() {
            let id = format!("rename-old:{}", member.identifier);
            let action = Action::Rename {
                instance: Target::Old(member.dbi_resource_id.clone()),
                from: member.identifier.clone(),
                to: member.old_name.clone(),
                cutover: false,
            };
            self.push(&id, needs, RENAME, action);
            renamed.push(id);
        }
        renamed
    }

    /// Clients have their endpoints again.
    pub(super) fn rename_new(&mut self, needs: &[&str]) -> Vec<String> {
        let mut cutover = Vec::new();
        for member in self.migration.members() {
            let id = format!("rename-new:{}", member.identifier);
            let action = Action::Rename {
                instance: Target::MadeBy(member.made_by.clone()),
                from: member.new_name.clone(),
                to: member.identifier.clone(),
                cutover: true,
            };
            self.push(&id, needs, RENAME, action);
            cutover.push(id);
        }
        cutover
    }

    /// The source is quiet before its snapshot. What is written on a replica itself is not in that: replicas are quiet
    /// a little later. Gives the steps of the replicas.
    pub(super) fn quiesce(&mut self, renamed: &[String], window_seconds: u64) -> Vec<String> {
        let quiesce = |instance: &Member| Action::Quiesce {
            instance: Target::Old(instance.dbi_resource_id.clone()),
            window_seconds,
            kill_connections: self.facts.quiesce.kill_connections,
        };
        let source = quiesce(&self.migration.source);
        let replicas: Vec<(&Member, Action)> = self
            .migration
            .replicas
            .iter()
            .map(|replica| (replica, quiesce(replica)))
            .collect();
        self.push("quiesce", renamed, SHORT, source);
        let mut steps = Vec::new();
        for (replica, action) in replicas {
            let id = format!("quiesce:{}", replica.identifier);
            let renamed = format!("rename-old:{}", replica.identifier);
            self.push(&id, &[renamed], SHORT, action);
            steps.push(id);
        }
        steps
    }

    /// RDS manages the master password again, where it does now. Last of all that `ends` names, whose place it takes: a
    /// source whose password is managed gets no replicas.
    pub(super) fn manage_password(&mut self, ends: &mut Vec<String>) {
        let Some(secret) = self
            .members
            .first()
            .and_then(|source| source.document.get("MasterUserSecret"))
        else {
            return;
        };
        let action = Action::ManagePassword {
            instance: Target::MadeBy(self.migration.source.made_by.clone()),
            kms_key_id: str_of(secret, "KmsKeyId")
                .filter(|key| !key.is_empty())
                .map(str::to_owned),
        };
        self.push(MANAGE_PASSWORD, ends, SHORT, action);
        *ends = vec![MANAGE_PASSWORD.to_owned()];
    }

    /// Who depends on the instances is attached to them again, and what is left to do is said.
    pub(super) fn dependents(&mut self) {
        if let Some(found) = self.facts.dependents.get(&self.migration.region) {
            for (member, instance) in self.migration.members().zip(self.members) {
                for step in dependents::steps(found, member, instance) {
                    // The names change places all at once there.
                    let needs = match self.migration.method {
                        Method::BlueGreen if step.needs.starts_with("rename-new:") => {
                            "switchover".to_owned()
                        }
                        _ => step.needs,
                    };
                    self.push(&step.id, &[needs], SHORT, step.action);
                }
            }
        }
        self.handover();
    }

    /// What goes on by its name is looked at, and what is left to do is said.
    pub(super) fn handover(&mut self) {
        let found = self.facts.dependents.get(&self.migration.region);
        if let Some(action) = found.and_then(|found| dependents::alarms(found, self.migration)) {
            self.push("alarms", &["rescan"], SHORT, action);
        }
        self.push("handover", &["rescan"], SHORT, Action::Handover);
    }

    /// The snapshot of `instance`, its encrypted copy, whose name it gives, and the restored instance of the source.
    pub(super) fn restored(&mut self, instance: Target, needs: &[&str]) {
        let source = &self.migration.source;
        let raw = snapshot_name(&source.dbi_resource_id, "raw");
        let kms = snapshot_name(&source.dbi_resource_id, "kms");
        let snapshot = Action::Snapshot {
            instance,
            snapshot: raw.clone(),
            tags: self.tags("snapshot"),
        };
        self.push("snapshot", needs, self.data, snapshot);
        let copy = Action::EncryptedCopy {
            source_snapshot: raw,
            snapshot: kms.clone(),
            kms_key_id: self.migration.kms_key_id.clone(),
            tags: self.tags("encrypted-copy"),
        };
        self.push("encrypted-copy", &["snapshot"], self.data, copy);
        let Some(instance) = self.members.first() else {
            return;
        };
        let restore = Action::Restore {
            snapshot: kms,
            name: source.new_name.clone(),
            request: requests::restore(instance, &self.tags("restore")),
        };
        self.push("restore", &["encrypted-copy"], self.data, restore);
        self.settle(source, instance, requests::modify_after_restore(instance));
    }

    /// The replica that succeeds a replica, below the successor of its source.
    pub(super) fn replica(&mut self, member: &Member, parent: &str, instance: &DbInstance) {
        let from = self
            .migration
            .members()
            .find(|m| m.identifier.as_str() == parent);
        let from = from.map_or_else(|| "restore".to_owned(), |m| m.made_by.clone());
        let needs: Vec<String> = self.settled.get(parent).cloned().into_iter().collect();
        let action = Action::CreateReplica {
            source: Target::MadeBy(from),
            name: member.new_name.clone(),
            request: requests::create_replica(instance, &self.tags(&member.made_by)),
        };
        self.push(&member.made_by, &needs, self.data, action);
        self.settle(member, instance, requests::modify_after_replica(instance));
    }

    /// What the creating call did not accept, the groups, the roles.
    fn settle(
        &mut self,
        member: &Member,
        instance: &DbInstance,
        request: serde_json::Map<String, serde_json::Value>,
    ) {
        self.settle_after(&member.made_by, member, instance, request);
    }

    /// The same after another step than the one that makes the successor.
    pub(super) fn settle_after(
        &mut self,
        after: &str,
        member: &Member,
        instance: &DbInstance,
        request: serde_json::Map<String, serde_json::Value>,
    ) {
        let name = &member.identifier;
        let made = Target::MadeBy(member.made_by.clone());
        let mut last = after.to_owned();
        if !request.is_empty() {
            let id = format!("modify:{name}");
            let action = Action::Modify {
                instance: made.clone(),
                request,
            };
            self.push(&id, &[last], SHORT, action);
            last = id;
        }
        let id = format!("settle:{name}");
        let action = Action::Settle {
            instance: made.clone(),
        };
        self.push(&id, &[last], SHORT, action);
        last = id;
        for role in list_of(&instance.document, "AssociatedRoles") {
            let (Some(role_arn), Some(feature_name)) =
                (str_of(role, "RoleArn"), str_of(role, "FeatureName"))
            else {
                continue;
            };
            let id = format!("role:{name}:{feature_name}");
            let action = Action::AddRole {
                instance: made.clone(),
                role_arn: role_arn.to_owned(),
                feature_name: feature_name.to_owned(),
            };
            self.push(&id, &[last], SHORT, action);
            last = id;
        }
        self.settled.insert(name.to_string(), last);
    }

    /// The step after which the successor of a member stands as it should.
    pub(super) fn settled(&self, member: &Member) -> String {
        let settled = self.settled.get(member.identifier.as_str());
        settled.unwrap_or(&member.made_by).clone()
    }

    /// Accounts that only a replica has, and the configuration that RDS keeps in the server. The last step of each
    /// successor is what validation waits for.
    pub(super) fn inside(&mut self, member: &Member, instance: &DbInstance) -> Vec<String> {
        let name = &member.identifier;
        let mut last = self.settled(member);
        let mut ends = vec![last.clone()];
        if instance.is_mysql_family() && self.facts.mysql == MysqlAccess::Required {
            let old = Target::Old(member.dbi_resource_id.clone());
            let new = Target::MadeBy(member.made_by.clone());
            if member.replicates_from.is_some() {
                let id = format!("accounts:{name}");
                let action = Action::Accounts {
                    old: old.clone(),
                    new: new.clone(),
                };
                self.push(&id, &[last], SHORT, action);
                last = id;
            }
            let id = format!("configuration:{name}");
            self.push(&id, &[last], SHORT, Action::Configuration { old, new });
            ends.push(id);
        }
        ends
    }
}
