//! IAM policy documents: what the statements of one say of an action on a resource, and which actions and resources a
//! call is about.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use crate::fault::matches;
use crate::rds::names::parse_arn;
use crate::rds::params::Params;
use crate::rds::state::{Region, Scope, Tag};
use crate::wire::{Received, Service};
use crate::world::World;

/// An identity-based policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Policy {
    statements: Vec<Statement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Statement {
    denies: bool,
    actions: Vec<String>,
    resources: Vec<String>,
    conditions: Vec<Condition>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Condition {
    operator: Operator,
    /// True also where the key is absent.
    if_exists: bool,
    /// In lower case: names of keys are not told apart by case.
    key: String,
    values: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equals,
    NotEquals,
    Like,
    Bool,
    Null,
}

/// One question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Ask {
    pub(crate) action: String,
    /// An ARN, or `*` where the action has none.
    pub(crate) resource: String,
    /// Condition keys in lower case.
    pub(crate) context: BTreeMap<String, String>,
}

impl Ask {
    pub(crate) fn new(action: &str, resource: &str) -> Self {
        Self {
            action: action.to_owned(),
            resource: resource.to_owned(),
            context: BTreeMap::new(),
        }
    }

    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.context
            .insert(key.to_ascii_lowercase(), value.to_owned());
        self
    }
}

/// What IAM says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decision {
    Allowed,
    ExplicitDeny,
    ImplicitDeny,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Document {
    version: String,
    #[serde(default)]
    #[expect(dead_code, reason = "IAM takes it, and it decides nothing")]
    id: Option<String>,
    statement: OneOrMany<Written>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct Written {
    #[serde(default)]
    #[expect(dead_code, reason = "IAM takes it, and it decides nothing")]
    sid: Option<String>,
    effect: String,
    action: OneOrMany<String>,
    resource: OneOrMany<String>,
    #[serde(default)]
    condition: BTreeMap<String, BTreeMap<String, OneOrMany<Value>>>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

impl<T> OneOrMany<T> {
    fn list(self) -> Vec<T> {
        match self {
            Self::Many(list) => list,
            Self::One(one) => vec![one],
        }
    }
}

impl Policy {
    /// Reads a document; what this sandbox does not evaluate is an error, never an allowance.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let document: Document = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if document.version != "2012-10-17" {
            return Err(format!("version {:?} is not known", document.version));
        }
        let statements = document.statement.list().into_iter().map(Statement::of);
        Ok(Self {
            statements: statements.collect::<Result<_, String>>()?,
        })
    }

    pub(crate) fn decide(&self, ask: &Ask) -> Decision {
        let mut decision = Decision::ImplicitDeny;
        for statement in self.statements.iter().filter(|one| one.is_about(ask)) {
            if !statement.conditions.iter().all(|one| one.holds(ask)) {
                continue;
            }
            if statement.denies {
                return Decision::ExplicitDeny;
            }
            decision = Decision::Allowed;
        }
        decision
    }

    /// Condition keys that statements about the question ask for and that it does not have.
    pub(crate) fn missing(&self, ask: &Ask) -> BTreeSet<&str> {
        self.statements
            .iter()
            .filter(|statement| statement.is_about(ask))
            .flat_map(|statement| &statement.conditions)
            .map(|condition| condition.key.as_str())
            .filter(|key| !ask.context.contains_key(*key))
            .collect()
    }
}

impl Statement {
    fn of(written: Written) -> Result<Self, String> {
        let mut conditions = Vec::new();
        for (operator, keys) in written.condition {
            let (name, if_exists) = match operator.strip_suffix("IfExists") {
                Some(name) => (name, true),
                None => (operator.as_str(), false),
            };
            let operator = match name {
                "StringEquals" | "ArnEquals" => Operator::Equals,
                "StringNotEquals" => Operator::NotEquals,
                "StringLike" | "ArnLike" => Operator::Like,
                "Bool" => Operator::Bool,
                "Null" if !if_exists => Operator::Null,
                _ => return Err(format!("condition operator {operator} is not known")),
            };
            for (key, values) in keys {
                let text = |value: Value| match value {
                    Value::String(text) => Ok(text),
                    Value::Bool(truth) => Ok(truth.to_string()),
                    other => Err(format!("{key}: {other} is no text")),
                };
                conditions.push(Condition {
                    operator,
                    if_exists,
                    key: key.to_ascii_lowercase(),
                    values: values
                        .list()
                        .into_iter()
                        .map(text)
                        .collect::<Result<_, String>>()?,
                });
            }
        }
        Ok(Self {
            denies: match written.effect.as_str() {
                "Allow" => false,
                "Deny" => true,
                other => return Err(format!("effect {other:?} is not known")),
            },
            actions: written.action.list(),
            resources: written.resource.list(),
            conditions,
        })
    }

    fn is_about(&self, ask: &Ask) -> bool {
        let any = |patterns: &[String], text: &str| patterns.iter().any(|one| matches(one, text));
        any(&self.actions, &ask.action) && any(&self.resources, &ask.resource)
    }
}

impl Condition {
    fn holds(&self, ask: &Ask) -> bool {
        let sent = ask.context.get(&self.key);
        let any = |is: &dyn Fn(&str, &str) -> bool, sent: &str| {
            self.values.iter().any(|wanted| is(wanted, sent))
        };
        match (self.operator, sent) {
            // True asks for a key that is absent.
            (Operator::Null, sent) => any(&|wanted, _| (wanted == "true") == sent.is_none(), ""),
            (Operator::NotEquals, None) => true,
            (_, None) => self.if_exists,
            (Operator::Equals, Some(sent)) => any(&|wanted, sent| wanted == sent, sent),
            (Operator::NotEquals, Some(sent)) => !any(&|wanted, sent| wanted == sent, sent),
            (Operator::Like, Some(sent)) => any(&matches, sent),
            (Operator::Bool, Some(sent)) => {
                any(&|wanted, sent| wanted.eq_ignore_ascii_case(sent), sent)
            }
        }
    }
}

/// What RDS calls name, the kind of it, and whether the call makes it.
const NAMES: [(&str, &str); 17] = [
    ("DBInstanceIdentifier", "db"),
    ("SourceDBInstanceIdentifier", "db"),
    ("TargetDBInstanceIdentifier", "db"),
    ("DBSnapshotIdentifier", "snapshot"),
    ("SourceDBSnapshotIdentifier", "snapshot"),
    ("TargetDBSnapshotIdentifier", "snapshot"),
    ("DBParameterGroupName", "pg"),
    ("OptionGroupName", "og"),
    ("DBSubnetGroupName", "subgrp"),
    ("DBClusterIdentifier", "cluster"),
    ("DBClusterSnapshotIdentifier", "cluster-snapshot"),
    ("SnapshotIdentifier", "cluster-snapshot"),
    ("DBClusterParameterGroupName", "cluster-pg"),
    ("BlueGreenDeploymentIdentifier", "deployment"),
    ("DbiResourceId", "auto-backup"),
    ("SubscriptionName", "es"),
    ("SourceDBInstanceArn", "db"),
];

/// Which member names what a call makes.
fn made_by(action: &str) -> Option<&'static str> {
    Some(match action {
        "CreateDBSnapshot" => "DBSnapshotIdentifier",
        "CreateDBClusterSnapshot" => "DBClusterSnapshotIdentifier",
        "RestoreDBClusterFromSnapshot" => "DBClusterIdentifier",
        "CopyDBSnapshot" => "TargetDBSnapshotIdentifier",
        "CreateDBInstance" | "CreateDBInstanceReadReplica" | "RestoreDBInstanceFromDBSnapshot" => {
            "DBInstanceIdentifier"
        }
        "RestoreDBInstanceToPointInTime" => "TargetDBInstanceIdentifier",
        _ => return None,
    })
}

/// Every question that a call gives rise to; all must be allowed. What a list lists is not asked about one by one.
pub(crate) fn asks(world: &World, scope: &Scope, received: &Received) -> Vec<Ask> {
    let action = format!("{}:{}", received.service.policy_prefix(), received.action);
    let mut asks = match received.service {
        Service::Rds => of_rds(world, scope, received, &action),
        Service::Kms => {
            let key = received.json.get("KeyId").and_then(Value::as_str);
            let arn = key.and_then(|key| key_arn(world, scope, key));
            vec![Ask::new(&action, arn.as_deref().unwrap_or("*"))]
        }
        // It needs no permission.
        Service::Sts if received.action == "GetCallerIdentity" => Vec::new(),
        Service::Sts => vec![named(&received.params, &action, "RoleArn")],
        Service::Iam => {
            let mut ask = named(&received.params, &action, "PolicySourceArn");
            if let Some(role) = received.params.text("RoleName") {
                ask.resource = format!("arn:aws:iam::{}:role/{role}", scope.account);
            }
            vec![ask]
        }
        _ => vec![Ask::new(&action, "*")],
    };
    for ask in &mut asks {
        let region = scope.region.clone();
        ask.context.insert("aws:requestedregion".to_owned(), region);
    }
    asks
}

fn named(params: &Params, action: &str, member: &str) -> Ask {
    Ask::new(action, params.text(member).as_deref().unwrap_or("*"))
}

fn of_rds(world: &World, scope: &Scope, received: &Received, action: &str) -> Vec<Ask> {
    if received.action.starts_with("Describe") {
        return vec![Ask::new(action, "*")];
    }
    let params = &received.params;
    let region = world.regions.get(scope);
    let arn = |kind: &str, name: &str| match parse_arn(name) {
        Some(_) => name.to_owned(),
        None => scope.arn(kind, &name.to_ascii_lowercase()),
    };
    let sent: Vec<(String, String)> = params
        .structures("Tags")
        .into_iter()
        .flatten()
        .filter_map(|tag| Some((tag.text("Key")?, tag.raw("Value")?.to_owned())))
        .collect();
    let ask = |action: &str, resource: &str| {
        let mut ask = Ask::new(action, resource);
        for (key, value) in &sent {
            ask = ask.with(&format!("aws:RequestTag/{key}"), value);
        }
        for tag in region
            .and_then(|region| tags(region, resource))
            .into_iter()
            .flatten()
        {
            ask = ask.with(&format!("aws:ResourceTag/{}", tag.key), &tag.value);
        }
        ask
    };
    let mut asks: Vec<Ask> = NAMES
        .iter()
        .filter_map(|(member, kind)| Some(ask(action, &arn(kind, &params.text(member)?))))
        .collect();
    asks.extend(params.text("ResourceName").map(|name| ask(action, &name)));
    asks.extend(of_deployment(&received.action, params, region, scope, &ask));
    if params.text("DBProxyName").is_some() {
        // The names of target groups are RDS's.
        asks.push(ask(action, &scope.arn("target-group", "prx-tg-0")));
    }
    if asks.is_empty() {
        asks.push(ask(action, "*"));
    }
    let made = made_by(&received.action).filter(|_| !sent.is_empty());
    if let Some(member) = made
        && let Some((_, kind)) = NAMES.iter().find(|(known, _)| *known == member)
        && let Some(name) = params.text(member)
    {
        asks.push(ask("rds:AddTagsToResource", &arn(kind, &name)));
    }
    // RDS uses a customer's key with the caller's rights; that of RDS itself is open to everybody in the account.
    let key = params
        .text("KmsKeyId")
        .filter(|key| !key.contains("alias/aws/"));
    if let Some(arn) = key.and_then(|key| key_arn(world, scope, &key)) {
        for action in ["kms:CreateGrant", "kms:DescribeKey"] {
            let via = format!("rds.{}.amazonaws.com", scope.region);
            asks.push(
                Ask::new(action, &arn)
                    .with("kms:ViaService", &via)
                    .with("kms:CallerAccount", &scope.account)
                    .with("kms:GrantIsForAWSResource", "true"),
            );
        }
    }
    for (member, service) in [
        ("MonitoringRoleArn", "monitoring.rds.amazonaws.com"),
        ("RoleArn", "rds.amazonaws.com"),
    ] {
        let role = params.text(member);
        asks.extend(
            role.map(|role| Ask::new("iam:PassRole", &role).with("iam:PassedToService", service)),
        );
    }
    asks
}

/// What RDS does in the caller's name for a blue/green deployment: with each instance of the blue side, and with the green
/// one that it makes of it, which has the tags of the blue one. The names of the green ones end as RDS likes.
fn of_deployment(
    action: &str,
    params: &Params,
    region: Option<&Region>,
    scope: &Scope,
    ask: &dyn Fn(&str, &str) -> Ask,
) -> Vec<Ask> {
    let Some(region) = region else {
        return Vec::new();
    };
    match action {
        "CreateBlueGreenDeployment" => {
            let Some(source) = params.text("Source").filter(|arn| parse_arn(arn).is_some()) else {
                return Vec::new();
            };
            let named = |name: &str| match source.rsplit_once(':') {
                Some((front, _)) => format!("{front}:{name}"),
                None => name.to_owned(),
            };
            let root = source.rsplit(':').next().unwrap_or_default();
            let deployment = named("bgd-new").replace(":db:", ":deployment:");
            let create = "rds:CreateBlueGreenDeployment";
            let mut asks = vec![
                ask(create, &deployment),
                ask("rds:AddTagsToResource", &deployment),
            ];
            for blue in with_replicas(region, root) {
                asks.push(ask(create, &named(&blue)));
                asks.push(ask("rds:CreateDBInstanceReadReplica", &named(&blue)));
                let green = named(&format!("{blue}-green-new"));
                for action in ["rds:CreateDBInstanceReadReplica", "rds:AddTagsToResource"] {
                    let mut made = ask(action, &green);
                    for tag in tags(region, &named(&blue)).into_iter().flatten() {
                        made = made.with(&format!("aws:RequestTag/{}", tag.key), &tag.value);
                    }
                    asks.push(made);
                }
            }
            asks
        }
        "SwitchoverBlueGreenDeployment" => {
            let named = |name: &str| scope.arn("db", name);
            let id = params.text("BlueGreenDeploymentIdentifier");
            let deployment = region
                .blue_green
                .iter()
                .find(|one| Some(&one.id) == id.as_ref());
            deployment
                .into_iter()
                .flat_map(|deployment| &deployment.members)
                .flat_map(|member| [&member.blue, &member.green])
                .filter_map(|resource| region.by_resource(resource))
                .flat_map(|instance| {
                    ["rds:ModifyDBInstance", "rds:PromoteReadReplica"]
                        .map(|action| ask(action, &named(&instance.id)))
                })
                .collect()
        }
        _ => Vec::new(),
    }
}

/// An instance and all that replicates from it.
fn with_replicas(region: &Region, root: &str) -> Vec<String> {
    let mut names = vec![root.to_owned()];
    let mut next = 0;
    while let Some(source) = names.get(next).and_then(|name| region.instance(name)) {
        next += 1;
        let replicas = region.replicas_of(&source.resource_id);
        names.extend(replicas.map(|replica| replica.id.clone()));
    }
    names
}

/// The tags of what an ARN names, if it is there.
fn tags<'a>(region: &'a Region, arn: &str) -> Option<&'a [Tag]> {
    let arn = parse_arn(arn)?;
    let tags = match arn.kind.as_str() {
        "db" => &region.instance(&arn.name)?.tags,
        "snapshot" => {
            let named = |one: &&crate::rds::state::DbSnapshot| one.id == arn.name;
            &region.snapshots.iter().find(named)?.tags
        }
        "cluster" => {
            let named = |one: &&crate::rds::state::DbCluster| one.id == arn.name;
            &region.clusters.iter().find(named)?.tags
        }
        "cluster-snapshot" => {
            let named = |one: &&crate::rds::state::DbClusterSnapshot| one.id == arn.name;
            &region.cluster_snapshots.iter().find(named)?.tags
        }
        "deployment" => {
            let deployment = region.blue_green.iter().find(|one| one.id == arn.name)?;
            &deployment.tags
        }
        _ => return None,
    };
    Some(tags)
}

fn key_arn(world: &World, scope: &Scope, reference: &str) -> Option<String> {
    let key = world.regions.get(scope)?.key(reference)?;
    Some(key.arn.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DOCUMENT: &str = r#"{"Version": "2012-10-17", "Statement": [
        {"Sid": "Read", "Effect": "Allow", "Action": "rds:Describe*", "Resource": "*"},
        {"Effect": "Allow", "Action": ["rds:ModifyDBInstance"], "Resource": ["arn:aws:rds:*:*:db:*"],
         "Condition": {"Null": {"aws:ResourceTag/atrest:run": "false"}}},
        {"Effect": "Allow", "Action": "kms:CreateGrant", "Resource": "arn:aws:kms:*:*:key/*",
         "Condition": {"StringLike": {"kms:ViaService": "rds.*.amazonaws.com"}, "Bool": {"kms:GrantIsForAWSResource": true}}},
        {"Effect": "Deny", "Action": "rds:*", "Resource": "arn:aws:rds:*:*:db:vault"}
    ]}"#;

    #[test]
    fn statements_are_about_actions_resources_and_conditions() {
        use Decision::{Allowed, ExplicitDeny, ImplicitDeny};
        let policy = Policy::parse(DOCUMENT).expect("a policy");
        let db = |name: &str| format!("arn:aws:rds:eu-west-1:1:db:{name}");
        let modify = |name: &str| Ask::new("rds:ModifyDBInstance", &db(name));
        let claimed = |name: &str| modify(name).with("aws:ResourceTag/atrest:run", "r");
        let grant = |via: &str, resource: &str| {
            Ask::new("kms:CreateGrant", "arn:aws:kms:eu-west-1:1:key/k")
                .with("kms:ViaService", via)
                .with("kms:GrantIsForAWSResource", resource)
        };
        for (ask, expected) in [
            (Ask::new("rds:DescribeDBInstances", "*"), Allowed),
            (Ask::new("rds:DeleteDBInstance", &db("a")), ImplicitDeny),
            (modify("a"), ImplicitDeny),
            (claimed("a"), Allowed),
            (claimed("vault"), ExplicitDeny),
            (grant("rds.eu-west-1.amazonaws.com", "true"), Allowed),
            (grant("ec2.eu-west-1.amazonaws.com", "true"), ImplicitDeny),
            (grant("rds.eu-west-1.amazonaws.com", "false"), ImplicitDeny),
        ] {
            assert_eq!(policy.decide(&ask), expected, "{ask:?}");
        }
        let missing = policy.missing(&modify("a"));
        assert_eq!(missing, BTreeSet::from(["aws:resourcetag/atrest:run"]));
    }

    #[test]
    fn what_is_not_evaluated_is_refused() {
        for (from, to) in [
            ("Bool", "NumericEquals"),
            ("2012-10-17", "2008-10-17"),
            ("\"Resource\": \"*\"", "\"NotResource\": \"*\""),
            ("Deny", "Perhaps"),
        ] {
            assert!(Policy::parse(&DOCUMENT.replace(from, to)).is_err(), "{to}");
        }
    }
}
