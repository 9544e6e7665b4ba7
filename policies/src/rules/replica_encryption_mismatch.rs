//! `replica-encryption-mismatch`: a replica that is not encrypted as its source is.

use atrest_model::finding::Severity;
use atrest_model::key::region_of;
use atrest_model::resource::DescribedRef;
use atrest_model::scan::ResourceKind;

use crate::policy::{Context, Controls, Fix, Needs, Policy, PolicyMeta, Subject, Verdict};

/// Flags replicas whose state of encryption differs from their source's, or, within a region, their key.
#[derive(Debug)]
pub(crate) struct ReplicaEncryptionMismatch;

static META: PolicyMeta = PolicyMeta {
    id: "replica-encryption-mismatch",
    title: "a replica is not encrypted as its source is",
    severity: Severity::Medium,
    since: "0.1.0",
    fix: Fix::Manual,
    needs: Needs::Nothing,
    controls: &[
        Controls::none(Subject::DbInstance),
        Controls::none(Subject::DbCluster),
    ],
};

impl Policy for ReplicaEncryptionMismatch {
    fn meta(&self) -> &'static PolicyMeta {
        &META
    }

    fn judge(&self, replica: DescribedRef<'_>, context: &Context<'_>) -> Verdict {
        if replica.is_cluster_member() {
            return Verdict::Pass;
        }
        let Some(named) = named(replica) else {
            return Verdict::Pass;
        };
        let Some(source) = find(named, replica, context) else {
            return Verdict::NotEvaluated(format!("its source {named} was not read"));
        };
        compare(replica, source)
    }
}

/// The source as AWS names it: a name in the same region, else an ARN.
fn named<'a>(replica: DescribedRef<'a>) -> Option<&'a str> {
    let members: &[&str] = match replica.kind {
        ResourceKind::DbCluster => &["ReplicationSourceIdentifier"],
        _ => &[
            "ReadReplicaSourceDBInstanceIdentifier",
            "ReadReplicaSourceDBClusterIdentifier",
        ],
    };
    members
        .iter()
        .find_map(|member| replica.text(member))
        .filter(|source| !source.is_empty())
}

fn find<'a>(
    named: &str,
    replica: DescribedRef<'_>,
    context: &Context<'a>,
) -> Option<DescribedRef<'a>> {
    let region = region_of(named).unwrap_or(replica.region);
    let name = named.rsplit(':').next().unwrap_or(named);
    let instance = || context.fleet.instance(region, name).map(DescribedRef::from);
    let cluster = || context.fleet.cluster(region, name).map(DescribedRef::from);
    let found = match named.split(':').nth(5) {
        Some("cluster") => cluster(),
        Some(_) => instance(),
        None if replica.text("ReadReplicaSourceDBClusterIdentifier") == Some(named) => cluster(),
        None => instance(),
    }?;
    // Of the same name in another account is another one.
    (!named.starts_with("arn:") || found.arn() == named).then_some(found)
}

fn compare(replica: DescribedRef<'_>, source: DescribedRef<'_>) -> Verdict {
    let (ours, theirs) = (replica.encryption(), source.encryption());
    let name = source.identifier();
    let (Some(ours_is), Some(theirs_is)) = (ours.is_encrypted(), theirs.is_encrypted()) else {
        return Verdict::NotEvaluated(format!(
            "encryption is {} here and {} at its source {name}",
            ours.as_str(),
            theirs.as_str()
        ));
    };
    if ours_is != theirs_is {
        let state = |is: bool| if is { "is" } else { "is not" };
        return Verdict::Fail(format!(
            "the replica {} encrypted, and its source {name} {}",
            state(ours_is),
            state(theirs_is)
        ));
    }
    // Keys are regional: across regions they differ rightly.
    if !ours_is || replica.region != source.region {
        return Verdict::Pass;
    }
    match (replica.kms_key_id(), source.kms_key_id()) {
        (ours, theirs) if ours == theirs => Verdict::Pass,
        (ours, theirs) => Verdict::Fail(format!(
            "the replica is encrypted under {}, and its source {name} under {}",
            ours.unwrap_or("a key of AWS"),
            theirs.unwrap_or("a key of AWS")
        )),
    }
}
