//! Faults on demand: the nth call of an action does not go as it should.

use std::collections::BTreeMap;

use serde::Deserialize;

/// How a call goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum FaultKind {
    /// The call is refused with `code`; nothing was done.
    Error,
    /// The call is carried out and the connection closed without an answer.
    LostAnswer,
    /// `Throttling`, HTTP 400; nothing was done.
    Throttle,
    /// `InternalFailure`, HTTP 500; nothing was done.
    #[serde(rename = "http-500")]
    Http500,
    /// An HTML page from something in between, HTTP 503; nothing was done.
    Html,
}

/// A fault of the scenario.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    /// Action it befalls, `*` for every one.
    pub(crate) action: String,
    /// Which call of the action, counted from 1.
    #[serde(default = "one")]
    pub(crate) nth: u64,
    /// How many calls in a row.
    #[serde(default = "one")]
    pub(crate) times: u64,
    pub(crate) kind: FaultKind,
    /// Wire code of an `error`.
    pub(crate) code: Option<String>,
    /// Message of an `error`.
    pub(crate) message: Option<String>,
}

fn one() -> u64 {
    1
}

/// Counts calls and says which go wrong.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    all: Vec<Fault>,
    seen: BTreeMap<String, u64>,
}

impl Faults {
    pub(crate) fn new(all: Vec<Fault>) -> Self {
        Self {
            all,
            seen: BTreeMap::new(),
        }
    }

    /// The fault of this call, which is counted.
    pub(crate) fn next(&mut self, action: &str) -> Option<Fault> {
        let mut count = |name: &str| {
            let seen = self.seen.entry(name.to_owned()).or_insert(0);
            *seen += 1;
            *seen
        };
        let (own, any) = (count(action), count("*"));
        self.all
            .iter()
            .find(|fault| {
                let seen = match fault.action.as_str() {
                    "*" => any,
                    name if name == action => own,
                    _ => return false,
                };
                (fault.nth..fault.nth.saturating_add(fault.times)).contains(&seen)
            })
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_call_of_an_action_goes_wrong() {
        let fault = Fault {
            action: "CopyDBSnapshot".into(),
            nth: 2,
            times: 1,
            kind: FaultKind::LostAnswer,
            code: None,
            message: None,
        };
        let mut faults = Faults::new(vec![fault]);
        assert!(faults.next("CopyDBSnapshot").is_none());
        assert!(faults.next("CreateDBSnapshot").is_none());
        assert!(faults.next("CopyDBSnapshot").is_some());
        assert!(faults.next("CopyDBSnapshot").is_none());
    }
}
