//! Shards of a scan: an organization, cut into accounts × regions that several processes read.
//!
//! A plan names every shard, a batch file holds what was read of some of them, and nothing in it is a verdict; see
//! docs/design/0011-shards.md. Both are JSON Lines. Digests find what was cut or edited, not what was forged.

use std::collections::BTreeSet;
use std::io::{self, BufRead, Write};
use std::ops::Range;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::Digest as _;

use crate::Tool;
use crate::document::hex;
use crate::keep::Keep;
use crate::key::KeyState;
use crate::resource::{GroupKind, ParameterGroup};
use crate::scan::ResourceKind;

/// Version of the lines of plans and batch files.
pub const FORMAT_VERSION: u32 = 1;

/// Stands for the regions of an account of which none could be learned.
pub const EVERY_REGION: &str = "*";

/// One line of a shard plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ShardPlanLine {
    /// The first line.
    Plan(ShardPlanHeader),
    /// Every other one.
    Shard(Shard),
}

/// What a shard plan was made for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShardPlanHeader {
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// SHA-256 of the plan, in hex: of this line with an empty id, and of all others.
    pub id: String,
    /// Who wrote it. Batches are read and merged by the same version.
    pub tool: Tool,
    /// When it was made; the merged report has begun then.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub created: Timestamp,
    /// How many shards follow.
    pub shards: usize,
    /// What is asked of each of them.
    pub asked: Asked,
}

/// What is read of every shard, and for whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Asked {
    /// Ids of the policies that the merge will ask.
    pub policies: BTreeSet<String>,
    /// Those that were named with `--only`; empty when nothing was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// Kinds of resources.
    pub kinds: BTreeSet<ResourceKind>,
    /// Members of answers that are kept beside those that built-in policies look at; absent for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub also_kept: Option<BTreeSet<String>>,
    /// Whether a policy asks about the KMS keys that something names: they are read then.
    pub keys: bool,
    /// Whether one asks about parameter groups.
    pub parameter_groups: bool,
    /// Role that is assumed in each account, with its path.
    pub role_name: String,
    /// `ExternalId` that the role asks for. AWS does not treat it as a secret.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
}

impl Asked {
    /// What is kept, as a scan needs it.
    #[must_use]
    pub fn keep(&self) -> Keep {
        Keep::looked_at().and(self.also_kept.clone())
    }
}

/// One account × region.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Shard {
    /// `ACCOUNT/REGION`, the same every night; `profile:NAME/*` where not even the account is known.
    pub id: String,
    /// Account id; empty when not even that could be learned.
    pub account: String,
    /// Region name; [`EVERY_REGION`] where the regions could not be learned.
    pub region: String,
    /// How the account is reached.
    pub way: ShardWay,
}

/// How an account is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum ShardWay {
    /// With the caller's own credentials.
    Own,
    /// By the role of the plan.
    Role,
    /// With a profile.
    Profile {
        /// Its name.
        name: String,
    },
    /// Not at all.
    None {
        /// Why.
        reason: String,
    },
}

/// All shards of a scan, sorted by account and region.
#[derive(Debug, Clone, PartialEq)]
pub struct ShardPlan {
    /// The first line.
    pub header: ShardPlanHeader,
    /// The others.
    pub shards: Vec<Shard>,
}

/// A shard plan that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ShardPlanError {
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// It is something else, or cut.
    #[error("it is no shard plan: {0}")]
    Form(String),
    /// A newer version wrote it.
    #[error("its format version is {0}; this version reads up to {FORMAT_VERSION}")]
    Newer(u64),
    /// It is not what was written.
    #[error("it was changed after it was written: its digest is not its id")]
    Changed,
}

impl ShardPlan {
    /// A plan of these shards, which are put in order.
    ///
    /// # Errors
    ///
    /// Two shards with one id: one of them would never be missed.
    pub fn new(
        created: Timestamp,
        asked: Asked,
        mut shards: Vec<Shard>,
    ) -> Result<Self, ShardPlanError> {
        shards.sort_by(|a, b| (&a.account, &a.region, &a.id).cmp(&(&b.account, &b.region, &b.id)));
        check_ids(&shards)?;
        let mut plan = Self {
            header: ShardPlanHeader {
                format_version: FORMAT_VERSION,
                id: String::new(),
                tool: Tool::current(),
                created,
                shards: shards.len(),
                asked,
            },
            shards,
        };
        let mut digest = LineDigest::default();
        plan.write(&mut digest)?;
        plan.header.id = digest.hex();
        Ok(plan)
    }

    /// Writes it as JSON Lines.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        write_line(&ShardPlanLine::Plan(self.header.clone()), out)?;
        for shard in &self.shards {
            write_line(&ShardPlanLine::Shard(shard.clone()), out)?;
        }
        Ok(())
    }

    /// Reads it, and checks that it is what was written.
    ///
    /// # Errors
    ///
    /// [`ShardPlanError`].
    pub fn read(input: &mut dyn BufRead) -> Result<Self, ShardPlanError> {
        let wrong = |why: &str| ShardPlanError::Form(why.to_owned());
        let mut lines = input.lines();
        let first = lines.next().ok_or_else(|| wrong("it is empty"))??;
        if let Some(found) = newer(&first) {
            return Err(ShardPlanError::Newer(found));
        }
        let header = match serde_json::from_str(&first) {
            Ok(ShardPlanLine::Plan(header)) => header,
            Ok(ShardPlanLine::Shard(_)) => return Err(wrong("its first line is a shard")),
            Err(error) => return Err(ShardPlanError::Form(format!("its first line: {error}"))),
        };
        let mut digest = LineDigest::default();
        let mut unnamed = header.clone();
        unnamed.id.clear();
        write_line(&ShardPlanLine::Plan(unnamed), &mut digest)?;
        let mut shards = Vec::new();
        for (index, line) in lines.enumerate() {
            let line = line?;
            match serde_json::from_str(&line) {
                Ok(ShardPlanLine::Shard(shard)) => shards.push(shard),
                Ok(ShardPlanLine::Plan(_)) => return Err(wrong("it holds two plans")),
                Err(error) => {
                    return Err(ShardPlanError::Form(format!("line {}: {error}", index + 2)));
                }
            }
            digest.line(line.as_bytes());
        }
        if shards.len() != header.shards {
            return Err(ShardPlanError::Form(format!(
                "it holds {} shards and should hold {}",
                shards.len(),
                header.shards
            )));
        }
        // What is in the first line and no member of it would be in no digest.
        let mut again = Vec::new();
        write_line(&ShardPlanLine::Plan(header.clone()), &mut again)?;
        if again.strip_suffix(b"\n") != Some(first.as_bytes()) || digest.hex() != header.id {
            return Err(ShardPlanError::Changed);
        }
        check_ids(&shards)?;
        Ok(Self { header, shards })
    }

    /// The shards of one of `count` batches of the same size, give or take one. They lie side by side, so that an account
    /// is entered by one batch, or two.
    #[must_use]
    pub fn batch(&self, index: usize, count: usize) -> Range<usize> {
        let border = |index: usize| {
            // More shards than fit into 64 bits do not fit into memory either.
            let border = self.shards.len() as u128 * index as u128 / count.max(1) as u128;
            usize::try_from(border).unwrap_or(self.shards.len())
        };
        border(index)..border(index + 1)
    }
}

fn check_ids(shards: &[Shard]) -> Result<(), ShardPlanError> {
    let mut ids = BTreeSet::new();
    match shards.iter().find(|shard| !ids.insert(&shard.id)) {
        None => Ok(()),
        Some(twice) => Err(ShardPlanError::Form(format!(
            "shard {} is in it twice",
            twice.id
        ))),
    }
}

/// The format version of a line, where it is newer than what is known.
#[must_use]
pub fn newer(line: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Version {
        format_version: Option<u64>,
    }
    let version: Version = serde_json::from_str(line).ok()?;
    version
        .format_version
        .filter(|found| *found > u64::from(FORMAT_VERSION))
}

/// One line of a batch file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum BatchLine {
    /// The first line.
    Batch(BatchHeader),
    /// A shard that was read, or could not be.
    Shard(ShardRead),
    /// The last line: without it the batch is not whole.
    End(BatchEnd),
}

/// Which batch of which plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BatchHeader {
    /// [`FORMAT_VERSION`].
    pub format_version: u32,
    /// Id of the plan.
    pub plan: String,
    /// Who wrote it.
    pub tool: Tool,
    /// Number of the batch, from 0.
    pub index: usize,
    /// How many batches there are.
    pub count: usize,
    /// Ids of its shards, in the order of the plan. Their lines come in the order they were read.
    pub shards: Vec<String>,
}

/// The last line of a batch file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BatchEnd {
    /// Lines of shards.
    pub shards: usize,
    /// SHA-256 of everything before this line, in hex.
    pub digest: String,
}

/// What was read of a shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShardRead {
    /// Id of the shard.
    pub shard: String,
    /// Why its account could not be entered; then there is nothing else.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unread: Option<String>,
    /// Its region; all of the account's for a shard of every region.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<RegionRead>,
    /// KMS keys that something in it names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<KeyRead>,
    /// Parameter groups that something in it uses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupRead>,
}

impl ShardRead {
    /// Whether everything could be read. A key or group that could not is a policy that is not evaluated; keys of other
    /// accounts never can, so they are not asked for again.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.unread.is_none()
            && self
                .regions
                .iter()
                .all(|region| region.error.is_none() && region.unread.is_empty())
    }
}

/// What was read of a region.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RegionRead {
    /// Region name.
    pub region: String,
    /// Why nothing of it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Calls of RDS that were throttled.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub throttled: u64,
    /// Kinds that could not be read, or not to their end, where others could.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<KindUnread>,
    /// What is in it, as it was listed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub described: Vec<DescribedDocument>,
}

/// For `skip_serializing_if`, which passes a reference.
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A kind that could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KindUnread {
    /// The kind.
    pub kind: ResourceKind,
    /// Why.
    pub reason: String,
}

/// One described thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DescribedDocument {
    /// What it is.
    pub kind: ResourceKind,
    /// What is kept of the answer.
    pub document: Value,
}

/// A key and what is known of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRead {
    /// Key ARN as it is named.
    pub arn: String,
    /// What is known.
    pub state: KeyState,
}

/// A parameter group and what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct GroupRead {
    /// Region name.
    pub region: String,
    /// Which family.
    pub kind: GroupKind,
    /// Its name.
    pub name: String,
    /// What is known.
    pub group: ParameterGroup,
}

/// Writes one line.
///
/// # Errors
///
/// Those of `out`.
pub fn write_line(line: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    out.write_all(&text)
}

/// SHA-256 of lines, as they are written.
#[derive(Debug, Clone, Default)]
pub struct LineDigest(sha2::Sha256);

impl LineDigest {
    /// Adds a line and its end.
    pub fn line(&mut self, line: &[u8]) {
        self.0.update(line);
        self.0.update(b"\n");
    }

    /// The digest so far, in hex.
    #[must_use]
    pub fn hex(&self) -> String {
        hex(&self.0.clone().finalize())
    }
}

impl Write for LineDigest {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked() -> Asked {
        Asked {
            policies: BTreeSet::from(["storage-unencrypted".to_owned()]),
            only: Vec::new(),
            kinds: BTreeSet::from([ResourceKind::DbInstance]),
            also_kept: Some(BTreeSet::new()),
            keys: true,
            parameter_groups: false,
            role_name: "atrest-scan".to_owned(),
            external_id: None,
        }
    }

    fn shard(account: &str, region: &str) -> Shard {
        Shard {
            id: format!("{account}/{region}"),
            account: account.to_owned(),
            region: region.to_owned(),
            way: ShardWay::Role,
        }
    }

    fn plan(shards: usize) -> ShardPlan {
        let shards = (0..shards).rev();
        let shards = shards.map(|n| shard(&format!("{n:012}"), "eu-central-1"));
        ShardPlan::new(
            "2026-11-24T02:00:00Z".parse().unwrap(),
            asked(),
            shards.collect(),
        )
        .unwrap()
    }

    fn text(plan: &ShardPlan) -> String {
        let mut text = Vec::new();
        plan.write(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    fn read(text: &str) -> Result<ShardPlan, ShardPlanError> {
        ShardPlan::read(&mut text.as_bytes())
    }

    #[test]
    fn a_plan_is_read_as_it_was_written_and_is_in_order() {
        let plan = plan(3);
        assert_eq!(read(&text(&plan)).unwrap(), plan);
        assert!(plan.shards.is_sorted_by(|a, b| a.account < b.account));
        assert_eq!(plan.header.id.len(), 64);
    }

    #[test]
    fn every_edit_of_a_plan_is_noticed() {
        let text = text(&plan(3));
        let line = "{\"type\":\"shard\",\"id\":\"x/y\",\"account\":\"x\",\"region\":\"y\",\"way\":{\"by\":\"own\"}}\n";
        let edits = [
            text.replace("eu-central-1", "eu-west-1"),
            text.replace("atrest-scan", "admin"),
            text.replace("{\"type\":\"plan\",", "{\"type\":\"plan\",\"note\":1,"),
            text.replace("2026-11-24", "2026-11-25"),
            text.replace("\"by\":\"role\"", "\"by\":\"own\""),
            text.replacen("000000000002", "000000000001", 1),
            text.lines().take(3).collect::<Vec<_>>().join("\n"),
            text.clone() + line,
            text.clone() + "\n",
            text.get(..text.len() - 9).unwrap().to_owned(),
            String::new(),
            "[]".to_owned(),
            line.to_owned(),
        ];
        for edited in edits {
            assert_ne!(edited, text);
            assert!(read(&edited).is_err(), "{edited}");
        }
    }

    #[test]
    fn a_newer_plan_says_that_it_is_newer() {
        let text = text(&plan(1)).replace("\"format_version\":1", "\"format_version\":2");
        let error = read(&text).unwrap_err();
        assert!(matches!(error, ShardPlanError::Newer(2)), "{error}");
    }

    #[test]
    fn a_shard_is_planned_once() {
        let twice = vec![shard("1", "a"), shard("1", "a")];
        let created = Timestamp::UNIX_EPOCH;
        let error = ShardPlan::new(created, asked(), twice).unwrap_err();
        assert!(error.to_string().contains("1/a is in it twice"), "{error}");
    }

    #[test]
    fn batches_cover_every_shard_once_and_are_even() {
        for shards in [0, 1, 7, 40, 85] {
            let plan = plan(shards);
            for count in [1, 2, 3, 8, 40, 100] {
                let batches: Vec<_> = (0..count).map(|index| plan.batch(index, count)).collect();
                let all: Vec<usize> = batches.iter().cloned().flatten().collect();
                assert_eq!(all, (0..shards).collect::<Vec<_>>());
                let sizes = batches.iter().map(Range::len);
                assert!(sizes.clone().max().unwrap() - sizes.min().unwrap() <= 1);
            }
        }
    }
}
