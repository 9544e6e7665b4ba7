//! Faults on demand: what goes wrong, for whom, and how often.
//!
//! A fault befalls calls (it is refused, delayed, lost, throttled, answered from the past) or, as an
//! incident, a resource. Each fault counts the calls that it could befall; chance is drawn from the seed and
//! that count, so that the same calls in the same order go wrong in the same way.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::clock::plus;
use crate::dice::Dice;
use crate::incident::{Incident, What, When};

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FaultKind {
    /// The call is refused with `code`; nothing was done.
    Error,
    /// The call is carried out and the connection reset without an answer.
    LostAnswer,
    /// The connection is reset; nothing was done.
    Reset,
    /// The service's throttling error; nothing was done. With `rate` and `burst`, a token bucket per account,
    /// region and service, else every call that it befalls.
    Throttle,
    /// The service's internal error, HTTP 500; nothing was done.
    #[serde(rename = "http-500")]
    Http500,
    /// The service is unavailable, HTTP 503; nothing was done.
    #[serde(rename = "http-503")]
    Http503,
    /// An HTML page from something in between, HTTP 503; nothing was done.
    Html,
    /// The call waits `delay_ms`, and up to `jitter_ms` more, in real time.
    Latency,
    /// Describe and List show the state of `seconds` virtual seconds ago.
    StaleRead,
    /// Calls get no answer until the fault is removed. Without limits, nothing else happens meanwhile either.
    Freeze,
    /// `quota` is `max`, or what is in use.
    Quota,
    /// The resource `target` goes into the status `to`.
    State,
    /// The KMS key `target` is disabled.
    KeyDisabled,
    /// The server behind the instance `target` is killed.
    EngineCrash,
    /// RDS purges the binary logs of the instance `target`, as it does when their retention is over: all but the one that
    /// is written and those that a replica is reading.
    BinlogPurge,
    /// The answer to the next SQL statement with the words `statement` is lost: it is carried out, and its connection ends.
    /// Seen in connections without TLS.
    SqlLostAnswer,
}

impl FaultKind {
    /// The word for it in scenarios, the admin endpoint and the request log.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::LostAnswer => "lost-answer",
            Self::Reset => "reset",
            Self::Throttle => "throttle",
            Self::Http500 => "http-500",
            Self::Http503 => "http-503",
            Self::Html => "html",
            Self::Latency => "latency",
            Self::StaleRead => "stale-read",
            Self::Freeze => "freeze",
            Self::Quota => "quota",
            Self::State => "state",
            Self::KeyDisabled => "key-disabled",
            Self::EngineCrash => "engine-crash",
            Self::BinlogPurge => "binlog-purge",
            Self::SqlLostAnswer => "sql-lost-answer",
        }
    }

    /// Whether it befalls a resource instead of a call.
    fn is_incident(self) -> bool {
        matches!(
            self,
            Self::State
                | Self::KeyDisabled
                | Self::EngineCrash
                | Self::BinlogPurge
                | Self::SqlLostAnswer
        )
    }

    /// Whether it goes on until it is removed unless `times` says otherwise.
    fn is_standing(self) -> bool {
        matches!(
            self,
            Self::Latency | Self::StaleRead | Self::Freeze | Self::Quota
        )
    }
}

/// A quota of RDS, by its name in DescribeAccountAttributes where it has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Quota {
    DBInstances,
    ManualSnapshots,
    AllocatedStorage,
    ReadReplicasPerMaster,
    DBInstanceRoles,
    SnapshotCopiesInFlight,
}

/// A fault as written in a scenario or sent to the admin endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// Name to remove it by; `fault-N` unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    pub(crate) kind: FaultKind,
    /// Limits: patterns in which `*` stands for anything.
    #[serde(default = "any", skip_serializing_if = "is_any")]
    pub(crate) account: String,
    #[serde(default = "any", skip_serializing_if = "is_any")]
    pub(crate) region: String,
    /// Signing name: `rds`, `kms`, `sts`, …
    #[serde(default = "any", skip_serializing_if = "is_any")]
    pub(crate) service: String,
    #[serde(default = "any", skip_serializing_if = "is_any")]
    pub(crate) action: String,
    /// An identifier, name or ARN in the request.
    #[serde(default = "any", skip_serializing_if = "is_any")]
    pub(crate) resource: String,
    /// Which of the calls it could befall is the first, counted from 1.
    #[serde(default = "one")]
    pub(crate) nth: u64,
    /// How many calls from there on; 0 for all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) times: Option<u64>,
    /// Chance for each of these calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) probability: Option<f64>,
    /// Virtual seconds until it begins.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) after: u64,
    /// Wire code of an `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) code: Option<String>,
    /// Message of an `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) message: Option<String>,
    /// HTTP status of an `error`; follows from the code unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// Of a `throttle`: calls per virtual second.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<f64>,
    /// Of a `throttle` with `rate`: calls at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) burst: Option<f64>,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) delay_ms: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) jitter_ms: u64,
    /// Of a `stale-read`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quota: Option<Quota>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max: Option<i64>,
    /// Of an incident: the instance, snapshot or key; a pattern. The resource of the call unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) target: Option<String>,
    /// Status that a `state` fault brings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<String>,
    #[serde(default)]
    pub(crate) when: When,
    /// Of a `sql-lost-answer`: words of the statement, as they are sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) statement: Option<String>,
    /// Of an `engine-crash`: whether RDS brings the server back.
    #[serde(default = "yes")]
    pub(crate) recovers: bool,
}

fn any() -> String {
    "*".to_owned()
}

fn is_any(pattern: &str) -> bool {
    pattern == "*"
}

fn one() -> u64 {
    1
}

fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn yes() -> bool {
    true
}

impl Fault {
    /// What the types cannot say.
    pub(crate) fn check(&self) -> Result<(), String> {
        let kind = self.kind.name();
        let needs = |key: &str| Err(format!("a {kind} fault needs {key}"));
        if self.nth == 0 {
            return Err("nth counts from 1".to_owned());
        }
        if self
            .probability
            .is_some_and(|chance| !(0.0..=1.0).contains(&chance))
        {
            return Err("probability must be from 0 to 1".to_owned());
        }
        if self
            .status
            .is_some_and(|status| !(400..=599).contains(&status))
        {
            return Err("status must be from 400 to 599".to_owned());
        }
        if self
            .rate
            .is_some_and(|rate| !(rate.is_finite() && rate >= 0.0))
            || self
                .burst
                .is_some_and(|burst| !(burst.is_finite() && burst >= 1.0))
        {
            return Err("rate must not be negative, burst at least 1".to_owned());
        }
        match self.kind {
            FaultKind::Error if self.code.is_none() => needs("code"),
            FaultKind::Latency if self.delay_ms == 0 && self.jitter_ms == 0 => {
                needs("delay_ms or jitter_ms")
            }
            FaultKind::Latency if self.delay_ms.saturating_add(self.jitter_ms) > 600_000 => {
                Err("a call may wait ten minutes at most".to_owned())
            }
            FaultKind::StaleRead if self.seconds == 0 => needs("seconds"),
            FaultKind::StaleRead if self.seconds > 86_400 => {
                Err("a stale-read fault goes back a day at most".to_owned())
            }
            FaultKind::Quota if self.quota.is_none() => needs("quota"),
            FaultKind::State if self.to.is_none() => needs("to"),
            FaultKind::Freeze
                if self.nth > 1 || self.times.is_some() || self.probability.is_some() =>
            {
                Err("a freeze takes no nth, times or probability".to_owned())
            }
            FaultKind::SqlLostAnswer => match &self.statement {
                None => needs("statement"),
                Some(_words) => Ok(()),
            },
            kind if kind.is_incident() && self.target.is_none() && self.action == "*" => {
                needs("target, or an action whose resource is meant")
            }
            _ => Ok(()),
        }
    }

    /// Whether it has no limits at all.
    fn is_for_everyone(&self) -> bool {
        [
            &self.account,
            &self.region,
            &self.service,
            &self.action,
            &self.resource,
        ]
        .into_iter()
        .all(|pattern| is_any(pattern))
    }

    fn could_befall(&self, call: &CallFacts<'_>) -> bool {
        let fits = |pattern: &str, text: &str| matches(pattern, text);
        fits(&self.account, call.account)
            && fits(&self.region, call.region)
            && fits(&self.service, call.service)
            && fits(&self.action, call.action)
            && (is_any(&self.resource)
                || call
                    .resources
                    .iter()
                    .any(|resource| names(&self.resource, resource)))
    }

    /// The incident that it is, for a call or by itself.
    fn incident(&self, name: &str, call: Option<&CallFacts<'_>>) -> Option<Incident> {
        let target = self
            .target
            .clone()
            .or_else(|| Some(call?.resources.first()?.to_string()))
            .or_else(|| self.statement.clone())?;
        let what = match self.kind {
            FaultKind::State => What::State {
                to: self.to.clone()?,
                when: self.when,
            },
            FaultKind::KeyDisabled => What::KeyDisabled,
            FaultKind::EngineCrash => What::EngineCrash {
                recovers: self.recovers,
            },
            FaultKind::BinlogPurge => What::BinlogPurge,
            FaultKind::SqlLostAnswer => What::SqlLostAnswer {
                statement: self.statement.clone()?,
            },
            FaultKind::Error
            | FaultKind::LostAnswer
            | FaultKind::Reset
            | FaultKind::Throttle
            | FaultKind::Http500
            | FaultKind::Http503
            | FaultKind::Html
            | FaultKind::Latency
            | FaultKind::StaleRead
            | FaultKind::Freeze
            | FaultKind::Quota => return None,
        };
        Some(Incident {
            name: name.to_owned(),
            account: call.map_or(&*self.account, |call| call.account).to_owned(),
            region: call.map_or(&*self.region, |call| call.region).to_owned(),
            target,
            what,
        })
    }
}

/// Whether `text` fits `pattern`, in which `*` stands for anything; case is ignored.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.to_ascii_lowercase(), text.to_ascii_lowercase());
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part).and_then(|at| rest.get(at + part.len()..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether a pattern names a resource: by what was sent, or by the last part of an ARN.
pub(crate) fn names(pattern: &str, resource: &str) -> bool {
    matches(pattern, resource)
        || (resource.starts_with("arn:")
            && resource
                .rsplit(':')
                .next()
                .is_some_and(|name| matches(pattern, name)))
}

/// A call, as faults see it.
#[derive(Debug)]
pub(crate) struct CallFacts<'a> {
    /// Empty when the caller is not known.
    pub(crate) account: &'a str,
    pub(crate) region: &'a str,
    pub(crate) service: &'a str,
    pub(crate) action: &'a str,
    pub(crate) resources: &'a [String],
}

/// What becomes of a call.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// Names for the request log.
    pub(crate) kinds: Vec<&'static str>,
    /// Real time.
    pub(crate) delay: Duration,
    /// Virtual seconds back.
    pub(crate) stale: Option<u64>,
    pub(crate) limits: Vec<(Quota, Option<i64>)>,
    /// The one that decides how the call ends.
    pub(crate) ending: Option<Fault>,
    /// Incidents that follow the call.
    pub(crate) incidents: Vec<Incident>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Bucket {
    tokens: f64,
    filled: Timestamp,
}

/// A fault in force, with what it has counted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Active {
    name: String,
    fault: Fault,
    /// When it begins.
    begins: Timestamp,
    /// Calls that it could have befallen.
    seen: u64,
    /// Calls that it befell.
    befell: u64,
    buckets: BTreeMap<String, Bucket>,
}

impl Active {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// For the admin endpoint.
    pub(crate) fn view(&self) -> serde_json::Value {
        serde_json::json!({
            "name": self.name,
            "fault": self.fault,
            "begins": self.begins,
            "seen": self.seen,
            "befell": self.befell,
        })
    }

    /// Counts the call and says whether the fault befalls it.
    fn befalls(&mut self, call: &CallFacts<'_>, seed: u64, now: Timestamp) -> bool {
        self.seen += 1;
        let standing = self.fault.kind.is_standing()
            || self.fault.rate.is_some()
            || self.fault.probability.is_some();
        let times = match self.fault.times {
            Some(0) => u64::MAX,
            Some(times) => times,
            None if standing => u64::MAX,
            None => 1,
        };
        let first = self.fault.nth;
        if self.seen < first || self.seen - first >= times {
            return false;
        }
        if let Some(chance) = self.fault.probability
            && !Dice::new(seed).chance(&format!("fault/{}/{}", self.name, self.seen), chance)
        {
            return false;
        }
        if let Some(rate) = self.fault.rate
            && self.has_token(call, rate, now)
        {
            return false;
        }
        self.befell += 1;
        true
    }

    fn has_token(&mut self, call: &CallFacts<'_>, rate: f64, now: Timestamp) -> bool {
        let burst = self.fault.burst.unwrap_or_else(|| rate.max(1.0));
        let key = format!("{}/{}/{}", call.account, call.region, call.service);
        let bucket = self.buckets.entry(key).or_insert(Bucket {
            tokens: burst,
            filled: now,
        });
        let passed = now.duration_since(bucket.filled).as_secs_f64().max(0.0);
        bucket.tokens = (bucket.tokens + passed * rate).min(burst);
        bucket.filled = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            true
        } else {
            false
        }
    }
}

/// A fault that cannot be added.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    #[error("{0}")]
    Meaning(String),
    #[error("there is a fault called {0} already")]
    Taken(String),
}

/// All faults in force.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Faults {
    seed: u64,
    numbered: u64,
    all: Vec<Active>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    /// Adds a fault and says its name. An incident that no call sets off is the caller's to plan.
    pub(crate) fn add(
        &mut self,
        fault: Fault,
        now: Timestamp,
    ) -> Result<(String, Option<(Incident, Timestamp)>), Refused> {
        fault.check().map_err(Refused::Meaning)?;
        let name = match &fault.name {
            Some(name) if self.all.iter().any(|active| active.name == *name) => {
                return Err(Refused::Taken(name.clone()));
            }
            Some(name) => name.clone(),
            None => loop {
                self.numbered += 1;
                let name = format!("fault-{}", self.numbered);
                if self.all.iter().all(|active| active.name != name) {
                    break name;
                }
            },
        };
        let begins = plus(now, i64::try_from(fault.after).unwrap_or(i64::MAX));
        let planned = (fault.kind.is_incident() && is_any(&fault.action))
            .then(|| fault.incident(&name, None))
            .flatten()
            .map(|incident| (incident, begins));
        self.all.push(Active {
            name: name.clone(),
            fault,
            begins,
            seen: 0,
            befell: 0,
            buckets: BTreeMap::new(),
        });
        Ok((name, planned))
    }

    /// Removes a fault; `false` when there is none of this name.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let before = self.all.len();
        self.all.retain(|active| active.name != name);
        self.all.len() < before
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Active> {
        self.all.iter()
    }

    /// Whether nothing happens at all.
    pub(crate) fn is_frozen(&self, now: Timestamp) -> bool {
        self.all.iter().any(|active| {
            active.fault.kind == FaultKind::Freeze
                && active.begins <= now
                && active.fault.is_for_everyone()
        })
    }

    /// Whether this call gets no answer for now.
    pub(crate) fn freezes(&self, call: &CallFacts<'_>, now: Timestamp) -> bool {
        self.all.iter().any(|active| {
            active.fault.kind == FaultKind::Freeze
                && active.begins <= now
                && active.fault.could_befall(call)
        })
    }

    /// How far back Describe may have to look, in virtual seconds.
    pub(crate) fn memory(&self) -> Option<u64> {
        self.all
            .iter()
            .filter(|active| active.fault.kind == FaultKind::StaleRead)
            .map(|active| active.fault.seconds)
            .max()
    }

    /// Counts the call and says what becomes of it. Delays add up; of the faults that end a call, the first
    /// in order of their making does, and the others do not count it as befallen.
    pub(crate) fn judge(&mut self, call: &CallFacts<'_>, now: Timestamp) -> Verdict {
        let mut verdict = Verdict::default();
        let seed = self.seed;
        for active in &mut self.all {
            let kind = active.fault.kind;
            let by_itself = kind.is_incident() && is_any(&active.fault.action);
            if by_itself || active.begins > now || !active.fault.could_befall(call) {
                continue;
            }
            if kind == FaultKind::Freeze {
                // It had waited, and is free to go.
                continue;
            }
            let ends = !(kind.is_standing() || kind.is_incident());
            if ends && verdict.ending.is_some() {
                active.seen += 1;
                continue;
            }
            if !active.befalls(call, seed, now) {
                continue;
            }
            verdict.kinds.push(kind.name());
            match kind {
                FaultKind::Latency => {
                    let jitter = Dice::new(seed).between(
                        &format!("jitter/{}/{}", active.name, active.seen),
                        (0, active.fault.jitter_ms),
                    );
                    verdict.delay +=
                        Duration::from_millis(active.fault.delay_ms.saturating_add(jitter));
                }
                FaultKind::StaleRead => {
                    let seconds = active.fault.seconds;
                    verdict.stale = Some(verdict.stale.map_or(seconds, |other| other.max(seconds)));
                }
                FaultKind::Quota => {
                    if let Some(quota) = active.fault.quota {
                        verdict.limits.push((quota, active.fault.max));
                    }
                }
                FaultKind::State
                | FaultKind::KeyDisabled
                | FaultKind::EngineCrash
                | FaultKind::BinlogPurge
                | FaultKind::SqlLostAnswer => {
                    verdict
                        .incidents
                        .extend(active.fault.incident(&active.name, Some(call)));
                }
                FaultKind::Error
                | FaultKind::LostAnswer
                | FaultKind::Reset
                | FaultKind::Throttle
                | FaultKind::Http500
                | FaultKind::Http503
                | FaultKind::Html
                | FaultKind::Freeze => verdict.ending = Some(active.fault.clone()),
            }
        }
        verdict
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> Fault {
        toml::from_str(text).expect("a fault")
    }

    fn call<'a>(action: &'a str, resources: &'a [String]) -> CallFacts<'a> {
        CallFacts {
            account: "111122223333",
            region: "eu-central-1",
            service: "rds",
            action,
            resources,
        }
    }

    fn faults(texts: &[&str]) -> Faults {
        let mut faults = Faults::new(7);
        for text in texts {
            faults
                .add(fault(text), Timestamp::UNIX_EPOCH)
                .expect("added");
        }
        faults
    }

    fn ends(faults: &mut Faults, action: &str, second: i64) -> bool {
        faults
            .judge(&call(action, &[]), plus(Timestamp::UNIX_EPOCH, second))
            .ending
            .is_some()
    }

    #[test]
    fn the_nth_call_of_an_action_goes_wrong() {
        let mut faults = faults(&["kind = 'lost-answer'\naction = 'CopyDBSnapshot'\nnth = 2"]);
        let seen = [
            "CopyDBSnapshot",
            "CreateDBSnapshot",
            "CopyDBSnapshot",
            "CopyDBSnapshot",
        ]
        .map(|action| ends(&mut faults, action, 0));
        assert_eq!(seen, [false, false, true, false]);
    }

    #[test]
    fn a_bucket_empties_and_fills_again() {
        let mut faults = faults(&["kind = 'throttle'\nrate = 0.5\nburst = 2.0"]);
        let seen = [0, 0, 0, 1, 2, 2, 4].map(|second| ends(&mut faults, "A", second));
        assert_eq!(seen, [false, false, true, true, false, true, false]);
    }

    #[test]
    fn chance_is_the_same_for_the_same_seed() {
        let draw = || {
            let mut faults = faults(&["kind = 'http-500'\nprobability = 0.5"]);
            (0..64)
                .map(|_| ends(&mut faults, "A", 0))
                .collect::<Vec<_>>()
        };
        let first = draw();
        assert_eq!(first, draw());
        assert!(first.contains(&true) && first.contains(&false));
    }

    #[test]
    fn limits_are_patterns_and_a_resource_may_be_an_arn() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("Describe*", "describedbinstances", true),
            ("*Snapshot", "CopyDBSnapshot", true),
            ("Copy*Snapshot", "CopyDBSnapshots", false),
            ("a*a", "a", false),
            ("prod-one", "prod-one-2", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
        assert!(names(
            "prod-*",
            "arn:aws:rds:eu-central-1:111122223333:db:prod-one"
        ));
    }

    #[test]
    fn a_fault_begins_when_it_is_said_to() {
        let mut faults = faults(&["kind = 'http-503'\nafter = 60\ntimes = 0"]);
        assert_eq!(
            [0, 59, 60, 61].map(|second| ends(&mut faults, "A", second)),
            [false, false, true, true]
        );
    }

    #[test]
    fn a_fault_that_says_too_little_is_refused() {
        for (text, word) in [
            ("kind = 'error'", "code"),
            ("kind = 'latency'", "delay_ms"),
            ("kind = 'stale-read'", "seconds"),
            ("kind = 'quota'", "quota"),
            ("kind = 'state'\ntarget = 'x'", "to"),
            ("kind = 'key-disabled'", "target"),
            ("kind = 'throttle'\nnth = 0", "nth"),
            ("kind = 'freeze'\ntimes = 2", "times"),
        ] {
            let problem = fault(text).check().expect_err("refused");
            assert!(problem.contains(word), "{text}: {problem}");
        }
    }
}
