//! Who may change a source: RDS itself keeps it, in tags.
//!
//! The tag [`TAG_RUN`] names the run and [`TAG_CLAIM`] the run folder: two folders with the same plan are two runners.
//! The claim is checked again before every mutation, so that of two runners that claimed in the same moment the one whose
//! tag did not last stops.

use std::collections::BTreeMap;

use atrest_model::instance::Encryption;
use atrest_model::plan::{Action, Step, TAG_CLAIM, TAG_RUN, Target};

use super::{Cx, Seen};
use crate::fault::Fault;
use crate::observatory::RegionView;
use crate::store::RunStore;

/// What this run folder claims with.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    /// `None` for a run begun by a version that had no token.
    token: Option<String>,
    /// Whether a token of another folder of the same run is to be replaced.
    takes_over: bool,
}

impl Claim {
    /// The token of this run folder.
    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_deref()
    }

    pub(crate) fn of(store: &RunStore) -> Self {
        Self {
            token: store.claim().map(str::to_owned),
            takes_over: store.is_adopted(),
        }
    }

    /// Whether a token of another folder of the same run is to be replaced.
    pub(super) fn takes_over(&self) -> bool {
        self.takes_over
    }
}

/// Tags of the plan, and the token.
pub(super) fn tags(cx: &Cx<'_>, planned: &[(String, String)]) -> Vec<(String, String)> {
    let token = cx.claim.token.clone();
    let token = token.map(|token| (TAG_CLAIM.to_owned(), token));
    planned.iter().cloned().chain(token).collect()
}

/// A source that is gone, encrypted meanwhile or somebody else's is not ours to touch.
pub(super) fn observe(
    cx: &Cx<'_>,
    view: &RegionView,
    target: &Target,
    planned: &[(String, String)],
) -> Result<Seen, Fault> {
    let Some(instance) = cx.find(view, target)? else {
        return Ok(Seen::stuck(
            format!(
                "no DB instance has resource id {} in {}",
                cx.id(target)?,
                cx.migration.region
            ),
            "make a new plan; the instance was deleted or belongs to another account",
        ));
    };
    let name = instance.identifier();
    if instance.encryption() != Encryption::None {
        return Ok(Seen::stuck(
            format!(
                "{name} is {} now, not unencrypted",
                instance.encryption().as_str()
            ),
            "make a new plan",
        ));
    }
    let shown = instance.tags();
    if let Some((reason, hint)) = foreign(cx, name, &shown, cx.claim.takes_over) {
        return Ok(Seen::stuck(reason, hint));
    }
    let all = tags(cx, planned)
        .iter()
        .all(|(key, value)| shown.get(key.as_str()) == Some(&value.as_str()));
    Ok(if all {
        Seen::done("claimed")
    } else {
        Seen::absent("not claimed")
    })
}

/// Why an instance or cluster with these tags belongs to somebody else, and what to do.
pub(super) fn foreign(
    cx: &Cx<'_>,
    name: &str,
    shown: &BTreeMap<&str, &str>,
    takes_over: bool,
) -> Option<(String, String)> {
    let run = cx.plan.run.as_str();
    if let Some(other) = shown.get(TAG_RUN).filter(|other| **other != run) {
        return Some((
            format!("{name} is claimed by run {other}"),
            format!(
                "finish run {other} first, or remove its tag {TAG_RUN} if that run is gone for good"
            ),
        ));
    }
    let ours = cx.claim.token.as_deref()?;
    let other = shown.get(TAG_CLAIM).filter(|other| **other != ours)?;
    (!takes_over).then(|| {
        (
            format!("{name} is claimed by run {run} from another run folder ({other})"),
            "resume the run where it was begun; if that folder is lost, take the run over with `atrest fix --adopt PLAN`"
                .to_owned(),
        )
    })
}

/// Whether the source still bears the claim.
pub(crate) enum Fence {
    /// It does, or it is not claimed yet.
    Ours,
    /// It shows no tags at the moment.
    NotShown(String),
    /// Somebody else has it.
    Lost { reason: String, hint: String },
}

/// Looked at before every mutation but the claim itself.
pub(crate) fn still_ours(cx: &Cx<'_>, step: &Step, view: &RegionView) -> Fence {
    let claims = matches!(
        step.action,
        Action::Claim { .. } | Action::ClaimCluster { .. }
    );
    let source = view.by_resource_id(&cx.migration.source.dbi_resource_id);
    // A source between its two names shows nothing at all.
    let (false, Some(source)) = (claims, source) else {
        return Fence::Ours;
    };
    if let Some((reason, hint)) = foreign(cx, source.identifier(), &source.tags(), false) {
        return Fence::Lost { reason, hint };
    }
    if source.tags().contains_key(TAG_RUN) {
        Fence::Ours
    } else {
        Fence::NotShown(format!("{} shows no claim", source.identifier()))
    }
}
