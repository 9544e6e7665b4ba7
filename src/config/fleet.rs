//! `[fleet]`: what runs of many migrations keep to.

use atrest_fixer::fleet::{BlastRadius, Waves};
use serde::{Deserialize, Deserializer};

use crate::cli::RadiusArgs;

/// Every key is also an option of `plan` or `fix`, but `copies_in_flight`, which is about the account.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FleetTable {
    #[serde(default, deserialize_with = "waves")]
    pub(crate) waves: Option<Waves>,
    pub(crate) max_instances: Option<usize>,
    #[serde(default, deserialize_with = "percent")]
    pub(crate) max_percent: Option<f64>,
    pub(crate) max_failures: Option<usize>,
    pub(crate) copies_in_flight: Option<usize>,
}

impl FleetTable {
    /// What the command line says, else what is written here.
    pub(crate) fn radius(&self, args: &RadiusArgs) -> BlastRadius {
        BlastRadius {
            max_instances: args.max_instances.or(self.max_instances),
            max_percent: args.max_percent.or(self.max_percent),
        }
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum WavesValue {
    Size(u32),
    Sizes(String),
}

fn waves<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Waves>, D::Error> {
    let text = match WavesValue::deserialize(deserializer)? {
        WavesValue::Size(size) => size.to_string(),
        WavesValue::Sizes(sizes) => sizes,
    };
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

fn percent<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<f64>, D::Error> {
    let share = f64::deserialize(deserializer)?;
    if share > 0.0 && share <= 100.0 {
        return Ok(Some(share));
    }
    Err(serde::de::Error::custom("a number above 0, up to 100"))
}
