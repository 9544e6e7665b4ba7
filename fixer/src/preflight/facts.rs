//! What the checks look at. Everything is here before the first check runs: judging is pure.

use std::collections::BTreeMap;

use atrest_scanner::aws::{Decided, KeyFacts};
use atrest_scanner::mysql::ServerFacts;
use jiff::Timestamp;
use serde_json::Value;

/// What was read, or why it was not.
pub type Read<T> = Result<T, String>;

/// Engine, version and class.
pub type Offer = (String, String, String);

/// What surrounds the instances of a plan.
#[derive(Debug, Clone)]
pub struct Around {
    /// When it was read.
    pub now: Timestamp,
    /// What IAM says of the calls of the plan.
    pub permissions: Read<Vec<Decided>>,
    /// By region.
    pub regions: BTreeMap<String, RegionFacts>,
    /// Servers by `DbiResourceId`; those that were not asked are not there.
    pub servers: BTreeMap<String, Read<ServerFacts>>,
}

/// What surrounds the instances of one region.
#[derive(Debug, Clone)]
pub struct RegionFacts {
    /// `OrderableDBInstanceOptions`, by engine, version and class.
    pub offers: BTreeMap<Offer, Read<Vec<Value>>>,
    /// All classes of an engine version, where the class in use will not do.
    pub classes: BTreeMap<(String, String), Read<Vec<Value>>>,
    /// `AccountQuotas`.
    pub quotas: Read<Vec<Value>>,
    /// Manual snapshots.
    pub snapshots: Read<Vec<Value>>,
    /// `PendingMaintenanceActions`.
    pub maintenance: Read<Vec<Value>>,
    /// `OptionGroupsList`.
    pub option_groups: Read<Vec<Value>>,
    /// `Certificates`.
    pub certificates: Read<Vec<Value>>,
    /// `Parameters` with source `user`, by group.
    pub parameters: BTreeMap<String, Read<Vec<Value>>>,
    /// Keys of Performance Insights, by ARN.
    pub insights_keys: BTreeMap<String, Read<KeyFacts>>,
    /// `BlueGreenDeployments`.
    pub blue_green: Read<Vec<Value>>,
}

impl RegionFacts {
    /// Nothing was read, for this reason.
    #[must_use]
    pub fn unread(why: &str) -> Self {
        let unread = || Err(why.to_owned());
        Self {
            offers: BTreeMap::new(),
            classes: BTreeMap::new(),
            quotas: unread(),
            snapshots: unread(),
            maintenance: unread(),
            option_groups: unread(),
            certificates: unread(),
            parameters: BTreeMap::new(),
            insights_keys: BTreeMap::new(),
            blue_green: unread(),
        }
    }
}
