//! Checking a pack. It comes from outside: nothing in it is believed, nothing is unpacked to the disk, and what it takes
//! to read it is bounded.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};

use atrest_model::Tool;
use zip::ZipArchive;

use super::{
    EvidenceManifest, EvidencePublicKey, MANIFEST, MOST_EVIDENCE_BYTES, MOST_MEMBERS, SIGNATURE,
    SUMS, is_member_name, pack, sha256,
};
use crate::text::printable;

/// What is wrong with a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ProblemKind {
    /// A member is not what it was.
    Changed,
    /// A member is gone.
    Missing,
    /// A member was not there.
    Extra,
    /// The file around the members.
    Container,
    /// The signature.
    Signature,
}

impl ProblemKind {
    /// The word used in reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Container => "container",
            Self::Signature => "signature",
        }
    }
}

/// One thing that is wrong with a pack.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// What kind.
    pub kind: ProblemKind,
    /// The member, made safe to print; empty for the file as a whole.
    pub name: String,
    /// What was seen; safe to print.
    pub what: String,
}

/// What became of the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EvidenceSignature {
    /// There is none.
    Absent,
    /// There is one, and no key to check it with.
    NotChecked,
    /// It is that of the key.
    Good,
    /// It is not, or it is needed and not there.
    Bad,
}

/// What a check found.
#[derive(Debug, Clone)]
pub struct VerifiedEvidence {
    /// The manifest, if there is one that can be read. To be believed when there is no problem.
    pub manifest: Option<EvidenceManifest>,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
    /// The signature.
    pub signature: EvidenceSignature,
}

impl VerifiedEvidence {
    /// Whether every member is what was packed, and none is missing or added.
    #[must_use]
    pub fn is_intact(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Checks a pack: every member against `SHA256SUMS`, the manifest against both, the zip file for anything beside its
/// members, and the signature if a key is given. A key that is given must have signed it.
#[must_use]
pub fn verify_evidence(bytes: &[u8], key: Option<&EvidencePublicKey>) -> VerifiedEvidence {
    verify_within(bytes, key, MOST_EVIDENCE_BYTES)
}

/// The check of a pack whose members may have `most` bytes, unpacked.
fn verify_within(bytes: &[u8], key: Option<&EvidencePublicKey>, most: u64) -> VerifiedEvidence {
    let mut check = Check {
        most,
        problems: Vec::new(),
    };
    let members = check.members(bytes);
    let sums = check.sums(&members);
    check.compare(&members, &sums);
    let manifest = check.manifest(&members, &sums);
    let signature = check.signature(&members, key);
    // Headers have fields that no hash covers. What this version has packed, it packs the same again.
    let own = manifest
        .as_ref()
        .is_some_and(|manifest| manifest.tool == Tool::current());
    if check.problems.is_empty() && own {
        let all: Vec<(&str, &[u8])> = members.iter().map(|(n, b)| (&**n, &**b)).collect();
        if pack::zipped(&all).map_or(true, |again| again != bytes) {
            check.container("its headers are not those that it was packed with");
        }
    }
    check.problems.sort();
    check.problems.dedup();
    VerifiedEvidence {
        manifest,
        problems: check.problems,
        signature,
    }
}

struct Check {
    most: u64,
    problems: Vec<Problem>,
}

impl Check {
    fn add(&mut self, kind: ProblemKind, name: &str, what: impl AsRef<str>) {
        self.problems.push(Problem {
            kind,
            name: printable(name).into_owned(),
            what: printable(what.as_ref()).into_owned(),
        });
    }

    fn container(&mut self, what: impl AsRef<str>) {
        self.add(ProblemKind::Container, "", what);
    }

    /// Every member that can be read, by name.
    fn members(&mut self, bytes: &[u8]) -> BTreeMap<String, Vec<u8>> {
        let mut members = BTreeMap::new();
        let mut zip = match ZipArchive::new(Cursor::new(bytes)) {
            Ok(zip) => zip,
            Err(error) => {
                self.container(format!("it is no whole zip file: {error}"));
                return members;
            }
        };
        if zip.len() > MOST_MEMBERS {
            self.container(format!("{} members are more than a pack has", zip.len()));
            return members;
        }
        self.layout(bytes, &mut zip);
        let mut left = self.most;
        let mut last = String::new();
        for index in 0..zip.len() {
            let mut member = match zip.by_index(index) {
                Ok(member) => member,
                Err(error) => {
                    self.container(format!("member {} cannot be read: {error}", index + 1));
                    continue;
                }
            };
            let name = String::from_utf8_lossy(member.name_raw()).into_owned();
            if !is_member_name(&name) || !member.is_file() {
                self.add(
                    ProblemKind::Extra,
                    &name,
                    "no pack has a member of that name and kind",
                );
                continue;
            }
            if name <= last {
                self.container(format!("{name} is not in its place: members are sorted"));
            }
            let mut content = Vec::new();
            match (&mut member).take(left + 1).read_to_end(&mut content) {
                Err(error) => {
                    self.add(
                        ProblemKind::Changed,
                        &name,
                        format!("it cannot be read: {error}"),
                    );
                }
                Ok(read) if read as u64 > left => {
                    self.container(format!(
                        "{name} unpacks to more than the {} bytes a pack may have",
                        self.most
                    ));
                    return members;
                }
                Ok(read) => left -= read as u64,
            }
            last.clone_from(&name);
            if members.insert(name.clone(), content).is_some() {
                self.add(ProblemKind::Extra, &name, "it is there twice");
            }
        }
        members
    }

    /// Nothing may lie before, between or after the members: another program could read it.
    fn layout(&mut self, bytes: &[u8], zip: &mut ZipArchive<Cursor<&[u8]>>) {
        let mut end = 0;
        for index in 0..zip.len() {
            let Ok(member) = zip.by_index_raw(index) else {
                return self.container("a member has no header");
            };
            if member.header_start() != end {
                return self.container("there is something between its members");
            }
            let Some(start) = member.data_start() else {
                return self.container("a member has no content");
            };
            end = start.saturating_add(member.compressed_size());
        }
        // The end record without a comment: signature, four numbers of 2 bytes, two of 4, one of 2.
        let number = |at: usize, length: usize| -> Option<u64> {
            let field = bytes.get(at..at.checked_add(length)?)?;
            Some(
                field
                    .iter()
                    .rev()
                    .fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
            )
        };
        let record = bytes.len().saturating_sub(22);
        let is_end = bytes.get(record..record + 4) == Some(b"PK\x05\x06");
        let whole = is_end
            && number(record + 10, 2) == Some(zip.len() as u64)
            && number(record + 16, 4) == Some(end)
            && number(record + 12, 4).map(|size| end + size) == Some(record as u64)
            && zip.offset() == 0;
        if !whole {
            self.container("there is something before or after its members");
        }
    }

    /// Names and hashes of `SHA256SUMS`.
    fn sums(&mut self, members: &BTreeMap<String, Vec<u8>>) -> BTreeMap<String, String> {
        let Some(text) = members.get(SUMS) else {
            self.add(
                ProblemKind::Missing,
                SUMS,
                "nothing says what the members were",
            );
            return BTreeMap::new();
        };
        let mut sums = BTreeMap::new();
        let text = String::from_utf8_lossy(text);
        for line in text.lines() {
            match line.split_once("  ") {
                Some((hash, name)) if is_member_name(name) && hash.len() == 64 => {
                    sums.insert(name.to_owned(), hash.to_owned());
                }
                _ => self.add(
                    ProblemKind::Changed,
                    SUMS,
                    "a line is not a hash and a name",
                ),
            }
        }
        sums
    }

    fn compare(&mut self, members: &BTreeMap<String, Vec<u8>>, sums: &BTreeMap<String, String>) {
        for (name, hash) in sums {
            match members.get(name) {
                None => self.add(ProblemKind::Missing, name, "SHA256SUMS names it"),
                Some(bytes) if sha256(bytes) != *hash => {
                    self.add(
                        ProblemKind::Changed,
                        name,
                        "its hash is not that of SHA256SUMS",
                    );
                }
                Some(_) => {}
            }
        }
        for name in members.keys() {
            if !sums.contains_key(name) && ![SUMS, SIGNATURE].contains(&name.as_str()) {
                self.add(ProblemKind::Extra, name, "SHA256SUMS does not name it");
            }
        }
    }

    fn manifest(
        &mut self,
        members: &BTreeMap<String, Vec<u8>>,
        sums: &BTreeMap<String, String>,
    ) -> Option<EvidenceManifest> {
        let Some(bytes) = members.get(MANIFEST) else {
            if !sums.contains_key(MANIFEST) {
                self.add(
                    ProblemKind::Missing,
                    MANIFEST,
                    "nothing says what the members are",
                );
            }
            return None;
        };
        let manifest: EvidenceManifest = match serde_json::from_slice(bytes) {
            Ok(manifest) => manifest,
            Err(error) => {
                self.add(
                    ProblemKind::Changed,
                    MANIFEST,
                    format!("it is no manifest: {error}"),
                );
                return None;
            }
        };
        let mut listed: BTreeMap<&str, &str> = manifest
            .files
            .iter()
            .map(|file| (&*file.name, &*file.sha256))
            .collect();
        for (name, hash) in sums {
            if name != MANIFEST && listed.remove(name.as_str()) != Some(hash) {
                self.add(
                    ProblemKind::Changed,
                    name,
                    "SHA256SUMS and manifest.json disagree on it",
                );
            }
        }
        for name in listed.into_keys() {
            self.add(ProblemKind::Missing, name, "manifest.json names it");
        }
        Some(manifest)
    }

    fn signature(
        &mut self,
        members: &BTreeMap<String, Vec<u8>>,
        key: Option<&EvidencePublicKey>,
    ) -> EvidenceSignature {
        let text = members.get(SUMS).map(Vec::as_slice).unwrap_or_default();
        match (members.get(SIGNATURE), key) {
            (None, None) => EvidenceSignature::Absent,
            (Some(_), None) => EvidenceSignature::NotChecked,
            (Some(signature), Some(key)) if key.is_signature(text, signature) => {
                EvidenceSignature::Good
            }
            (Some(_), Some(_)) => {
                self.add(
                    ProblemKind::Signature,
                    SIGNATURE,
                    "it is not of this key and SHA256SUMS",
                );
                EvidenceSignature::Bad
            }
            (None, Some(_)) => {
                self.add(ProblemKind::Signature, SIGNATURE, "the pack is not signed");
                EvidenceSignature::Bad
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_not_unpacked_to_its_end() {
        let nothing = vec![0; 4 << 20];
        let bomb = pack::zipped(&[("plan.json", &nothing)]).unwrap();
        assert!(bomb.len() < 100_000);
        let found = verify_within(&bomb, None, 1 << 20);
        assert!(
            found
                .problems
                .iter()
                .any(|p| p.what.contains("unpacks to more")),
            "{:?}",
            found.problems
        );
    }
}
