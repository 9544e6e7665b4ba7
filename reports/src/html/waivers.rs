//! What somebody accepted, until when, and what of it did not hold.

use std::borrow::Cow;
use std::collections::BTreeMap;

use askama::Template;
use atrest_model::scan::{ScanReport, WaiverNoteKind};
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::{Mood, shown};
use crate::text::count;

/// So many days before its end a waiver is worth a look.
const SOON: i32 = 30;

#[derive(Template)]
#[template(path = "waivers.html")]
pub(super) struct Waivers<'a> {
    held: Vec<Held<'a>>,
    notes: Vec<Note<'a>>,
}

impl Waivers<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty() && self.notes.is_empty()
    }
}

struct Held<'a> {
    policy: Cow<'a, str>,
    expires: Date,
    left: String,
    mood: &'static str,
    findings: usize,
    owner: Cow<'a, str>,
    reason: Cow<'a, str>,
}

struct Note<'a> {
    kind: &'static str,
    policy: Cow<'a, str>,
    owner: Cow<'a, str>,
    expires: Date,
    findings: usize,
    place: Cow<'a, str>,
}

pub(super) fn waivers(report: &ScanReport) -> Waivers<'_> {
    let today = TimeZone::UTC.to_datetime(report.started).date();
    // One waiver covers many findings.
    let mut held: BTreeMap<(Date, &str, &str, &str), usize> = BTreeMap::new();
    for finding in &report.findings {
        if let Some(waiver) = &finding.waiver {
            let key = (
                waiver.expires,
                finding.policy.as_str(),
                waiver.owner.as_str(),
                waiver.reason.as_str(),
            );
            *held.entry(key).or_default() += 1;
        }
    }
    let held = held
        .into_iter()
        .map(|((expires, policy, owner, reason), findings)| {
            let days = expires.since(today).map_or(0, |span| span.get_days());
            Held {
                policy: shown(policy),
                expires,
                left: match usize::try_from(days) {
                    Err(_past) => "ended".to_owned(),
                    Ok(0) => "ends today".to_owned(),
                    Ok(days) => count(days, "day", "days"),
                },
                mood: if days <= SOON { Mood::Odd.class() } else { "" },
                findings,
                owner: shown(owner),
                reason: shown(reason),
            }
        })
        .collect();
    let notes = report
        .waiver_notes
        .iter()
        .map(|note| Note {
            kind: match note.kind {
                WaiverNoteKind::Expired => "expired",
                WaiverNoteKind::Unused => "matches nothing",
            },
            policy: shown(&note.policy),
            owner: shown(&note.owner),
            expires: note.expires,
            findings: note.findings.len(),
            place: shown(&note.place),
        })
        .collect();
    Waivers { held, notes }
}
