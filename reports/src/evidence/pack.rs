//! Writing a pack.

use std::fmt::Write as _;
use std::io::{self, Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::{
    EVIDENCE_SCHEMA_VERSION, Evidence, EvidenceManifest, EvidenceMember, EvidenceSigningKey,
    MANIFEST, MOST_EVIDENCE_BYTES, README, SIGNATURE, SUMS, is_member_name, sha256,
};

const ABOUT: &str = "\
Evidence of a migration to encrypted storage, packed by atrest.

manifest.json says what each file is, and what is missing. A pack with holes proves less than one without.

To check it without atrest, unpack it into an empty folder and run there:

  sha256sum --check SHA256SUMS

No other file than those, SHA256SUMS and SHA256SUMS.sig may be there. If the pack is signed, with the public key of
whoever signed it (from them, not from here):

  openssl pkeyutl -verify -pubin -inkey PUBLIC.pem -rawin -in SHA256SUMS -sigfile SHA256SUMS.sig

With atrest: atrest report --verify PACK.zip --public-key PUBLIC.pem
Without a signature, whoever can write the pack can write its hashes too.
";

/// A pack that cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// A name that no pack may hold, one that is taken, or one of the pack's own.
    #[error("{0:?} cannot be the name of a file in a pack")]
    Name(String),
    /// Too much.
    #[error("{bytes} bytes are more than the {MOST_EVIDENCE_BYTES} that a pack may hold")]
    TooLarge {
        /// Bytes of all files.
        bytes: u64,
    },
    /// The zip file.
    #[error("the pack cannot be written: {0}")]
    Zip(#[from] zip::result::ZipError),
    /// The disk.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Writes a pack. Members are sorted and have one time, so that the same evidence gives the same bytes.
///
/// # Errors
///
/// Names that cannot be, more than [`MOST_EVIDENCE_BYTES`], or any error of `out`.
pub fn write_evidence(
    evidence: &Evidence,
    key: Option<&EvidenceSigningKey>,
    out: &mut dyn Write,
) -> Result<(), EvidenceError> {
    let mut members: Vec<(&str, &str, &[u8])> = evidence
        .files
        .iter()
        .map(|file| {
            (
                file.name.as_str(),
                file.about.as_str(),
                file.bytes.as_slice(),
            )
        })
        .collect();
    members.push((README, "how to check the pack", ABOUT.as_bytes()));
    members.sort_unstable();
    let mut before = "";
    for (name, _, _) in &members {
        if !is_member_name(name) || *name == before || [MANIFEST, SUMS, SIGNATURE].contains(name) {
            return Err(EvidenceError::Name((*name).to_owned()));
        }
        before = name;
    }
    let bytes = members.iter().map(|(_, _, bytes)| bytes.len() as u64).sum();
    if bytes > MOST_EVIDENCE_BYTES / 2 {
        return Err(EvidenceError::TooLarge { bytes });
    }
    let manifest = EvidenceManifest {
        schema_version: EVIDENCE_SCHEMA_VERSION,
        tool: evidence.tool.clone(),
        run: evidence.run.clone(),
        account: evidence.account.clone(),
        plan_digest: evidence.plan_digest.clone(),
        complete: evidence.holes.is_empty(),
        exit_codes: evidence.exit_codes.clone(),
        files: members
            .iter()
            .map(|(name, about, bytes)| EvidenceMember {
                name: (*name).to_owned(),
                about: (*about).to_owned(),
                bytes: bytes.len() as u64,
                sha256: sha256(bytes),
            })
            .collect(),
        holes: evidence.holes.clone(),
    };
    let mut text = Vec::new();
    crate::json::write(&manifest, &mut text)?;
    let mut sums = String::new();
    let listed = manifest
        .files
        .iter()
        .map(|file| (&*file.name, &*file.sha256));
    let own = sha256(&text);
    let mut listed: Vec<(&str, &str)> = listed.chain([(MANIFEST, own.as_str())]).collect();
    listed.sort_unstable();
    for (name, hash) in listed {
        // Writing to a String cannot fail.
        let _written = writeln!(sums, "{hash}  {name}");
    }
    let signature = key.map(|key| key.sign(sums.as_bytes()));
    let mut all: Vec<(&str, &[u8])> = members.iter().map(|(name, _, b)| (*name, *b)).collect();
    all.extend([(MANIFEST, text.as_slice()), (SUMS, sums.as_bytes())]);
    all.extend(
        signature
            .as_ref()
            .map(|bytes| (SIGNATURE, bytes.as_slice())),
    );
    all.sort_unstable();
    out.write_all(&zipped(&all)?)?;
    Ok(())
}

/// The zip file of these members, in their order.
pub(super) fn zipped(members: &[(&str, &[u8])]) -> Result<Vec<u8>, EvidenceError> {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(6))
        // The first moment that a zip file can tell.
        .last_modified_time(DateTime::default())
        .unix_permissions(0o644);
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(*name, options)?;
        zip.write_all(bytes)?;
    }
    Ok(zip.finish()?.into_inner())
}
