//! The migration plan: a document that is shown, saved, digested and then executed as it stands.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Tool;
use crate::check::{Check, Verdict};
use crate::document::digest;
use crate::hook::Hook;
use crate::id::{DbInstanceIdentifier, RunId};

/// Version of the JSON form of [`Plan`].
pub const SCHEMA_VERSION: u32 = 1;

/// Tag that names the run on everything a run makes or touches.
pub const TAG_RUN: &str = "atrest:run";
/// Tag that pins the `DbiResourceId` of the unencrypted source.
pub const TAG_SOURCE: &str = "atrest:source-resource-id";
/// Tag that names the step that made the resource.
pub const TAG_STEP: &str = "atrest:step";
/// Tag that names the run folder on what a run claims: two folders with the same plan are two runners.
pub const TAG_CLAIM: &str = "atrest:claim";
/// Beginning of the user name that a successor replicates with.
pub const REPLICATION_USER_PREFIX: &str = "atrest_repl_";
/// Prefix of all tags of this tool.
pub const TAG_PREFIX: &str = "atrest:";

/// A plan to migrate flagged DB instances.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// Who made it.
    pub tool: Tool,
    /// Name of the run that will execute it.
    pub run: RunId,
    /// When the fleet was described.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created: Timestamp,
    /// The run whose migration this one rehearses beside the live source: everything it makes, it removes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rehearsal_of: Option<RunId>,
    /// Account the plan was made from; `fix` refuses any other.
    pub account: String,
    /// How far MySQL is used.
    pub mysql: MysqlAccess,
    /// How rows are compared before the cutover.
    pub data_check: DataCheck,
    /// Migrations in each wave, the last number again and again, 0 for all that are left; empty in a plan without
    /// waves. Which migration is in which is in [`Migration::wave`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waves: Vec<u32>,
    /// Commands of the operator, as the configuration had them; those of a migration are steps of it, too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// One entry a flagged instance with its replicas.
    pub migrations: Vec<Migration>,
    /// Flagged resources that are not migrated by this plan.
    pub left_out: Vec<LeftOut>,
    /// What was checked before, with its verdict; also of what is left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// SHA-256 over everything else: an edited plan is refused.
    pub digest: String,
}

impl Plan {
    /// The digest the content calls for.
    #[must_use]
    pub fn computed_digest(&self) -> String {
        let mut bare = self.clone();
        bare.digest.clear();
        // Plain data with string keys: serialization cannot fail; an empty digest never matches.
        serde_json::to_value(&bare)
            .map(|value| digest(&value))
            .unwrap_or_default()
    }

    /// The checks that stand in the way of what is planned: of a migration, of its region, or of the caller. Those of
    /// what is left out stand in nobody's way.
    pub fn blocking(&self) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(|check| {
            check.verdict == Verdict::Blocks
                && check
                    .migration
                    .as_ref()
                    .is_none_or(|id| self.migrations.iter().any(|migration| migration.id == *id))
        })
    }

    /// The same plan with its digest filled in.
    #[must_use]
    pub fn sealed(mut self) -> Self {
        self.digest = self.computed_digest();
        self
    }
}

/// Whether MySQL accounts, configuration and rows are read and cloned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "access")]
pub enum MysqlAccess {
    /// Every MySQL-family instance must be reachable.
    Required,
    /// Nothing is read; reports say what could not be compared.
    Off {
        /// Why.
        reason: String,
    },
}

/// How rows are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DataCheck {
    /// Not at all.
    None,
    /// `COUNT(*)` of every table.
    Counts,
    /// Counts and a checksum of every table.
    Checksums,
}

/// A flagged resource that the plan leaves alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LeftOut {
    /// ARN.
    pub arn: String,
    /// Why, in one sentence.
    pub reason: String,
}

/// The migration of one unencrypted source with all its replicas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Migration {
    /// `region/identifier` of the source: unique in the plan, and the key in the journal.
    pub id: String,
    /// Region.
    pub region: String,
    /// How.
    pub method: Method,
    /// The cluster, where the members are those of one: the source is its writer then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster: Option<ClusterMember>,
    /// Better methods, and why each was not possible; empty unless the best one was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_taken: Vec<NotTaken>,
    /// `Engine`.
    pub engine: String,
    /// Storage of the source in GiB: what the durations grow with.
    pub allocated_storage: i64,
    /// ARN of the key the new storage is encrypted with.
    pub kms_key_id: String,
    /// The source.
    pub source: Member,
    /// Its replicas in the same region, parents before children.
    pub replicas: Vec<Member>,
    /// What the operator should know before: warnings, dependents that break.
    pub notes: Vec<String>,
    /// Its wave, from 1; absent in a plan without waves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wave: Option<u32>,
    /// The steps; each runs when those it needs are done.
    pub steps: Vec<Step>,
}

impl Migration {
    /// The name a target has from the first renames to the last: `old-X` or `new-X`.
    #[must_use]
    pub fn name_of(&self, target: &Target) -> Option<&DbInstanceIdentifier> {
        match target {
            Target::Old(id) => self
                .members()
                .find(|member| member.dbi_resource_id == *id)
                .map(|member| &member.old_name),
            Target::MadeBy(step) => self
                .members()
                .find(|member| member.made_by == *step)
                .map(|member| &member.new_name)
                .or_else(|| self.temporary(step)),
        }
    }

    /// The name of the temporary instance that a step makes.
    fn temporary(&self, step: &str) -> Option<&DbInstanceIdentifier> {
        self.steps.iter().find_map(|made| match &made.action {
            Action::TemporaryReplica { name, .. } | Action::TemporaryInstance { name, .. }
                if made.id == step =>
            {
                Some(name)
            }
            _ => None,
        })
    }

    /// Source and replicas.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        std::iter::once(&self.source).chain(&self.replicas)
    }
}

/// Method of migration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Method {
    /// Snapshot, encrypted copy, restore, while clients are away.
    Cold,
    /// A blue/green deployment of RDS whose green side is encrypted; its switchover is the cutover.
    BlueGreen,
    /// Replication into the encrypted instance while clients go on; only the renames are downtime.
    Replica,
}

impl Method {
    /// The word used in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cold => "cold",
            Self::BlueGreen => "blue-green",
            Self::Replica => "replica",
        }
    }
}

/// A method that was not possible.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotTaken {
    /// The method.
    pub method: Method,
    /// Why, in sentences without a period.
    pub reasons: Vec<String>,
}

/// One DB instance of a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// Its real name, before and after.
    pub identifier: DbInstanceIdentifier,
    /// Its name while and after it is superseded.
    pub old_name: DbInstanceIdentifier,
    /// Name of its encrypted successor until the cutover.
    pub new_name: DbInstanceIdentifier,
    /// Constant identity of the unencrypted instance.
    pub dbi_resource_id: String,
    /// For a replica: the member it replicates from.
    pub replicates_from: Option<DbInstanceIdentifier>,
    /// SHA-256 over the settled members of its describe answer; a plan whose instance has changed is stale.
    pub digest: String,
    /// Step whose result is the successor.
    pub made_by: String,
}

impl Member {
    /// Whether it is never renamed: RDS makes the DB instances of a Multi-AZ DB cluster, gives them their names and takes
    /// no changes of them. Its successor has the name it was made with for good.
    #[must_use]
    pub fn keeps_its_name(&self) -> bool {
        self.old_name == self.identifier
    }

    /// The name of its successor in the end.
    #[must_use]
    pub fn final_name(&self) -> &DbInstanceIdentifier {
        if self.keeps_its_name() {
            &self.new_name
        } else {
            &self.identifier
        }
    }
}

/// The cluster of a migration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ClusterMember {
    /// Its real name, before and after.
    pub identifier: DbInstanceIdentifier,
    /// Its name while and after it is superseded.
    pub old_name: DbInstanceIdentifier,
    /// Name of its encrypted successor until the cutover.
    pub new_name: DbInstanceIdentifier,
    /// Constant identity of the unencrypted cluster.
    pub db_cluster_resource_id: String,
    /// SHA-256 over the settled members of its describe answer; a plan whose cluster has changed is stale.
    pub digest: String,
}

/// A DB instance that a step works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    /// One that was there before: by `DbiResourceId`.
    Old(String),
    /// One that a step of this migration makes: by that step.
    MadeBy(String),
}

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Stable name, unique in the migration: the key in the journal.
    pub id: String,
    /// Steps that must be done before.
    pub needs: Vec<String>,
    /// How long RDS and MySQL may take, in seconds.
    pub deadline_seconds: u64,
    /// What is done.
    pub action: Action,
}

/// What a step does. Arguments bear AWS's names; a DB instance is named when the call is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Action {
    /// `AddTagsToResource`: pins the run and the source's resource id in RDS itself.
    Claim {
        /// The instance.
        instance: Target,
        /// The tags.
        tags: Vec<(String, String)>,
    },
    /// `ModifyDBInstance` with `NewDBInstanceIdentifier`; RDS restarts the engine.
    Rename {
        /// The instance.
        instance: Target,
        /// Its name before.
        from: DbInstanceIdentifier,
        /// Its name after.
        to: DbInstanceIdentifier,
        /// Whether this gives an instance the name clients use. Done only after validation.
        cutover: bool,
    },
    /// Proves that for a while no client is connected and nothing is written. If a client is: `RebootDBInstance` once,
    /// or `mysql.rds_kill`.
    Quiesce {
        /// The instance.
        instance: Target,
        /// How long, in seconds.
        #[serde(default = "quiesce_window")]
        window_seconds: u64,
        /// Whether clients' connections are killed rather than the instance rebooted.
        #[serde(default)]
        kill_connections: bool,
    },
    /// `CreateDBSnapshot`.
    Snapshot {
        /// The instance.
        instance: Target,
        /// Name of the snapshot.
        snapshot: String,
        /// Its tags.
        tags: Vec<(String, String)>,
    },
    /// `CopyDBSnapshot` with a key.
    EncryptedCopy {
        /// The unencrypted snapshot.
        source_snapshot: String,
        /// Name of the encrypted copy.
        snapshot: String,
        /// Key ARN.
        kms_key_id: String,
        /// Its tags.
        tags: Vec<(String, String)>,
    },
    /// `RestoreDBInstanceFromDBSnapshot`.
    Restore {
        /// The encrypted snapshot.
        snapshot: String,
        /// Name of the new instance.
        name: DbInstanceIdentifier,
        /// All further arguments.
        request: Map<String, Value>,
    },
    /// `CreateDBInstanceReadReplica`.
    CreateReplica {
        /// What it replicates from.
        source: Target,
        /// Name of the new instance.
        name: DbInstanceIdentifier,
        /// All further arguments.
        request: Map<String, Value>,
    },
    /// `ModifyDBInstance`: what the creating call could not set.
    Modify {
        /// The instance.
        instance: Target,
        /// All further arguments.
        request: Map<String, Value>,
    },
    /// Waits until parameter and option groups are settled; `RebootDBInstance` if a group is pending-reboot.
    Settle {
        /// The instance.
        instance: Target,
    },
    /// `AddRoleToDBInstance`.
    AddRole {
        /// The instance.
        instance: Target,
        /// The role.
        role_arn: String,
        /// The feature it serves.
        feature_name: String,
    },
    /// `ModifyDBInstance` with `ManageMasterUserPassword`: RDS makes a new secret for the master password.
    ManagePassword {
        /// The instance.
        instance: Target,
        /// Key of the secret, if it is not AWS's own.
        kms_key_id: Option<String>,
    },
    /// `DeregisterDBProxyTargets`: the registration of the old instance.
    DeregisterProxyTarget {
        /// The proxy.
        proxy: String,
        /// The instance that takes the name.
        instance: Target,
        /// Name under which it is registered.
        name: DbInstanceIdentifier,
    },
    /// `RegisterDBProxyTargets`: the new instance under its real name.
    RegisterProxyTarget {
        /// The proxy.
        proxy: String,
        /// The instance.
        instance: Target,
        /// Its real name.
        name: DbInstanceIdentifier,
    },
    /// Sees that an event subscription lists the instance; `AddSourceIdentifierToSubscription` if it does not.
    Subscription {
        /// The subscription.
        subscription: String,
        /// The instance.
        instance: Target,
        /// Its real name.
        name: DbInstanceIdentifier,
    },
    /// `StartDBInstanceAutomatedBackupsReplication` in another region.
    ReplicateBackups {
        /// The instance.
        instance: Target,
        /// Region that the backups are replicated into.
        region: String,
        /// Key of that region.
        kms_key_id: String,
        /// Days that backups are kept there.
        retention_days: i64,
    },
    /// Looks at what depends on the instances once more, and says what is left to do.
    Handover,
    /// Clones accounts and grants that only the old replica has.
    Accounts {
        /// The unencrypted replica.
        old: Target,
        /// Its successor.
        new: Target,
    },
    /// `mysql.rds_set_configuration`: binlog retention and its like, with the values of the old side.
    Configuration {
        /// The unencrypted instance.
        old: Target,
        /// Its successor.
        new: Target,
    },
    /// `CreateBlueGreenDeployment` with a key for every member; done when its green side is complete.
    CreateBlueGreen {
        /// Name of the deployment.
        deployment: String,
        /// The source of the blue side.
        source: Target,
        /// Every DB instance of the blue side, and the ARN of the key of its green one.
        keys: Vec<(Target, String)>,
        /// Tags of the deployment.
        tags: Vec<(String, String)>,
    },
    /// Waits for the green counterpart of a DB instance: available, replicating, encrypted under the key.
    AwaitGreen {
        /// Name of the deployment.
        deployment: String,
        /// The blue DB instance.
        blue: Target,
    },
    /// `AddTagsToResource`: marks what RDS has made for this run.
    Tag {
        /// The instance.
        instance: Target,
        /// The tags.
        tags: Vec<(String, String)>,
    },
    /// `SwitchoverBlueGreenDeployment`: green takes the names of blue. Done only after validation.
    Switchover {
        /// Name of the deployment.
        deployment: String,
        /// `SwitchoverTimeout` in seconds: when it is over, RDS goes back and nothing has changed.
        timeout_seconds: u32,
    },
    /// `DeleteBlueGreenDeployment` after the switchover: the instances of both sides stay.
    EndBlueGreen {
        /// Name of the deployment.
        deployment: String,
    },
    /// `AddTagsToResource` on the cluster: pins the run in RDS itself.
    ClaimCluster {
        /// The tags.
        tags: Vec<(String, String)>,
    },
    /// `ModifyDBCluster` with `NewDBClusterIdentifier`.
    RenameCluster {
        /// Its name before.
        from: DbInstanceIdentifier,
        /// Its name after.
        to: DbInstanceIdentifier,
        /// Whether this gives the encrypted cluster the name clients use; else it is the old one that is renamed.
        cutover: bool,
    },
    /// `CreateDBClusterSnapshot` of the old cluster.
    ClusterSnapshot {
        /// Name of the snapshot.
        snapshot: String,
        /// Its tags.
        tags: Vec<(String, String)>,
    },
    /// `RestoreDBClusterFromSnapshot` with a key.
    RestoreCluster {
        /// The unencrypted snapshot.
        snapshot: String,
        /// Name of the new cluster.
        name: DbInstanceIdentifier,
        /// All further arguments, the key among them.
        request: Map<String, Value>,
    },
    /// `ModifyDBCluster`: what the restore could not set.
    ModifyCluster {
        /// All further arguments.
        request: Map<String, Value>,
    },
    /// `AddRoleToDBCluster`.
    AddClusterRole {
        /// The role.
        role_arn: String,
        /// The feature it serves; may be empty.
        feature_name: String,
    },
    /// `RestoreDBInstanceFromDBSnapshot` of a cluster snapshot: unencrypted, and deleted when its snapshot is restored.
    TemporaryInstance {
        /// The snapshot of the Multi-AZ DB cluster.
        snapshot: String,
        /// Name of the instance.
        name: DbInstanceIdentifier,
        /// All further arguments.
        request: Map<String, Value>,
    },
    /// Waits for a DB instance that RDS makes with the new cluster: available, encrypted under the key.
    AwaitMember {
        /// Whether it is the writer; else one of the readers.
        writer: bool,
    },
    /// `EnableHttpEndpoint` of the new cluster: its Data API.
    EnableDataApi,
    /// `CreateDBInstance` in the new cluster.
    CreateMember {
        /// Name of the new instance.
        name: DbInstanceIdentifier,
        /// All further arguments.
        request: Map<String, Value>,
    },
    /// `mysql.rds_set_configuration('binlog retention hours', …)`: raised to this and never lowered.
    RaiseRetention {
        /// The unencrypted source.
        instance: Target,
        /// Hours, at most 168.
        hours: u32,
    },
    /// `CREATE USER`, `GRANT REPLICATION SLAVE`: the account that the successor replicates with. Its password is nowhere.
    ReplicationAccount {
        /// The unencrypted source.
        instance: Target,
        /// User name; the host is `%`.
        account: String,
    },
    /// `CreateDBInstanceReadReplica` of the source: unencrypted, and deleted after its snapshot is proven.
    TemporaryReplica {
        /// The unencrypted source.
        source: Target,
        /// Name of the replica.
        name: DbInstanceIdentifier,
        /// All further arguments.
        request: Map<String, Value>,
    },
    /// `mysql.rds_stop_replication` on the temporary replica; records the position of the source's log that is applied.
    Hold {
        /// The temporary replica.
        instance: Target,
        /// The unencrypted source.
        source: Target,
    },
    /// Compares rows of two servers that both stand still.
    CompareRows {
        /// The temporary replica.
        old: Target,
        /// The successor, restored from its snapshot.
        new: Target,
    },
    /// `mysql.rds_set_external_master` or what it is called there, and `mysql.rds_start_replication`.
    Replicate {
        /// The unencrypted source.
        source: Target,
        /// Its successor.
        replica: Target,
        /// Step whose result is the position to begin at; none to go on where the successor stands.
        held_by: Option<String>,
        /// User name it replicates with.
        account: String,
    },
    /// `DeleteDBInstance` of what this migration has made and needs no longer.
    RemoveTemporary {
        /// The temporary replica or instance.
        instance: Target,
    },
    /// Waits until the successor has applied what the source has written so far.
    CatchUp {
        /// The unencrypted source.
        source: Target,
        /// Its successor.
        replica: Target,
    },
    /// Waits until the successor has applied everything a source without clients has written.
    FinalPosition {
        /// The unencrypted source.
        source: Target,
        /// Its successor.
        replica: Target,
    },
    /// `mysql.rds_stop_replication`, `mysql.rds_reset_external_master` or what it is called there.
    Detach {
        /// The successor.
        replica: Target,
    },
    /// Records where the log of a server ends that nobody writes to yet: where the way back begins.
    MarkEnd {
        /// The successor, before it is given its real name.
        instance: Target,
    },
    /// Waits while the old instance follows its successor: a rollback loses nothing meanwhile.
    KeepWayBack {
        /// The successor.
        source: Target,
        /// The unencrypted instance.
        replica: Target,
        /// Hours from the cutover on.
        hours: u32,
    },
    /// `DROP USER` of the account the successor replicated with.
    RemoveAccount {
        /// Where it is.
        instances: Vec<Target>,
        /// User name; the host is `%`.
        account: String,
    },
    /// `mysql.rds_set_configuration` with the value from before it was raised.
    RestoreRetention {
        /// Where it was raised, or was carried to.
        instances: Vec<Target>,
        /// Step that raised it and noted what it was.
        raised_by: String,
    },
    /// The pair diff of every member; drift stops the migration here.
    Validate,
    /// Reads every member under its real name and asks the policy again.
    Rescan,
    /// `ModifyDBInstance` with `NewDBInstanceIdentifier`: an old instance gets its real name back.
    NameBack {
        /// The instance.
        instance: Target,
        /// Its name before.
        from: DbInstanceIdentifier,
        /// Its real name.
        to: DbInstanceIdentifier,
    },
    /// Proves that the new side holds nothing that the old side lacks.
    Unwritten {
        /// What is compared.
        pairs: Vec<Sides>,
        /// Step with an earlier proof: it still holds if the log of the new side shows that nothing came after it.
        after: Option<String>,
        /// Nothing is proven: the operator has accepted that writes since the cutover are lost.
        loss_accepted: bool,
    },
    /// Looks whether every member has its real name, is ready and replicates as before.
    Returned,
    /// Proves that no client is connected to any of these.
    Unused {
        /// The instances.
        instances: Vec<Target>,
    },
    /// `DeleteDBInstance`, without a final snapshot and with its automated backups.
    Delete {
        /// The instance.
        instance: Target,
        /// The name it must have.
        name: DbInstanceIdentifier,
        /// Tags it must bear.
        tags: Vec<(String, String)>,
        /// Whether it must be encrypted, or must not be.
        encrypted: bool,
    },
    /// `DeleteDBSnapshot`.
    DeleteSnapshot {
        /// The snapshot.
        snapshot: String,
        /// The instance it must be of.
        of: Target,
        /// Tags it must bear.
        tags: Vec<(String, String)>,
    },
    /// `DeleteDBInstanceAutomatedBackup`, if backups of a deleted instance were retained.
    DeleteAutomatedBackup {
        /// `DbiResourceId` of the deleted instance.
        dbi_resource_id: String,
    },
    /// `RemoveTagsFromResource`: takes the claim off.
    Release {
        /// The instance.
        instance: Target,
        /// Keys of the tags.
        keys: Vec<String>,
    },
    /// The pair diff of every member beside a live source; rows may differ, since clients write.
    Rehearse,
    /// `ModifyDBCluster` with `NewDBClusterIdentifier`, on the way back: the encrypted cluster gives the real name up, or
    /// the old one gets it again.
    ClusterNameBack {
        /// The cluster, by its `DbClusterResourceId`.
        cluster: Target,
        /// Its name before.
        from: DbInstanceIdentifier,
        /// Its name after.
        to: DbInstanceIdentifier,
    },
    /// `ModifyDBCluster`: takes deletion protection off.
    UnprotectCluster {
        /// The cluster.
        cluster: Target,
    },
    /// `DeleteDBCluster`, without a final snapshot and with its automated backups. Its DB instances go before it.
    DeleteCluster {
        /// The cluster.
        cluster: Target,
        /// The name it must have.
        name: DbInstanceIdentifier,
        /// Tags it must bear.
        tags: Vec<(String, String)>,
        /// Whether it must be encrypted, or must not be.
        encrypted: bool,
    },
    /// `DeleteDBClusterSnapshot`.
    DeleteClusterSnapshot {
        /// The snapshot.
        snapshot: String,
        /// The cluster it must be of.
        of: Target,
        /// Tags it must bear.
        tags: Vec<(String, String)>,
    },
    /// `CreateDBClusterSnapshot` of a cluster that was restored with a key: the encrypted copy of a snapshot, which RDS
    /// does not make of an unencrypted one.
    EncryptedClusterSnapshot {
        /// The encrypted cluster.
        cluster: Target,
        /// Name of the snapshot.
        snapshot: String,
        /// Key ARN.
        kms_key_id: String,
        /// Its tags.
        tags: Vec<(String, String)>,
    },
    /// `RemoveTagsFromResource`: takes the claim off a cluster.
    ReleaseCluster {
        /// The cluster.
        cluster: Target,
        /// Keys of the tags.
        keys: Vec<String>,
    },
    /// Looks whether the alarms that name the instances, or their cluster, still do, and in which state they are.
    Alarms {
        /// The alarms that there were when the plan was made.
        alarms: Vec<AlarmOf>,
    },
    /// `DeleteBlueGreenDeployment` before a switchover: its green instances stay, for steps of their own.
    RemoveBlueGreen {
        /// Name of the deployment.
        deployment: String,
    },
    /// A command of the operator.
    Hook(Hook),
}

/// A CloudWatch alarm and what it names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlarmOf {
    /// Name of the alarm.
    pub alarm: String,
    /// `DBInstanceIdentifier` or `DBClusterIdentifier`.
    pub dimension: String,
    /// The identifier that it names.
    pub identifier: String,
}

/// Two DB instances with the same contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sides {
    /// The real name.
    pub name: String,
    /// The unencrypted one.
    pub old: Target,
    /// The encrypted one.
    pub new: Target,
}

impl Action {
    /// The API operation this step issues, if it is an AWS one.
    #[must_use]
    pub fn operation(&self) -> Option<&'static str> {
        Some(match self {
            Self::Claim { .. } => "AddTagsToResource",
            Self::Rename { .. }
            | Self::Modify { .. }
            | Self::NameBack { .. }
            | Self::ManagePassword { .. } => "ModifyDBInstance",
            Self::Quiesce {
                kill_connections: true,
                ..
            } => return None,
            Self::Quiesce { .. } | Self::Settle { .. } => "RebootDBInstance",
            Self::Snapshot { .. } => "CreateDBSnapshot",
            Self::EncryptedCopy { .. } => "CopyDBSnapshot",
            Self::Restore { .. } => "RestoreDBInstanceFromDBSnapshot",
            Self::CreateBlueGreen { .. } => "CreateBlueGreenDeployment",
            Self::ClaimCluster { .. } => "AddTagsToResource",
            Self::RenameCluster { .. } | Self::ModifyCluster { .. } => "ModifyDBCluster",
            Self::ClusterSnapshot { .. } => "CreateDBClusterSnapshot",
            Self::RestoreCluster { .. } => "RestoreDBClusterFromSnapshot",
            Self::AddClusterRole { .. } => "AddRoleToDBCluster",
            Self::CreateMember { .. } => "CreateDBInstance",
            Self::EnableDataApi => "EnableHttpEndpoint",
            Self::TemporaryInstance { .. } => "RestoreDBInstanceFromDBSnapshot",
            Self::Tag { .. } => "AddTagsToResource",
            Self::Switchover { .. } => "SwitchoverBlueGreenDeployment",
            Self::EndBlueGreen { .. } => "DeleteBlueGreenDeployment",
            Self::CreateReplica { .. } | Self::TemporaryReplica { .. } => {
                "CreateDBInstanceReadReplica"
            }
            Self::RemoveTemporary { .. } => "DeleteDBInstance",
            Self::AddRole { .. } => "AddRoleToDBInstance",
            Self::DeregisterProxyTarget { .. } => "DeregisterDBProxyTargets",
            Self::RegisterProxyTarget { .. } => "RegisterDBProxyTargets",
            Self::Subscription { .. } => "AddSourceIdentifierToSubscription",
            Self::ReplicateBackups { .. } => "StartDBInstanceAutomatedBackupsReplication",
            Self::Delete { .. } => "DeleteDBInstance",
            Self::DeleteSnapshot { .. } => "DeleteDBSnapshot",
            Self::DeleteAutomatedBackup { .. } => "DeleteDBInstanceAutomatedBackup",
            Self::Release { .. } | Self::ReleaseCluster { .. } => "RemoveTagsFromResource",
            Self::ClusterNameBack { .. } | Self::UnprotectCluster { .. } => "ModifyDBCluster",
            Self::DeleteCluster { .. } => "DeleteDBCluster",
            Self::DeleteClusterSnapshot { .. } => "DeleteDBClusterSnapshot",
            Self::EncryptedClusterSnapshot { .. } => "CreateDBClusterSnapshot",
            Self::RemoveBlueGreen { .. } => "DeleteBlueGreenDeployment",
            Self::AwaitGreen { .. }
            | Self::AwaitMember { .. }
            | Self::Accounts { .. }
            | Self::Configuration { .. }
            | Self::RaiseRetention { .. }
            | Self::ReplicationAccount { .. }
            | Self::Hold { .. }
            | Self::CompareRows { .. }
            | Self::Replicate { .. }
            | Self::CatchUp { .. }
            | Self::FinalPosition { .. }
            | Self::Detach { .. }
            | Self::MarkEnd { .. }
            | Self::KeepWayBack { .. }
            | Self::RemoveAccount { .. }
            | Self::RestoreRetention { .. }
            | Self::Validate
            | Self::Rescan
            | Self::Unwritten { .. }
            | Self::Returned
            | Self::Unused { .. }
            | Self::Handover
            | Self::Alarms { .. }
            | Self::Rehearse
            | Self::Hook(_) => return None,
        })
    }

    /// Whether this changes a MySQL server and nothing in AWS: what a server took, it shows at once.
    #[must_use]
    pub fn is_sql(&self) -> bool {
        matches!(
            self,
            Self::Accounts { .. }
                | Self::Configuration { .. }
                | Self::RaiseRetention { .. }
                | Self::ReplicationAccount { .. }
                | Self::Hold { .. }
                | Self::Replicate { .. }
                | Self::Detach { .. }
                | Self::RemoveAccount { .. }
                | Self::RestoreRetention { .. }
        )
    }

    /// Whether clients lose their way to the database when this begins.
    #[must_use]
    pub fn takes_clients_away(&self) -> bool {
        matches!(
            self,
            Self::Rename { cutover: false, .. }
                | Self::RenameCluster { cutover: false, .. }
                | Self::Switchover { .. }
        )
    }

    /// Whether this gives an encrypted DB instance the name clients use. Done only after validation.
    #[must_use]
    pub fn is_cutover(&self) -> bool {
        matches!(
            self,
            Self::Rename { cutover: true, .. }
                | Self::RenameCluster { cutover: true, .. }
                | Self::Switchover { .. }
        )
    }

    /// Whether the step attaches a dependent again once the migration itself is done: one that fails does not hold up
    /// the others.
    #[must_use]
    pub fn is_reattachment(&self) -> bool {
        matches!(
            self,
            Self::DeregisterProxyTarget { .. }
                | Self::RegisterProxyTarget { .. }
                | Self::Subscription { .. }
                | Self::ReplicateBackups { .. }
        )
    }
}

/// How long nobody may be connected, and nothing written, in seconds, unless a plan says otherwise.
pub const QUIESCE_WINDOW: u64 = 30;

fn quiesce_window() -> u64 {
    QUIESCE_WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            schema_version: SCHEMA_VERSION,
            tool: Tool::current(),
            run: RunId::try_from("r1".to_owned()).unwrap(),
            created: Timestamp::UNIX_EPOCH,
            rehearsal_of: None,
            account: "111122223333".to_owned(),
            mysql: MysqlAccess::Required,
            data_check: DataCheck::Counts,
            waves: Vec::new(),
            hooks: Vec::new(),
            migrations: Vec::new(),
            left_out: Vec::new(),
            checks: Vec::new(),
            digest: String::new(),
        }
        .sealed()
    }

    #[test]
    fn an_edited_plan_no_longer_matches_its_digest() {
        let mut plan = plan();
        assert_eq!(plan.digest, plan.computed_digest());
        plan.account = "999999999999".to_owned();
        assert_ne!(plan.digest, plan.computed_digest());
    }

    #[test]
    fn a_plan_reads_back_as_it_was_written() {
        let plan = plan();
        let text = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
    }
}
