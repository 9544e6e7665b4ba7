//! States of a step, and the one function that decides which may follow which.

use serde::{Deserialize, Serialize};

/// State of a step as the journal keeps it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepStatus {
    /// Not begun.
    Pending,
    /// A mutation was about to be sent; whether it took effect is not known.
    Intended,
    /// RDS or MySQL accepted the mutation; its effect is awaited.
    Accepted,
    /// The effect was seen.
    Done,
    /// Stopped; a person must look. A resumed run observes again and may go on.
    Stopped,
}

impl StepStatus {
    /// The word used in the journal and in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Intended => "intended",
            Self::Accepted => "accepted",
            Self::Done => "done",
            Self::Stopped => "stopped",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        [
            Self::Pending,
            Self::Intended,
            Self::Accepted,
            Self::Done,
            Self::Stopped,
        ]
        .into_iter()
        .find(|s| s.as_str() == word)
    }
}

/// What happened to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepEvent {
    /// A mutation is about to be sent.
    Intend,
    /// The mutation was accepted.
    Accept,
    /// The mutation was refused for certain: it took no effect.
    Refuse,
    /// The wanted state was seen.
    Finish,
    /// The step cannot go on by itself.
    Stop,
    /// A resumed run takes the step up again.
    Reopen,
}

impl StepEvent {
    const ALL: [Self; 6] = [
        Self::Intend,
        Self::Accept,
        Self::Refuse,
        Self::Finish,
        Self::Stop,
        Self::Reopen,
    ];

    /// The word used in the journal.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Intend => "intend",
            Self::Accept => "accept",
            Self::Refuse => "refuse",
            Self::Finish => "finish",
            Self::Stop => "stop",
            Self::Reopen => "reopen",
        }
    }

    /// Reads the word back.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.as_str() == word)
    }

    /// Whether some state leads to this one by the event.
    #[must_use]
    pub fn leads_to(self, after: StepStatus) -> bool {
        [
            StepStatus::Pending,
            StepStatus::Intended,
            StepStatus::Accepted,
            StepStatus::Stopped,
        ]
        .into_iter()
        .any(|before| before.next(self) == Ok(after))
    }

    /// The event that leads from one state to another: there is at most one.
    #[must_use]
    pub fn between(before: StepStatus, after: StepStatus) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|event| before.next(*event) == Ok(after))
    }
}

/// An event that may not happen in a state: the journal and the code disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a step that is {} cannot {event:?}", from.as_str())]
pub struct IllegalTransition {
    /// State before.
    pub from: StepStatus,
    /// The event.
    pub event: StepEvent,
}

impl StepStatus {
    /// The state after `event`.
    pub fn next(self, event: StepEvent) -> Result<Self, IllegalTransition> {
        use StepEvent as E;
        match (self, event) {
            // An unknown outcome may be tried again once observation has shown that nothing took effect.
            (Self::Pending | Self::Intended, E::Intend) => Ok(Self::Intended),
            (Self::Intended, E::Accept) => Ok(Self::Accepted),
            (Self::Intended, E::Refuse) => Ok(Self::Pending),
            // What is observed counts, whoever brought it about.
            (Self::Pending | Self::Intended | Self::Accepted, E::Finish) => Ok(Self::Done),
            (Self::Pending | Self::Intended | Self::Accepted, E::Stop) => Ok(Self::Stopped),
            // What the stopped step had sent is not known any more.
            (Self::Stopped, E::Reopen) => Ok(Self::Intended),
            (from, event) => Err(IllegalTransition { from, event }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [StepStatus; 5] = [
        StepStatus::Pending,
        StepStatus::Intended,
        StepStatus::Accepted,
        StepStatus::Done,
        StepStatus::Stopped,
    ];
    const EVENTS: [StepEvent; 6] = [
        StepEvent::Intend,
        StepEvent::Accept,
        StepEvent::Refuse,
        StepEvent::Finish,
        StepEvent::Stop,
        StepEvent::Reopen,
    ];

    #[test]
    fn a_done_step_never_changes() {
        for event in EVENTS {
            assert!(StepStatus::Done.next(event).is_err(), "{event:?}");
        }
    }

    #[test]
    fn an_accepted_mutation_is_never_sent_again() {
        assert!(StepStatus::Accepted.next(StepEvent::Intend).is_err());
        assert!(StepStatus::Accepted.next(StepEvent::Refuse).is_err());
    }

    #[test]
    fn nothing_is_accepted_that_was_not_intended() {
        for state in STATES {
            assert_eq!(
                state.next(StepEvent::Accept).is_ok(),
                state == StepStatus::Intended
            );
        }
    }

    #[test]
    fn an_event_follows_from_the_states_around_it() {
        for before in STATES {
            for event in EVENTS {
                if let Ok(after) = before.next(event) {
                    assert_eq!(StepEvent::between(before, after), Some(event));
                }
            }
        }
    }

    #[test]
    fn event_words_read_back() {
        for event in EVENTS {
            assert_eq!(StepEvent::parse(event.as_str()), Some(event));
        }
        assert_eq!(StepEvent::parse("begin"), None);
    }

    proptest::proptest! {
        /// Whatever happens in whatever order: what is legal keeps these promises.
        #[test]
        fn a_history_keeps_its_promises(events in proptest::collection::vec(0..EVENTS.len(), 0..200)) {
            let mut state = StepStatus::Pending;
            let mut accepted = false;
            for event in events.into_iter().map(|number| EVENTS[number]) {
                let Ok(next) = state.next(event) else { continue };
                // Done is for good.
                assert_ne!(state, StepStatus::Done);
                // Between an acceptance and a person's resumption nothing is sent.
                match event {
                    StepEvent::Accept => accepted = true,
                    StepEvent::Reopen => accepted = false,
                    StepEvent::Intend | StepEvent::Refuse => assert!(!accepted, "{event:?} after an acceptance"),
                    StepEvent::Finish | StepEvent::Stop => {}
                }
                // Nothing is accepted or refused but what was intended.
                if matches!(event, StepEvent::Accept | StepEvent::Refuse) {
                    assert_eq!(state, StepStatus::Intended);
                }
                state = next;
            }
        }
    }

    #[test]
    fn words_read_back() {
        for state in STATES {
            assert_eq!(StepStatus::parse(state.as_str()), Some(state));
        }
        assert_eq!(StepStatus::parse("finished"), None);
    }
}
