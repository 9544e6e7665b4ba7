//! Evidence packs: the same bytes each time, and every way to change one is seen.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _, Write as _};

use atrest_model::Tool;
use atrest_reports::{
    Evidence, EvidenceFile, EvidenceHole, EvidencePublicKey, EvidenceSignature, EvidenceSigningKey,
    ProblemKind, verify_evidence, write_evidence,
};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

/// Made by `openssl genpkey -algorithm ed25519`.
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";

fn key() -> EvidenceSigningKey {
    EvidenceSigningKey::parse(KEY).unwrap()
}

fn file(name: &str, text: &str) -> EvidenceFile {
    EvidenceFile {
        name: name.to_owned(),
        about: "for a test".to_owned(),
        bytes: text.as_bytes().to_vec(),
    }
}

fn evidence() -> Evidence {
    Evidence {
        tool: Tool::current(),
        run: "r".to_owned(),
        account: "111122223333".to_owned(),
        plan_digest: "0".repeat(64),
        exit_codes: BTreeMap::from([("fix".to_owned(), 0)]),
        files: vec![
            file("scan-before.json", &"before ".repeat(500)),
            file("plan.json", "{}"),
            file("diffs/validation-x.json", "no drift"),
        ],
        holes: Vec::new(),
    }
}

fn packed(evidence: &Evidence, signed: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let key = signed.then(key);
    write_evidence(evidence, key.as_ref(), &mut bytes).unwrap();
    bytes
}

fn members(pack: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut zip = ZipArchive::new(Cursor::new(pack)).unwrap();
    (0..zip.len())
        .map(|index| {
            let mut member = zip.by_index(index).unwrap();
            let mut bytes = Vec::new();
            member.read_to_end(&mut bytes).unwrap();
            (
                String::from_utf8(member.name_raw().to_vec()).unwrap(),
                bytes,
            )
        })
        .collect()
}

fn repacked(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in members {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// What is wrong, as `kind name`.
fn wrong(pack: &[u8]) -> Vec<String> {
    verify_evidence(pack, None)
        .problems
        .iter()
        .map(|problem| format!("{} {}", problem.kind.as_str(), problem.name))
        .collect()
}

#[test]
fn the_same_evidence_gives_the_same_bytes_in_whatever_order_it_comes() {
    let mut turned = evidence();
    turned.files.reverse();
    assert_eq!(packed(&evidence(), true), packed(&turned, true));
    let names: Vec<String> = members(&packed(&turned, true))
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        names,
        [
            "README.txt",
            "SHA256SUMS",
            "SHA256SUMS.sig",
            "diffs/validation-x.json",
            "manifest.json",
            "plan.json",
            "scan-before.json"
        ]
    );
}

#[test]
fn an_untouched_pack_is_intact_and_tells_its_holes() {
    let mut evidence = evidence();
    let whole = verify_evidence(&packed(&evidence, false), None);
    assert!(whole.is_intact(), "{:?}", whole.problems);
    assert_eq!(whole.signature, EvidenceSignature::Absent);
    assert!(whole.manifest.unwrap().complete);
    evidence.holes.push(EvidenceHole {
        what: "scan-after.json".to_owned(),
        why: "nobody looked".to_owned(),
    });
    let holed = verify_evidence(&packed(&evidence, false), None);
    assert!(holed.is_intact());
    let manifest = holed.manifest.unwrap();
    assert!(!manifest.complete);
    assert_eq!(manifest.holes, evidence.holes);
}

#[test]
fn every_flipped_byte_is_seen() {
    let pack = packed(&evidence(), true);
    for at in 0..pack.len() {
        let mut bad = pack.clone();
        bad[at] ^= 0x01;
        let found = verify_evidence(&bad, None);
        assert!(!found.is_intact(), "byte {at} of {}", pack.len());
    }
    for length in (0..pack.len()).step_by(13) {
        assert!(
            !verify_evidence(&pack[..length], None).is_intact(),
            "{length}"
        );
    }
}

#[test]
fn what_was_changed_taken_or_added_is_named() {
    let pack = packed(&evidence(), false);
    let whole = members(&pack);
    for index in 0..whole.len() {
        let name = whole[index].0.clone();
        let mut changed = whole.clone();
        changed[index].1[0] ^= 0x20;
        let found = wrong(&repacked(&changed));
        assert!(!found.is_empty(), "{name}");
        if name != "SHA256SUMS" {
            assert!(
                found.contains(&format!("changed {name}")),
                "{name}: {found:?}"
            );
        }
        let mut taken = whole.clone();
        taken.remove(index);
        let found = wrong(&repacked(&taken));
        assert!(
            found.contains(&format!("missing {name}")),
            "{name}: {found:?}"
        );
    }
    let mut added = whole.clone();
    added.push(("scan-later.json".to_owned(), b"{}".to_vec()));
    added.sort();
    assert_eq!(wrong(&repacked(&added)), ["extra scan-later.json"]);
    let mut turned = whole.clone();
    turned.swap(0, 4);
    assert!(wrong(&repacked(&turned)).contains(&"container ".to_owned()));
}

#[test]
fn a_manifest_and_sums_that_were_both_made_anew_are_seen_by_the_signature_alone() {
    let signed = packed(&evidence(), true);
    let mut other = evidence();
    other.files[1].bytes = b"{\"x\":1}".to_vec();
    let mut forged = members(&packed(&other, false));
    let signature = members(&signed)
        .into_iter()
        .find(|(name, _)| name == "SHA256SUMS.sig")
        .unwrap();
    forged.push(signature);
    forged.sort();
    let found = verify_evidence(&repacked(&forged), Some(&key().public()));
    assert_eq!(found.signature, EvidenceSignature::Bad);
    assert!(
        found
            .problems
            .iter()
            .any(|p| p.kind == ProblemKind::Signature)
    );

    let unsigned = verify_evidence(&packed(&other, false), Some(&key().public()));
    assert_eq!(unsigned.signature, EvidenceSignature::Bad);
    let good = verify_evidence(&signed, Some(&key().public()));
    assert!(good.is_intact(), "{:?}", good.problems);
    assert_eq!(good.signature, EvidenceSignature::Good);
    assert_eq!(
        verify_evidence(&signed, None).signature,
        EvidenceSignature::NotChecked
    );
}

#[test]
fn names_that_lead_elsewhere_are_named_and_nothing_is_unpacked() {
    let whole = members(&packed(&evidence(), false));
    for name in [
        "../../etc/cron.d/x",
        "/etc/passwd",
        "a/../../b",
        "x\u{1b}[2J",
        "..\\x",
    ] {
        let mut bad = whole.clone();
        bad.push((name.to_owned(), b"x".to_vec()));
        let found = verify_evidence(&repacked(&bad), None);
        let extra = found
            .problems
            .iter()
            .find(|p| p.kind == ProblemKind::Extra)
            .unwrap();
        assert!(!extra.name.contains('\u{1b}'), "{extra:?}");
    }
    let mut evidence = evidence();
    evidence.files.push(file("../x", "x"));
    assert!(write_evidence(&evidence, None, &mut Vec::new()).is_err());
    evidence.files.pop();
    evidence.files.push(file("manifest.json", "x"));
    assert!(write_evidence(&evidence, None, &mut Vec::new()).is_err());
}

#[test]
fn what_lies_beside_the_members_is_seen() {
    let pack = packed(&evidence(), false);
    for hidden in [
        [b"#!/bin/sh\n".as_slice(), &pack].concat(),
        [&pack, b"tail".as_slice()].concat(),
    ] {
        assert!(wrong(&hidden).contains(&"container ".to_owned()));
    }
    assert_eq!(
        wrong(b""),
        ["missing SHA256SUMS", "missing manifest.json", "container "]
    );
    assert!(!verify_evidence(&[0; 100_000], None).is_intact());
}

#[test]
fn keys_that_are_none_say_nothing_of_what_they_hold() {
    let error = EvidenceSigningKey::parse("hunter2").unwrap_err();
    assert!(!error.to_string().contains("hunter2"));
    assert!(!format!("{:?}", key()).contains("nWGx"));
    assert!(EvidencePublicKey::parse(KEY).is_err());
}
