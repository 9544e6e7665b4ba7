//! CloudWatch alarms about DB instances and clusters. An alarm names what it is about by an identifier and not by a resource
//! id, so that it follows the name.

use aws_config::Region;
use aws_sdk_cloudwatch::types::{AlarmType, MetricAlarm};

use super::Aws;
use crate::error::AwsError;

/// Most pages of alarms of a region: 1000 of 100 alarms are more than the quota of 5000 that an account begins with allows,
/// and more than any that was raised.
const MAX_PAGES: usize = 1000;
/// Dimensions of the namespace `AWS/RDS` that name an instance or a cluster.
const DIMENSIONS: [&str; 2] = ["DBInstanceIdentifier", "DBClusterIdentifier"];

/// A metric alarm that names a DB instance or a cluster.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Alarm {
    /// Its name, unique in the region.
    pub name: String,
    /// `DBInstanceIdentifier` or `DBClusterIdentifier`.
    pub dimension: String,
    /// The identifier that it names.
    pub identifier: String,
    /// `OK`, `ALARM` or `INSUFFICIENT_DATA`.
    pub state: String,
    /// Whether it acts when its state changes.
    pub acts: bool,
}

impl Alarm {
    /// Whether it is about the instance, or cluster, of that name.
    #[must_use]
    pub fn is_of(&self, dimension: &str, identifier: &str) -> bool {
        self.dimension == dimension && self.identifier.eq_ignore_ascii_case(identifier)
    }
}

impl Aws {
    /// `cloudwatch:DescribeAlarms`: the metric alarms of a region that name a DB instance or a cluster in one of their
    /// dimensions, or in one of those of the metrics they compute with.
    ///
    /// # Errors
    ///
    /// Any failure of a call; more pages than any account has.
    pub async fn alarms(&self, region: &str) -> Result<Vec<Alarm>, AwsError> {
        const OPERATION: &str = "DescribeAlarms";
        let config = aws_sdk_cloudwatch::config::Builder::from(&self.config)
            .region(Region::new(region.to_owned()))
            .build();
        let mut pages = aws_sdk_cloudwatch::Client::from_conf(config)
            .describe_alarms()
            .alarm_types(AlarmType::MetricAlarm)
            .max_records(100)
            .into_paginator()
            .send();
        let mut found = Vec::new();
        let mut read = 0;
        while let Some(page) = pages.next().await {
            let page = page.map_err(|e| AwsError::from_sdk(OPERATION, region, &e))?;
            read += 1;
            if read > MAX_PAGES {
                return Err(AwsError::bad_answer(
                    OPERATION,
                    region,
                    "its pages do not end",
                ));
            }
            for alarm in page.metric_alarms() {
                found.extend(about(alarm));
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }
}

/// What of RDS an alarm names.
fn about(alarm: &MetricAlarm) -> Vec<Alarm> {
    let own = alarm.dimensions().iter();
    let computed = alarm
        .metrics()
        .iter()
        .filter_map(|query| query.metric_stat()?.metric())
        .flat_map(|metric| metric.dimensions());
    own.chain(computed)
        .filter_map(|dimension| Some((dimension.name()?, dimension.value()?)))
        .filter(|(name, _)| DIMENSIONS.contains(name))
        .map(|(name, value)| Alarm {
            name: alarm.alarm_name().unwrap_or_default().to_owned(),
            dimension: name.to_owned(),
            identifier: value.to_owned(),
            state: alarm
                .state_value()
                .map_or("UNKNOWN", |state| state.as_str())
                .to_owned(),
            acts: alarm.actions_enabled() != Some(false),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricStat, StateValue};

    use super::*;

    fn dimension(name: &str, value: &str) -> Dimension {
        Dimension::builder().name(name).value(value).build()
    }

    #[test]
    fn an_alarm_names_what_it_looks_at_and_what_it_computes_with() {
        let metric = Metric::builder()
            .dimensions(dimension("DBClusterIdentifier", "sky"))
            .build();
        let alarm = MetricAlarm::builder()
            .alarm_name("lag")
            .state_value(StateValue::Alarm)
            .actions_enabled(false)
            .dimensions(dimension("DBInstanceIdentifier", "Orders"))
            .dimensions(dimension("Role", "WRITER"))
            .metrics(
                MetricDataQuery::builder()
                    .id("a")
                    .metric_stat(MetricStat::builder().metric(metric).build())
                    .build(),
            )
            .build();
        let found = about(&alarm);
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].is_of("DBInstanceIdentifier", "orders"));
        assert!(found[1].is_of("DBClusterIdentifier", "sky"));
        assert!(!found[1].is_of("DBInstanceIdentifier", "sky"));
        assert_eq!((found[0].state.as_str(), found[0].acts), ("ALARM", false));
    }
}
