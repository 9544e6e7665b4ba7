//! `atrest report RUN --evidence OUT.zip` and `atrest report --verify OUT.zip`.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use atrest_fixer::store::{RunStore, StoreError};
use atrest_model::Tool;
use atrest_model::diff::DiffReport;
use atrest_model::finding::FindingStatus;
use atrest_model::plan::Action;
use atrest_model::run::Outcome;
use atrest_model::scan::ScanReport;
use atrest_reports::{
    Evidence, EvidenceFile, EvidenceHole, EvidencePublicKey, EvidenceSignature, EvidenceSigningKey,
    MOST_EVIDENCE_BYTES, printable, verify_evidence, write_evidence,
};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::SavedRun;
use crate::cli::ReportArgs;
use crate::commands::{diff, fix, run_scans};
use crate::exit::{Exit, ExpectedError};

/// Packs a run.
pub(super) fn pack(args: &ReportArgs, out: &Path) -> anyhow::Result<Exit> {
    let [run] = args.saved.as_slice() else {
        return Err(ExpectedError::usage(
            format!(
                "--evidence packs one run, and {} were given",
                args.saved.len()
            ),
            "atrest report RUN --evidence OUT.zip",
        ));
    };
    let key = args.sign.as_deref().map(signing_key).transpose()?;
    let store =
        RunStore::open_to_read(&args.state.state_dir, run).map_err(|e| ExpectedError::store(&e))?;
    let evidence = of_run(&store).map_err(|e| ExpectedError::store(&e))?;
    let mut bytes = Vec::new();
    write_evidence(&evidence, key.as_ref(), &mut bytes)
        .map_err(|error| ExpectedError::usage(error.to_string(), "keep the run folder itself"))?;
    super::super::common::deliver(Some(out), &bytes)?;
    let mut stdout = std::io::stdout().lock();
    for hole in &evidence.holes {
        writeln!(
            stdout,
            "hole: {}: {}",
            printable(&hole.what),
            printable(&hole.why)
        )?;
    }
    let signed = if key.is_some() {
        "signed"
    } else {
        "not signed"
    };
    writeln!(
        stdout,
        "{}: {} files of run {run}, {signed}, {}",
        out.display(),
        evidence.files.len(),
        holes(evidence.holes.len())
    )?;
    Ok(exit_of_holes(evidence.holes.len()))
}

/// Checks a pack.
pub(super) fn verify(args: &ReportArgs, path: &Path) -> anyhow::Result<Exit> {
    let key = match &args.public_key {
        None => None,
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|error| unreadable(file, &error))?;
            let key = EvidencePublicKey::parse(&text).map_err(|error| {
                ExpectedError::usage(
                    format!("{}: {error}", file.display()),
                    "ask whoever signed the pack for it",
                )
            })?;
            Some(key)
        }
    };
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MOST_EVIDENCE_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(path, &error))?;
    let found = verify_evidence(&bytes, key.as_ref());
    let mut stdout = std::io::stdout().lock();
    for problem in &found.problems {
        let name = match problem.name.as_str() {
            "" => String::new(),
            name => format!(" {name}"),
        };
        writeln!(stdout, "{}{name}: {}", problem.kind.as_str(), problem.what)?;
    }
    let shown = path.display();
    let manifest = match &found.manifest {
        Some(manifest) if found.is_intact() => manifest,
        _ => {
            writeln!(
                stdout,
                "{shown}: NOT INTACT: {} problems",
                found.problems.len()
            )?;
            return Ok(Exit::NeedsOperator);
        }
    };
    for hole in &manifest.holes {
        writeln!(
            stdout,
            "hole: {}: {}",
            printable(&hole.what),
            printable(&hole.why)
        )?;
    }
    let signature = match found.signature {
        EvidenceSignature::Good => "the signature is good",
        EvidenceSignature::NotChecked => {
            "signed; the signature was NOT checked without --public-key"
        }
        EvidenceSignature::Absent | EvidenceSignature::Bad => {
            "not signed: whoever can write the file can write its hashes"
        }
    };
    writeln!(
        stdout,
        "{shown}: intact: {} files of run {}, {signature}, {}",
        manifest.files.len(),
        printable(&manifest.run),
        holes(manifest.holes.len())
    )?;
    Ok(exit_of_holes(manifest.holes.len()))
}

fn holes(amount: usize) -> String {
    match amount {
        0 => "nothing is missing".to_owned(),
        1 => "INCOMPLETE: 1 hole".to_owned(),
        amount => format!("INCOMPLETE: {amount} holes"),
    }
}

/// A hole is never proof.
fn exit_of_holes(amount: usize) -> Exit {
    if amount == 0 {
        Exit::Ok
    } else {
        Exit::Incomplete
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> anyhow::Error {
    ExpectedError::usage(
        format!("cannot read {}: {error}", path.display()),
        "check the name",
    )
}

/// The key that signs. A file that others can read is no secret any more.
fn signing_key(path: &Path) -> anyhow::Result<EvidenceSigningKey> {
    let mut file = std::fs::File::open(path).map_err(|error| unreadable(path, &error))?;
    let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
    let mode = metadata.permissions().mode() & 0o777;
    if metadata.is_file() && mode & 0o077 != 0 {
        return Err(ExpectedError::usage(
            format!(
                "the key {} can be read by others (mode {mode:03o})",
                path.display()
            ),
            "chmod 600 it; if others could read it for a while, make a new one",
        ));
    }
    let mut text = String::new();
    file.read_to_string(&mut text)
        .map_err(|error| unreadable(path, &error))?;
    let text = SecretString::from(text);
    EvidenceSigningKey::parse(text.expose_secret()).map_err(|error| {
        ExpectedError::usage(
            format!("{}: {error}", path.display()),
            "openssl genpkey -algorithm ed25519 -out KEY.pem",
        )
    })
}

/// Gathers what the run folder has, and says what it does not have.
fn of_run(store: &RunStore) -> Result<Evidence, StoreError> {
    let plan = store.plan();
    let saved = SavedRun::of_store(store)?;
    let mut gathered = Gathered {
        dir: store.dir(),
        files: Vec::new(),
        holes: Vec::new(),
        exit_codes: BTreeMap::new(),
    };
    gathered.take("plan.json", "plan.json", "the plan that was carried out");
    for phase in store.phases() {
        let name = phase.file_name();
        let about = format!("what was done after the migration: {}", phase.phase);
        gathered.take(&name, &name, &about);
        for (migration, step) in phase
            .migrations
            .iter()
            .flat_map(|migration| migration.steps.iter().map(move |step| (migration, step)))
        {
            let name = format!("{}-{}.json", step.id, migration.id).replace('/', "-");
            // A proof that was accepted without looking has none.
            if matches!(step.action, Action::Unwritten { .. }) && store.dir().join(&name).is_file()
            {
                let member = format!("diffs/{}", plain(&name));
                let about = format!(
                    "old and new of {}, compared before they were swapped back",
                    migration.id
                );
                gathered.take(&name, &member, &about);
            }
        }
    }
    let mut journal = Vec::new();
    if let Err(error) = store.export(&mut journal)? {
        gathered.hole("journal.jsonl", &error.to_string());
    }
    gathered.add(
        "journal.jsonl",
        "every entry of the journal, one a line, each with the hash of the one before",
        journal,
    );
    if store.dir().join("events.jsonl").is_file() {
        gathered.take(
            "events.jsonl",
            "events.jsonl",
            "what the runner told, one event a line",
        );
    }
    if gathered.take(
        "run.json",
        "run.json",
        "how the run ended, as it was written then",
    ) {
        let code = fix::exit_of(&saved.report);
        let verb = match store.phases().last() {
            None => "fix",
            Some(phase) => phase.phase.kind.as_str(),
        };
        gathered.exit_codes.insert(verb.to_owned(), code as u8);
    }
    for migration in &saved.report.migrations {
        if !matches!(migration.outcome, Outcome::Migrated | Outcome::CleanedUp) {
            gathered.hole(&migration.migration, &migration.outcome.summary());
        }
    }
    for migration in &plan.migrations {
        let name = format!("validation-{}.json", migration.id.replace('/', "-"));
        let member = format!("diffs/{}", plain(&name));
        let about = format!(
            "old and new of {}, compared before the cutover",
            migration.id
        );
        if gathered.take(&name, &member, &about)
            && let Some(found) = gathered.document::<DiffReport>(&member)
        {
            let code = diff::exit_of(&found);
            let key = format!("diff {}", migration.id);
            gathered.exit_codes.insert(key, code as u8);
        }
    }
    let mut scans = Vec::new();
    for (name, about) in [
        (run_scans::BEFORE, "the audit before the first change"),
        (run_scans::AFTER, "the audit after the last one"),
    ] {
        gathered.take(name, name, about);
        let scan = gathered.document::<ScanReport>(name);
        if let Some(scan) = &scan {
            let code = run_scans::exit_of(scan);
            let verb = name.trim_end_matches(".json").to_owned();
            gathered.exit_codes.insert(verb, code as u8);
            for region in scan.regions.iter().filter(|region| region.error.is_some()) {
                let what = format!("{name}: {}/{}", region.account, region.region);
                gathered.hole(&what, region.error.as_deref().unwrap_or_default());
            }
        }
        scans.push(scan);
    }
    if let [Some(before), after] = scans.as_slice() {
        let bytes = controls(before, after.as_ref());
        gathered.add(
            "controls.json",
            "each finding before, its controls, and after",
            bytes,
        );
    } else {
        gathered.hole(
            "controls.json",
            "it is made of the audit before the first change",
        );
    }
    Ok(Evidence {
        tool: Tool::current(),
        run: plan.run.to_string(),
        account: plan.account.clone(),
        plan_digest: plan.digest.clone(),
        exit_codes: gathered.exit_codes,
        files: gathered.files,
        holes: gathered.holes,
    })
}

/// A name with nothing in it that a pack would refuse.
fn plain(name: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.chars()
        .map(|c| if is_plain(c) { c } else { '_' })
        .collect()
}

struct Gathered<'a> {
    dir: &'a Path,
    files: Vec<EvidenceFile>,
    holes: Vec<EvidenceHole>,
    exit_codes: BTreeMap<String, u8>,
}

impl Gathered<'_> {
    fn hole(&mut self, what: &str, why: &str) {
        self.holes.push(EvidenceHole {
            what: what.to_owned(),
            why: why.to_owned(),
        });
    }

    fn add(&mut self, name: &str, about: &str, bytes: Vec<u8>) {
        self.files.push(EvidenceFile {
            name: name.to_owned(),
            about: about.to_owned(),
            bytes,
        });
    }

    /// A file of the run folder, or a hole.
    fn take(&mut self, file: &str, name: &str, about: &str) -> bool {
        match std::fs::read(self.dir.join(file)) {
            Ok(bytes) => {
                self.add(name, about, bytes);
                true
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.hole(name, "it is not in the run folder");
                false
            }
            Err(error) => {
                self.hole(name, &format!("it cannot be read: {error}"));
                false
            }
        }
    }

    /// What a gathered file holds; one that cannot be read is a hole, and is packed as it is.
    fn document<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        let file = self.files.iter().find(|file| file.name == name)?;
        match serde_json::from_slice(&file.bytes) {
            Ok(document) => Some(document),
            Err(error) => {
                self.hole(name, &format!("it is damaged: {error}"));
                None
            }
        }
    }
}

/// A finding of the first audit and what became of it.
#[derive(Debug, Serialize)]
struct ControlLine<'a> {
    policy: &'a str,
    resource: &'a str,
    before: &'a str,
    /// `pass`, a status, or `unknown`.
    after: &'a str,
    controls: Vec<serde_json::Value>,
}

fn controls(before: &ScanReport, after: Option<&ScanReport>) -> Vec<u8> {
    let read: BTreeSet<&str> = after
        .iter()
        .flat_map(|scan| &scan.resources)
        .map(|resource| resource.arn.as_str())
        .collect();
    let statuses: BTreeMap<(&str, &str), FindingStatus> = after
        .iter()
        .flat_map(|scan| &scan.findings)
        .map(|f| ((f.policy.as_str(), f.resource.as_str()), f.status))
        .collect();
    let lines: Vec<ControlLine<'_>> = before
        .findings
        .iter()
        .map(|finding| ControlLine {
            policy: &finding.policy,
            resource: &finding.resource,
            before: finding.status.as_str(),
            after: match statuses.get(&(finding.policy.as_str(), finding.resource.as_str())) {
                Some(status) => status.as_str(),
                None if read.contains(finding.resource.as_str()) => "pass",
                None => "unknown",
            },
            controls: finding
                .controls
                .iter()
                .map(|control| json!({"publisher": control.publisher, "id": control.id}))
                .collect(),
        })
        .collect();
    // Maps and strings only: it cannot fail.
    serde_json::to_vec_pretty(&lines).unwrap_or_default()
}
