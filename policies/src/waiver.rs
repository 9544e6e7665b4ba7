//! Waivers: violations that somebody accepted, with a name, a reason and a last day.
//!
//! A waiver changes the status of a finding, never hides it. One whose last day has passed gives its findings back and
//! says so; one that matches nothing is reported, since it is either done with or written wrongly. What could not be
//! evaluated is not waived: nobody can accept what nobody knows.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use atrest_model::finding::{AppliedWaiver, Finding, FindingStatus};
use atrest_model::scan::{WaiverNote, WaiverNoteKind};
use globset::{Glob, GlobMatcher};
use jiff::civil::Date;
use serde::Deserialize;
use toml::Spanned;

/// The waivers of one file.
#[derive(Debug, Default)]
pub struct Waivers {
    list: Vec<Waiver>,
}

#[derive(Debug)]
struct Waiver {
    place: Place,
    policy: String,
    matches: Matches,
    owner: String,
    reason: String,
    expires: Date,
}

/// What a waiver covers; all that are given must match.
#[derive(Debug)]
struct Matches {
    resource: Option<Resource>,
    account: Option<String>,
    region: Option<GlobMatcher>,
    tags: BTreeMap<String, GlobMatcher>,
}

#[derive(Debug)]
enum Resource {
    Arn(GlobMatcher),
    Identifier(GlobMatcher),
}

/// File and line.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    file: PathBuf,
    line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// A file of waivers that cannot be used. Nothing of it is.
#[derive(Debug, thiserror::Error)]
pub enum InvalidWaivers {
    /// Not TOML of the right form.
    #[error("{}: {error}", file.display())]
    Form {
        /// The file.
        file: PathBuf,
        /// What is wrong, with the line.
        error: Box<toml::de::Error>,
    },
    /// One waiver says something that cannot be.
    #[error("{place}: {what}")]
    Value {
        /// File and line.
        place: String,
        /// What is wrong.
        what: String,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    waivers: Vec<Spanned<Entry>>,
}

#[derive(Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Entry {
    policy: String,
    resource: Option<String>,
    account: Option<String>,
    region: Option<String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    owner: String,
    reason: String,
    expires: toml::value::Datetime,
}

impl Waivers {
    /// Reads the text of a file. `known` says whether a policy of that id exists.
    ///
    /// # Errors
    ///
    /// [`InvalidWaivers`], with the line: unknown keys and policies, a waiver for everything, one without owner or
    /// reason, a bad pattern, two for the same thing.
    pub fn parse(
        file: &Path,
        text: &str,
        known: impl Fn(&str) -> bool,
    ) -> Result<Self, InvalidWaivers> {
        let read: File = toml::from_str(text).map_err(|error| InvalidWaivers::Form {
            file: file.to_owned(),
            error: Box::new(error),
        })?;
        let place = |entry: &Spanned<Entry>| Place {
            file: file.to_owned(),
            line: 1 + text
                .get(..entry.span().start)
                .map_or(0, |before| before.matches('\n').count()),
        };
        let mut list: Vec<Waiver> = Vec::new();
        for (at, entry) in read.waivers.iter().enumerate() {
            let here = place(entry);
            let refused = |what: String| InvalidWaivers::Value {
                place: here.to_string(),
                what,
            };
            let entry = entry.get_ref();
            if !known(&entry.policy) {
                return Err(refused(format!("there is no policy {:?}", entry.policy)));
            }
            let same = |other: &Entry| {
                (
                    &other.policy,
                    &other.resource,
                    &other.account,
                    &other.region,
                    &other.tags,
                ) == (
                    &entry.policy,
                    &entry.resource,
                    &entry.account,
                    &entry.region,
                    &entry.tags,
                )
            };
            if let Some(twin) = read
                .waivers
                .iter()
                .take(at)
                .find(|other| same(other.get_ref()))
            {
                return Err(refused(format!(
                    "line {} waives the same already",
                    place(twin).line
                )));
            }
            list.push(Waiver::new(entry, here.clone()).map_err(refused)?);
        }
        Ok(Self { list })
    }

    /// Whether any asks for the tags of a resource.
    #[must_use]
    pub fn ask_for_tags(&self) -> bool {
        self.list
            .iter()
            .any(|waiver| !waiver.matches.tags.is_empty())
    }

    /// Marks the violations that are covered on `today` (UTC), and tells which waivers did not hold. `tags` gives the
    /// tags of a resource by ARN.
    pub fn apply<'a>(
        &self,
        findings: &mut [Finding],
        today: Date,
        tags: impl Fn(&str) -> BTreeMap<&'a str, &'a str>,
    ) -> Vec<WaiverNote> {
        let mut used = vec![false; self.list.len()];
        let mut back: Vec<Vec<String>> = vec![Vec::new(); self.list.len()];
        for finding in findings.iter_mut() {
            let tags = tags(&finding.resource);
            let mut covered = None;
            let mut expired = Vec::new();
            for (at, waiver) in self.list.iter().enumerate() {
                if !waiver.covers(finding, &tags) {
                    continue;
                }
                if let Some(used) = used.get_mut(at) {
                    *used = true;
                }
                if waiver.expires < today {
                    expired.push(at);
                } else if covered.is_none() {
                    covered = Some(waiver);
                }
            }
            if finding.status != FindingStatus::Fail {
                continue;
            }
            match covered {
                Some(waiver) => {
                    finding.status = FindingStatus::Waived;
                    finding.waiver = Some(AppliedWaiver {
                        owner: waiver.owner.clone(),
                        reason: waiver.reason.clone(),
                        expires: waiver.expires,
                    });
                }
                None => {
                    for at in expired {
                        if let Some(back) = back.get_mut(at) {
                            back.push(finding.id.clone());
                        }
                    }
                }
            }
        }
        self.list
            .iter()
            .zip(used)
            .zip(back)
            .filter_map(|((waiver, used), findings)| {
                let kind = match (used, findings.is_empty()) {
                    (false, _) => WaiverNoteKind::Unused,
                    (true, false) => WaiverNoteKind::Expired,
                    (true, true) => return None,
                };
                Some(waiver.note(kind, findings))
            })
            .collect()
    }
}

impl Waiver {
    fn new(entry: &Entry, place: Place) -> Result<Self, String> {
        if entry.resource.is_none() && entry.tags.is_empty() {
            return Err(
                "it names neither resource nor tags, and would waive everything".to_owned(),
            );
        }
        for (name, value) in [("owner", &entry.owner), ("reason", &entry.reason)] {
            if value.trim().is_empty() {
                return Err(format!("{name} is empty"));
            }
        }
        let glob = |name: &str, pattern: &str| {
            Glob::new(pattern)
                .map(|glob| glob.compile_matcher())
                .map_err(|error| format!("{name}: {error}"))
        };
        let resource = match &entry.resource {
            None => None,
            Some(pattern) if pattern.starts_with("arn:") => {
                Some(Resource::Arn(glob("resource", pattern)?))
            }
            Some(pattern) => Some(Resource::Identifier(glob(
                "resource",
                &pattern.to_ascii_lowercase(),
            )?)),
        };
        let region = entry
            .region
            .as_deref()
            .map(|pattern| glob("region", pattern));
        let tags = entry
            .tags
            .iter()
            .map(|(key, pattern)| Ok((key.clone(), glob(&format!("tags.{key}"), pattern)?)));
        let expires = match (entry.expires.date, entry.expires.time) {
            (Some(date), None) => Date::new(
                i16::try_from(date.year).map_err(|error| error.to_string())?,
                i8::try_from(date.month).map_err(|error| error.to_string())?,
                i8::try_from(date.day).map_err(|error| error.to_string())?,
            )
            .map_err(|error| format!("expires: {error}"))?,
            _ => return Err("expires is a date, such as 2027-03-31".to_owned()),
        };
        Ok(Self {
            place,
            policy: entry.policy.clone(),
            matches: Matches {
                resource,
                account: entry.account.clone(),
                region: region.transpose()?,
                tags: tags.collect::<Result<_, String>>()?,
            },
            owner: entry.owner.clone(),
            reason: entry.reason.clone(),
            expires,
        })
    }

    fn covers(&self, finding: &Finding, tags: &BTreeMap<&str, &str>) -> bool {
        // arn:PARTITION:SERVICE:REGION:ACCOUNT:KIND:NAME
        let mut parts = finding.resource.splitn(7, ':').skip(3);
        let (region, account) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        let identifier = parts.nth(1).unwrap_or_default();
        let matches = &self.matches;
        self.policy == finding.policy
            && matches.resource.as_ref().is_none_or(|glob| match glob {
                Resource::Arn(glob) => glob.is_match(&finding.resource),
                Resource::Identifier(glob) => glob.is_match(identifier.to_ascii_lowercase()),
            })
            && matches
                .account
                .as_deref()
                .is_none_or(|wanted| wanted == account)
            && matches
                .region
                .as_ref()
                .is_none_or(|glob| glob.is_match(region))
            && matches.tags.iter().all(|(key, glob)| {
                tags.get(key.as_str())
                    .is_some_and(|value| glob.is_match(value))
            })
    }

    fn note(&self, kind: WaiverNoteKind, findings: Vec<String>) -> WaiverNote {
        WaiverNote {
            kind,
            place: self.place.to_string(),
            policy: self.policy.clone(),
            owner: self.owner.clone(),
            expires: self.expires,
            findings,
        }
    }
}

#[cfg(test)]
mod tests {
    use atrest_model::finding::{ControlList, Severity};
    use jiff::civil::date;

    use super::*;

    const POLICY: &str = "storage-unencrypted";

    fn waivers(text: &str) -> Result<Waivers, String> {
        Waivers::parse(Path::new("waivers.toml"), text, |id| id == POLICY)
            .map_err(|error| error.to_string())
    }

    fn entry(more: &str) -> String {
        format!(
            "[[waivers]]\npolicy = \"{POLICY}\"\nowner = \"dba@example.com\"\nreason = \"goes away with the old shop\"\n\
             expires = 2027-03-31\n{more}\n"
        )
    }

    fn finding(name: &str, status: FindingStatus) -> Finding {
        let resource = format!("arn:aws:rds:eu-central-1:111122223333:db:{name}");
        Finding {
            id: Finding::stable_id(POLICY, &resource),
            policy: POLICY.to_owned(),
            severity: Severity::High,
            status,
            reason: String::new(),
            resource,
            controls: ControlList::default(),
            waiver: None,
            change: None,
        }
    }

    fn statuses(
        waivers: &Waivers,
        today: Date,
        findings: &mut [Finding],
    ) -> (Vec<FindingStatus>, Vec<WaiverNote>) {
        let notes = waivers.apply(findings, today, |arn| match arn.rsplit(':').next() {
            Some("tagged") => [("env", "dev-7")].into(),
            _ => BTreeMap::new(),
        });
        (findings.iter().map(|f| f.status).collect(), notes)
    }

    #[test]
    fn a_waiver_covers_by_name_arn_tag_account_and_region() {
        use FindingStatus::{Fail, Waived};
        let cases = [
            ("resource = \"legacy-*\"", [Waived, Fail, Fail]),
            ("resource = \"Legacy-shop\"", [Waived, Fail, Fail]),
            ("resource = \"legacy\"", [Fail, Fail, Fail]),
            (
                "resource = \"arn:aws:rds:*:111122223333:db:*\"",
                [Waived, Waived, Waived],
            ),
            ("tags = { env = \"dev-*\" }", [Fail, Waived, Fail]),
            ("resource = \"*\"\nregion = \"us-*\"", [Fail, Fail, Fail]),
            (
                "resource = \"*\"\nregion = \"eu-*\"\naccount = \"111122223333\"",
                [Waived, Waived, Waived],
            ),
            (
                "resource = \"*\"\naccount = \"999900001111\"",
                [Fail, Fail, Fail],
            ),
        ];
        for (more, expected) in cases {
            let mut findings = ["legacy-shop", "tagged", "other"].map(|name| finding(name, Fail));
            let (statuses, _) = statuses(
                &waivers(&entry(more)).unwrap(),
                date(2026, 11, 24),
                &mut findings,
            );
            assert_eq!(statuses, expected, "{more}");
        }
    }

    #[test]
    fn a_waiver_holds_through_its_last_day_and_then_gives_the_finding_back() {
        let waivers = waivers(&entry("resource = \"legacy-*\"")).unwrap();
        let mut findings = [finding("legacy-shop", FindingStatus::Fail)];
        let (held, notes) = statuses(&waivers, date(2027, 3, 31), &mut findings);
        assert_eq!((held, notes), (vec![FindingStatus::Waived], Vec::new()));
        let by = findings[0].waiver.as_ref().unwrap();
        assert_eq!(
            (by.owner.as_str(), by.expires),
            ("dba@example.com", date(2027, 3, 31))
        );

        let mut findings = [finding("legacy-shop", FindingStatus::Fail)];
        let (back, notes) = statuses(&waivers, date(2027, 4, 1), &mut findings);
        assert_eq!(back, [FindingStatus::Fail]);
        assert_eq!(notes[0].kind, WaiverNoteKind::Expired);
        assert_eq!(notes[0].findings, [findings[0].id.clone()]);
        assert_eq!(notes[0].place, "waivers.toml:1");
    }

    #[test]
    fn an_unused_waiver_is_reported_and_the_unknown_is_never_waived() {
        let text = format!(
            "{}{}",
            entry("resource = \"legacy-*\""),
            entry("resource = \"gone\"")
        );
        let waivers = waivers(&text).unwrap();
        let mut findings = [finding("legacy-shop", FindingStatus::NotEvaluated)];
        let (statuses, notes) = statuses(&waivers, date(2026, 11, 24), &mut findings);
        assert_eq!(statuses, [FindingStatus::NotEvaluated]);
        assert_eq!(notes.len(), 1);
        assert_eq!(
            (notes[0].kind, notes[0].place.as_str()),
            (WaiverNoteKind::Unused, "waivers.toml:7")
        );
    }

    #[test]
    fn of_two_waivers_for_one_finding_the_first_that_holds_is_named_and_neither_is_unused() {
        let expired = entry("resource = \"legacy-*\"").replace("2027-03-31", "2020-01-01");
        let text = format!(
            "{expired}{}{}",
            entry("resource = \"legacy-shop\""),
            entry("resource = \"*-shop\"").replace("dba@", "other@")
        );
        let mut findings = [finding("legacy-shop", FindingStatus::Fail)];
        let waivers = waivers(&text).unwrap();
        let (held, notes) = statuses(&waivers, date(2026, 11, 24), &mut findings);
        assert_eq!((held, notes), (vec![FindingStatus::Waived], Vec::new()));
        let by = findings[0].waiver.as_ref().unwrap();
        assert_eq!(by.owner, "dba@example.com");
    }

    #[test]
    fn bad_files_name_the_line_and_the_thing() {
        let error = |text: &str| waivers(text).unwrap_err();
        assert_eq!(
            error(&entry("")),
            "waivers.toml:1: it names neither resource nor tags, and would waive everything"
        );
        let twice = format!("{0}{0}", entry("resource = \"a\""));
        assert_eq!(
            error(&twice),
            "waivers.toml:7: line 1 waives the same already"
        );
        assert!(error(&entry("resource = \"a[\"")).starts_with("waivers.toml:1: resource: "));
        assert!(
            error(&entry("resource = \"a\"").replace(POLICY, "storage-unencripted"))
                .contains("there is no policy \"storage-unencripted\"")
        );
        let unknown_key = error(&entry("ressource = \"a\""));
        assert!(
            unknown_key.contains("ressource") && unknown_key.contains("line 6"),
            "{unknown_key}"
        );
        assert!(
            error(&entry("resource = \"a\"").replace("2027-03-31", "2027-03-31T00:00:00Z"))
                .contains("expires is a date")
        );
        assert!(
            error(&entry("resource = \"a\"").replace("2027-03-31", "2027-02-30"))
                .contains("line 5")
        );
        assert!(
            error(&entry("resource = \"a\"").replace("dba@example.com", " "))
                .contains("owner is empty")
        );
        assert!(waivers("").unwrap().list.is_empty());
    }
}
