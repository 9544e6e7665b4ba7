//! The audit trail: the journal as JSON Lines, each line bound to the one before by its hash.
//!
//! The hash of a line is the SHA-256 of its bytes up to `,"hash":`. These include the previous line's hash, so that a
//! line that was changed, removed, added or moved breaks the chain there. The first line names the run and its plan,
//! the last one says how many there are: a file that was cut lacks it. See docs/formats.md.

use std::io::{self, BufRead, Write};

use atrest_model::document::hex;
use serde::Deserialize;
use serde_json::Value;
use sha2::Digest as _;

/// Version of the lines.
pub const TRAIL_VERSION: u32 = 1;

const HASH: &str = ",\"hash\":\"";
const ENTRIES: &str = "entries";

/// A line without its hash, and the hash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    body: String,
    pub(super) hash: String,
}

impl Link {
    /// Binds members, given as JSON text without braces, to the line before; an empty `previous` begins a chain.
    fn new(previous: &str, members: &str) -> Self {
        let body = format!("{{\"previous\":\"{previous}\",{members}");
        let hash = hex(&sha2::Sha256::digest(body.as_bytes()));
        Self { body, hash }
    }

    /// The first line.
    pub(super) fn head(head: &Head<'_>) -> Self {
        let members = format!(
            "\"schema_version\":{TRAIL_VERSION},\"run\":{},\"plan_digest\":{},\"claim\":{},\"adopted\":{}",
            text(head.run),
            text(head.plan_digest),
            text(head.claim),
            head.adopted
        );
        Self::new("", &members)
    }

    /// A record of the journal. `detail` is JSON text.
    pub(super) fn entry(previous: &str, entry: &Line<'_>) -> Self {
        let members = format!(
            "\"seq\":{},\"at\":{},\"migration\":{},\"step\":{},\"event\":{},\"status\":{},\"detail\":{}",
            entry.seq,
            text(entry.at),
            text(entry.migration),
            text(entry.step),
            text(entry.event),
            text(entry.status),
            entry.detail
        );
        Self::new(previous, &members)
    }

    /// The last line.
    pub(super) fn end(previous: &str, entries: u64) -> Self {
        Self::new(previous, &format!("\"{ENTRIES}\":{entries}"))
    }

    /// The line.
    pub(super) fn text(&self) -> String {
        format!("{}{HASH}{}\"}}", self.body, self.hash)
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.text())
    }
}

/// A record read back from its line, on its own.
#[derive(Debug, Deserialize)]
pub(super) struct Record {
    pub(super) seq: i64,
    pub(super) at: String,
    pub(super) migration: String,
    pub(super) step: String,
    pub(super) event: String,
    pub(super) status: String,
    /// JSON text, as it was written.
    #[serde(skip)]
    pub(super) detail: String,
    #[serde(skip)]
    pub(super) hash: String,
}

impl Record {
    /// Reads a line. Its hash must fit; what it follows is not looked at.
    pub(super) fn read(line: &str) -> Result<Self, &'static str> {
        let (body, rest) = line.rsplit_once(HASH).ok_or("it has no hash")?;
        let hash = rest
            .strip_suffix("\"}")
            .ok_or("it does not end with its hash")?;
        if hash != hex(&sha2::Sha256::digest(body.as_bytes())) {
            return Err("its hash does not fit its text");
        }
        let mut record: Self = serde_json::from_str(line).map_err(|_bad| "it is not a record")?;
        // Taken as text: numbers read and written again may be others. Within a string there is a backslash before a quote.
        let (_before, detail) = body.split_once(",\"detail\":").ok_or("it has no detail")?;
        detail.clone_into(&mut record.detail);
        hash.clone_into(&mut record.hash);
        Ok(record)
    }
}

/// What the first line says.
#[derive(Debug)]
pub(super) struct Head<'a> {
    pub(super) run: &'a str,
    pub(super) plan_digest: &'a str,
    /// Empty for a run that has none.
    pub(super) claim: &'a str,
    pub(super) adopted: bool,
}

/// A record as the journal keeps it: texts.
#[derive(Debug)]
pub(super) struct Line<'a> {
    pub(super) seq: i64,
    pub(super) at: &'a str,
    pub(super) migration: &'a str,
    pub(super) step: &'a str,
    pub(super) event: &'a str,
    pub(super) status: &'a str,
    pub(super) detail: &'a str,
}

fn text(text: &str) -> String {
    Value::from(text).to_string()
}

/// Writes the whole trail.
pub(super) fn write<'a>(
    head: &Link,
    lines: impl IntoIterator<Item = Line<'a>>,
    out: &mut dyn Write,
) -> io::Result<()> {
    head.write(out)?;
    let mut previous = head.hash.clone();
    let mut entries = 0;
    for line in lines {
        let link = Link::entry(&previous, &line);
        link.write(out)?;
        previous = link.hash;
        entries += 1;
    }
    Link::end(&previous, entries).write(out)
}

/// What a trail that holds together says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The run.
    pub run: String,
    /// Records.
    pub entries: u64,
    /// Hash of the last line: two copies of one trail have the same.
    pub hash: String,
}

/// Where a trail does not hold together.
#[derive(Debug, thiserror::Error)]
pub enum BrokenTrail {
    /// A line is not what was written.
    #[error("line {line} is broken: {why}")]
    Line {
        /// Line number, from 1.
        line: u64,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The last line is missing.
    #[error("the trail is cut after line {after}")]
    Cut {
        /// The last line there is.
        after: u64,
    },
    /// The file cannot be read.
    #[error("cannot read line {line}: {source}")]
    Io {
        /// Line number, from 1.
        line: u64,
        /// Why not.
        source: io::Error,
    },
}

/// Checks a trail and names the first line that is broken.
///
/// # Errors
///
/// [`BrokenTrail`].
pub fn verify(trail: impl BufRead) -> Result<Verified, BrokenTrail> {
    let mut number = 0;
    let mut previous = String::new();
    let mut run = String::new();
    let mut ended = None;
    for bytes in trail.split(b'\n') {
        number += 1;
        let broken = |why| BrokenTrail::Line { line: number, why };
        let bytes = bytes.map_err(|source| BrokenTrail::Io {
            line: number,
            source,
        })?;
        if ended.is_some() {
            return Err(broken("there is something after the last line"));
        }
        let line = str::from_utf8(&bytes).map_err(|_bad| broken("it is not UTF-8"))?;
        let (body, rest) = line
            .rsplit_once(HASH)
            .ok_or_else(|| broken("it has no hash"))?;
        let hash = rest
            .strip_suffix("\"}")
            .ok_or_else(|| broken("it does not end with its hash"))?;
        if hash != hex(&sha2::Sha256::digest(body.as_bytes())) {
            return Err(broken("its hash does not fit its text"));
        }
        let value: Value = serde_json::from_str(line).map_err(|_bad| broken("it is not JSON"))?;
        if value.get("previous").and_then(Value::as_str) != Some(&previous) {
            return Err(broken("it does not follow the line before it"));
        }
        hash.clone_into(&mut previous);
        if number == 1 {
            let version = value.get("schema_version").and_then(Value::as_u64);
            if version != Some(u64::from(TRAIL_VERSION)) {
                return Err(broken(
                    "it is not the first line of a trail of this version",
                ));
            }
            let name = value.get("run").and_then(Value::as_str);
            name.unwrap_or_default().clone_into(&mut run);
            continue;
        }
        if let Some(count) = value.get(ENTRIES) {
            // The first line and this one are no records.
            if count.as_u64() != Some(number - 2) {
                return Err(broken("the number of records is another"));
            }
            ended = Some(number - 2);
        } else if value.get("seq").and_then(Value::as_u64) != Some(number - 1) {
            return Err(broken("records are missing before it"));
        }
    }
    let entries = ended.ok_or(BrokenTrail::Cut { after: number })?;
    Ok(Verified {
        run,
        entries,
        hash: previous,
    })
}
