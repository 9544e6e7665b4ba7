//! What makes the ticks: the plans, the account, the pace.

use std::path::PathBuf;
use std::time::Duration;

use atrest_fixer::clock::Timing;
use atrest_fixer::executor::Reporter;
use atrest_fixer::options::FleetOptions;
use atrest_fixer::store::StoreError;
use atrest_fixer::tick::{self, TickError};
use atrest_model::event::RunEvent;
use atrest_model::plan::Plan;
use atrest_model::tick::{TickDocument, TickInput};
use atrest_scanner::access::MysqlAuth;
use atrest_scanner::aws::Aws;

/// How ticks are made.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Folder on a disk of this machine, for locks and reports; it may be lost.
    pub state_dir: PathBuf,
    /// Pace.
    pub timing: Timing,
    /// How long after its record an intent may be acted on.
    pub intent_lifetime: Duration,
    /// Log in to MySQL.
    pub mysql: Option<MysqlAuth>,
}

/// Makes ticks.
#[derive(Debug)]
pub struct Worker {
    aws: Aws,
    plans: Vec<Plan>,
    settings: Settings,
}

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoDocument {
    /// No plan that is served has this digest.
    #[error(
        "no plan is served that run {run} was begun with ({digest}); start the service with it"
    )]
    NoPlan { run: String, digest: String },
    /// The tick.
    #[error("{0}; {hint}", hint = .0.hint())]
    Tick(#[from] TickError),
}

impl NoDocument {
    /// Whether the same tick may work later: the disk is full, or the plan comes with the next start.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::NoPlan { .. } => true,
            Self::Tick(TickError::Store(error)) => matches!(
                error,
                StoreError::NotWritten { .. } | StoreError::Io { .. } | StoreError::Locked { .. }
            ),
            Self::Tick(_) => false,
        }
    }
}

impl Worker {
    /// Makes ticks of the migrations of these plans.
    #[must_use]
    pub fn new(aws: Aws, plans: Vec<Plan>, settings: Settings) -> Self {
        Self {
            aws,
            plans,
            settings,
        }
    }

    /// One tick. It ends by itself, and changes at most one thing.
    pub(crate) async fn tick(&self, input: TickInput) -> Result<TickDocument, NoDocument> {
        let mut plans = self.plans.iter();
        let plan = plans.find(|plan| plan.digest == input.state.plan_digest);
        let Some(plan) = plan else {
            return Err(NoDocument::NoPlan {
                run: input.state.run.to_string(),
                digest: input.state.plan_digest,
            });
        };
        let settings = tick::Settings {
            aws: &self.aws,
            plan,
            state_dir: &self.settings.state_dir,
            timing: self.settings.timing,
            intent_lifetime: self.settings.intent_lifetime,
            mysql: self.settings.mysql.clone(),
            fleet: FleetOptions::default(),
        };
        Ok(tick::tick(&settings, input, &Quiet).await?)
    }
}

/// The document says what the events come to.
struct Quiet;

impl Reporter for Quiet {
    fn event(&self, _event: &RunEvent) {}
}
