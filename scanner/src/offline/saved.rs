//! One file of saved output.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, SeekFrom};
use std::path::Path;

use atrest_model::document::{bool_of, str_of};
use atrest_model::keep::Keep;
use atrest_model::key::{KeyFacts, Rotation, account_of, region_of};
use atrest_model::resource::{DescribedRef, PARAMETERS, arn_member};
use atrest_model::scan::ResourceKind;
use serde::de::{
    DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use serde_json::Value;

use super::item::Item;
use super::{OfflineError, place};
use crate::inventory::Surface;
use crate::packed::{Described, Names, Packed, described};

/// From this size on a file is read in pieces and not whole: one for each core is read at a time.
const LARGE: u64 = 16 << 20;

/// Lists of other describe commands: a tree of saved output may hold them, a scan has no use for them.
const OTHERS: &[&str] = &[
    "AccountQuotas",
    "Aliases",
    "BlueGreenDeployments",
    "Certificates",
    "DBClusterEndpoints",
    "DBClusterParameterGroups",
    "DBEngineVersions",
    "DBParameterGroups",
    "DBProxies",
    "DBSecurityGroups",
    "DBSubnetGroups",
    "EventSubscriptionsList",
    "Events",
    "Keys",
    "OptionGroupsList",
    "OrderableDBInstanceOptions",
    "PendingMaintenanceActions",
    "ReservedDBInstances",
];

/// What a file holds.
#[derive(Debug, Default)]
pub(super) struct Saved {
    /// Described things of the kinds that were asked for.
    pub(super) items: Vec<Described>,
    /// Their documents.
    pub(super) documents: Packed,
    /// Kinds it lists, be it none of them.
    pub(super) kinds: BTreeSet<ResourceKind>,
    /// Kinds whose list goes on in a page that was not saved.
    pub(super) cut: BTreeSet<ResourceKind>,
    /// Whether there is a token for a next page.
    pub(super) is_cut: bool,
    /// `kms describe-key`.
    pub(super) key: Option<KeyFacts>,
    /// `kms get-key-rotation-status`: key and whether it rotates.
    pub(super) rotation: Option<(String, bool)>,
    /// `describe-db-parameters`: those that policies ask for.
    pub(super) parameters: Option<Vec<Value>>,
}

/// The member of an output that lists a kind.
fn list_of(kind: ResourceKind) -> &'static str {
    match kind {
        ResourceKind::DbInstance => "DBInstances",
        ResourceKind::DbCluster => "DBClusters",
        ResourceKind::GlobalCluster => "GlobalClusters",
        ResourceKind::DbSnapshot => "DBSnapshots",
        ResourceKind::DbClusterSnapshot => "DBClusterSnapshots",
        ResourceKind::DbInstanceAutomatedBackup => "DBInstanceAutomatedBackups",
        ResourceKind::DbClusterAutomatedBackup => "DBClusterAutomatedBackups",
        ResourceKind::ExportTask => "ExportTasks",
    }
}

/// The ARN that tells account and region: its own, else that of what it is of.
pub(super) fn placing_arn(kind: ResourceKind, document: &Value) -> Option<&str> {
    let source = match kind {
        ResourceKind::ExportTask => Some("SourceArn"),
        ResourceKind::DbInstanceAutomatedBackup => Some("DBInstanceArn"),
        ResourceKind::DbClusterAutomatedBackup => Some("DBClusterArn"),
        _ => None,
    };
    [arn_member(kind), source]
        .into_iter()
        .flatten()
        .find_map(|member| str_of(document, member))
}

/// Reads a file.
pub(super) fn read(path: &Path, surface: &Surface) -> Result<Saved, OfflineError> {
    let failed = |source| OfflineError::Read {
        path: path.to_owned(),
        source,
    };
    let wrong = |why: String| OfflineError::Form {
        path: path.to_owned(),
        why,
    };
    let mut file = File::open(path).map_err(failed)?;
    let size = file.metadata().map_err(failed)?.len();
    let mut start = Vec::with_capacity(3);
    file.by_ref()
        .take(3)
        .read_to_end(&mut start)
        .map_err(failed)?;
    if start.is_empty() {
        return Err(wrong(
            "it is empty; the command that should have written it has failed".to_owned(),
        ));
    }
    let skipped = if start.starts_with(b"\xef\xbb\xbf") {
        3
    } else {
        0
    };
    file.seek(SeekFrom::Start(skipped)).map_err(failed)?;
    let parsed = if start.starts_with(b"\xff\xfe") || start.starts_with(b"\xfe\xff") {
        // What a redirection in Windows PowerShell writes.
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        let text = utf16(&bytes).ok_or_else(|| wrong("it is not valid UTF-16".to_owned()))?;
        parse(&mut serde_json::Deserializer::from_str(&text), surface)
    } else if size > LARGE {
        let reader = BufReader::with_capacity(1 << 20, file);
        parse(&mut serde_json::Deserializer::from_reader(reader), surface)
    } else {
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(failed)?;
        parse(&mut serde_json::Deserializer::from_slice(&bytes), surface)
    };
    parsed.map_err(|error| {
        if error.is_io() {
            return failed(error.into());
        }
        let cut = if error.is_eof() {
            "it ends in the middle: "
        } else {
            ""
        };
        wrong(format!("{cut}{error}"))
    })
}

/// UTF-16 with a byte order mark, as text.
fn utf16(bytes: &[u8]) -> Option<String> {
    let (mark, rest) = bytes.split_at_checked(2)?;
    let unit = |pair: &[u8]| {
        let pair: [u8; 2] = pair.try_into().ok()?;
        Some(match mark {
            [0xff, 0xfe] => u16::from_le_bytes(pair),
            _ => u16::from_be_bytes(pair),
        })
    };
    let units: Vec<u16> = rest.chunks(2).map(unit).collect::<Option<_>>()?;
    String::from_utf16(&units).ok()
}

fn parse<'de, R: serde_json::de::Read<'de>>(
    deserializer: &mut serde_json::Deserializer<R>,
    surface: &Surface,
) -> Result<Saved, serde_json::Error> {
    let mut saved = Output { surface }.deserialize(&mut *deserializer)?;
    saved.documents.settle();
    saved.items.shrink_to_fit();
    deserializer.end()?;
    Ok(saved)
}

/// A whole output: an object with one list.
struct Output<'s> {
    surface: &'s Surface,
}

impl<'de> DeserializeSeed<'de> for Output<'_> {
    type Value = Saved;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Saved, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Output<'_> {
    type Value = Saved;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the whole output of the command, an object (without --query)")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Saved, A::Error> {
        let mut saved = Saved::default();
        let (mut key_id, mut rotates, mut is_known) = (None, None, false);
        while let Some(member) = map.next_key::<String>()? {
            let kind = ResourceKind::ALL
                .into_iter()
                .find(|kind| list_of(*kind) == member);
            if let Some(kind) = kind {
                saved.kinds.insert(kind);
                map.next_value_seed(Items {
                    kind,
                    wanted: self.surface.kinds.contains(&kind),
                    keep: &self.surface.keep,
                    into: &mut saved.items,
                    documents: &mut saved.documents,
                })?;
                is_known = true;
                continue;
            }
            match member.as_str() {
                "Parameters" => {
                    let mut all: Vec<Value> = map.next_value()?;
                    all.retain(|parameter| {
                        str_of(parameter, "ParameterName")
                            .is_some_and(|name| PARAMETERS.contains(&name))
                    });
                    saved.parameters = Some(all);
                }
                "KeyMetadata" => {
                    saved.key = Some(facts(&map.next_value()?).map_err(A::Error::custom)?);
                }
                "KeyId" => key_id = map.next_value::<Option<String>>()?,
                "KeyRotationEnabled" => rotates = Some(map.next_value::<bool>()?),
                "Marker" | "NextToken" => {
                    let token: Option<String> = map.next_value()?;
                    saved.is_cut |= token.is_some_and(|token| !token.is_empty());
                    continue;
                }
                other
                    if OTHERS.contains(&other)
                        || rotates.is_some()
                        || other == "ResponseMetadata" =>
                {
                    map.next_value::<IgnoredAny>()?;
                }
                other => {
                    return Err(A::Error::custom(format!(
                        "{other:?} is no member of such an output"
                    )));
                }
            }
            is_known = true;
        }
        if !is_known {
            return Err(A::Error::custom("it holds no list"));
        }
        if let (Some(id), Some(on)) = (key_id, rotates) {
            saved.rotation = Some((id, on));
        }
        if saved.is_cut {
            saved.cut = saved
                .kinds
                .intersection(&self.surface.kinds)
                .copied()
                .collect();
        }
        Ok(saved)
    }
}

/// The list of a kind, document by document.
struct Items<'s> {
    kind: ResourceKind,
    wanted: bool,
    keep: &'s Keep,
    into: &'s mut Vec<Described>,
    documents: &'s mut Packed,
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to be a list", list_of(self.kind))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let mut index = 0;
        let mut names = Names::default();
        loop {
            if !self.wanted {
                match items.next_element::<IgnoredAny>()? {
                    Some(_) => continue,
                    None => return Ok(()),
                }
            }
            let item = Item { keep: self.keep };
            let Some((document, digest)) = items.next_element_seed(item)? else {
                return Ok(());
            };
            let wrong = |why: String| {
                A::Error::custom(format!("item {index} of {} {why}", list_of(self.kind)))
            };
            let document = document.ok_or_else(|| wrong("is no object".to_owned()))?;
            let document = Value::Object(document);
            check(self.kind, &document).map_err(wrong)?;
            let (account, region) = place(self.kind, &document);
            let view = DescribedRef {
                kind: self.kind,
                account: &account,
                region: &region,
                document: &document,
            };
            let place = self.documents.push(&document);
            self.into.push(described(view, place, digest, &mut names));
            index += 1;
        }
    }
}

/// Whether a document tells where it belongs.
fn check(kind: ResourceKind, document: &Value) -> Result<(), String> {
    let member = arn_member(kind).unwrap_or("SourceArn");
    let arn = placing_arn(kind, document).ok_or_else(|| format!("has no {member}"))?;
    let has_region = kind == ResourceKind::GlobalCluster || region_of(arn).is_some();
    if account_of(arn).is_none() || !has_region {
        return Err(format!("has {arn:?} for an ARN"));
    }
    Ok(())
}

/// `KeyMetadata` as the CLI writes it.
fn facts(metadata: &Value) -> Result<KeyFacts, String> {
    let text = |member: &str| str_of(metadata, member).unwrap_or("unknown").to_owned();
    let arn = str_of(metadata, "Arn").ok_or("KeyMetadata has no Arn")?;
    Ok(KeyFacts {
        arn: arn.to_owned(),
        state: text("KeyState"),
        usage: text("KeyUsage"),
        spec: text("KeySpec"),
        manager: text("KeyManager"),
        origin: text("Origin"),
        multi_region: bool_of(metadata, "MultiRegion").unwrap_or(false),
        deletion_date: metadata.get("DeletionDate").and_then(date),
        rotation: Rotation::Unknown,
    })
}

/// A time as RFC 3339 in UTC; the CLI writes text with an offset, or seconds.
fn date(value: &Value) -> Option<String> {
    let time: jiff::Timestamp = match value {
        Value::String(text) => text.parse().ok()?,
        #[expect(
            clippy::cast_possible_truncation,
            reason = "milliseconds of a date are far below 2^53"
        )]
        Value::Number(seconds) => {
            jiff::Timestamp::from_millisecond((seconds.as_f64()? * 1000.0).round() as i64).ok()?
        }
        _ => return None,
    };
    Some(time.to_string())
}
