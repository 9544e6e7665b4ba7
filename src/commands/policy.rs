//! `atrest policy`: the rules that are asked.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use atrest_model::finding::Severity;
use atrest_policies::{Case, CustomMeta, CustomPolicies, PolicyMeta, Settings, registry};
use serde::Serialize;

use super::common;
use crate::cli::{PolicyCommand, PolicyTestArgs, TextOrJson};
use crate::config::Config;
use crate::config::keys::nearest;
use crate::exit::{Exit, ExpectedError};
use crate::rules;

/// Version of the JSON form of `atrest policy list`.
const SCHEMA_VERSION: u32 = 1;

pub(crate) fn run(command: &PolicyCommand, config: &Config) -> anyhow::Result<Exit> {
    match command {
        PolicyCommand::List(args) => list(args.policies.as_deref(), args.format, config),
        PolicyCommand::Show(args) => show(&args.id, args.policies.as_deref()),
        PolicyCommand::Test(args) => test(args),
    }
}

/// Reads a folder with policies of the user.
pub(crate) fn read_custom(folder: &Path) -> anyhow::Result<CustomPolicies> {
    CustomPolicies::read(folder).map_err(|error| {
        let cause = std::error::Error::source(&error);
        let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
        ExpectedError::usage(
            format!("{error}{cause}"),
            "docs/custom-policies.md says what a policy looks like; nothing was scanned",
        )
    })
}

/// Whether a policy of that id exists, built in or of the user.
pub(crate) fn is_known(id: &str, custom: Option<&CustomPolicies>) -> bool {
    all(custom).any(|known| known == id)
}

/// The id of every policy, built in or of the user.
pub(crate) fn ids(custom: Option<&CustomPolicies>) -> Vec<String> {
    all(custom).map(str::to_owned).collect()
}

fn all(custom: Option<&CustomPolicies>) -> impl Iterator<Item = &str> {
    let own = custom.into_iter().flat_map(CustomPolicies::metas);
    registry()
        .iter()
        .map(|policy| policy.meta().id)
        .chain(own.map(|meta| meta.id))
}

/// All policies.
#[derive(Debug, Serialize)]
struct Listing {
    schema_version: u32,
    policies: Vec<Row>,
}

/// One of them.
#[derive(Debug, Serialize)]
struct Row {
    id: String,
    title: String,
    severity: Severity,
    /// Whether a scan asks it.
    enabled: bool,
    built_in: bool,
    /// What it judges: `DB instance`, `db-snapshot`.
    resources: Vec<String>,
    /// `none`, `manual`, `planned`; absent for policies of the user.
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'static str>,
}

impl Row {
    fn built_in(meta: &PolicyMeta, settings: &Settings) -> Self {
        let mut resources: Vec<String> = meta
            .controls
            .iter()
            .map(|controls| controls.subject.kind().as_str().to_owned())
            .collect();
        resources.dedup();
        Self {
            id: meta.id.to_owned(),
            title: meta.title.to_owned(),
            severity: settings.severity(meta.id, meta.severity),
            enabled: settings.asks(meta.id),
            built_in: true,
            resources,
            fix: Some(meta.fix.as_str()),
        }
    }

    fn custom(meta: CustomMeta<'_>, settings: &Settings) -> Self {
        Self {
            id: meta.id.to_owned(),
            title: meta.title.to_owned(),
            severity: settings.severity(meta.id, meta.severity),
            enabled: settings.asks(meta.id),
            built_in: false,
            resources: vec![meta.kind.as_str().to_owned()],
            fix: None,
        }
    }
}

fn list(folder: Option<&Path>, format: TextOrJson, config: &Config) -> anyhow::Result<Exit> {
    let custom = folder.map(read_custom).transpose()?;
    let settings = config.settings(|id| is_known(id, custom.as_ref()))?;
    let mut policies: Vec<Row> = registry()
        .iter()
        .map(|policy| Row::built_in(policy.meta(), &settings))
        .collect();
    let own = custom.iter().flat_map(CustomPolicies::metas);
    policies.extend(own.map(|meta| Row::custom(meta, &settings)));
    policies.sort_by(|a, b| a.id.cmp(&b.id));
    let bytes = match format {
        TextOrJson::Json => common::json(&Listing {
            schema_version: SCHEMA_VERSION,
            policies,
        })?,
        TextOrJson::Text => table(&policies).into_bytes(),
    };
    common::deliver(None, &bytes)?;
    Ok(Exit::Ok)
}

fn table(rows: &[Row]) -> String {
    let width =
        |of: fn(&Row) -> usize, least: usize| rows.iter().map(of).max().unwrap_or(0).max(least);
    let id = width(|row| row.id.len(), "policy".len());
    let head = format!("{:id$}  {:8}  {:7}  title\n", "policy", "severity", "fix");
    let line = |row: &Row| {
        let fix = row.fix.unwrap_or("-");
        let off = if row.enabled { "" } else { " (not asked)" };
        format!(
            "{:id$}  {:8}  {fix:7}  {}{off}\n",
            row.id,
            row.severity.as_str(),
            atrest_reports::printable(&row.title),
        )
    };
    std::iter::once(head).chain(rows.iter().map(line)).collect()
}

fn show(id: &str, folder: Option<&Path>) -> anyhow::Result<Exit> {
    if let Some(page) = rules::page(id) {
        common::deliver(None, page.as_bytes())?;
        return Ok(Exit::Ok);
    }
    let custom = folder.map(read_custom).transpose()?;
    let found = custom
        .iter()
        .flat_map(CustomPolicies::metas)
        .find(|meta| meta.id == id);
    let Some(meta) = found else {
        let all = ids(custom.as_ref());
        let near = nearest(id, all.iter().map(String::as_str));
        let near = near.map(|near| format!("did you mean {near}? "));
        return Err(ExpectedError::usage(
            format!("there is no policy {id:?}"),
            format!(
                "{}`atrest policy list` has them all; --policies adds your own",
                near.unwrap_or_default()
            ),
        ));
    };
    let remedy = meta.remedy.map(|remedy| format!("\n**Fix.** {remedy}\n"));
    let page = format!(
        "# {}\n\n{}\n\n**Judges.** {}\n\n**Severity.** {}\n{}",
        meta.id,
        meta.title,
        meta.kind.as_str(),
        meta.severity.as_str(),
        remedy.unwrap_or_default()
    );
    common::deliver(None, page.as_bytes())?;
    Ok(Exit::Ok)
}

/// Runs every `DIR/POLICY/*.json`.
fn test(args: &PolicyTestArgs) -> anyhow::Result<Exit> {
    let custom = read_custom(args.policies.as_deref().unwrap_or(&args.dir))?;
    let mut out = std::io::stdout().lock();
    let (mut passed, mut failed) = (0_usize, 0_usize);
    for folder in sorted(&args.dir, |path| path.is_dir())? {
        let policy = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let is_case = |path: &Path| path.extension().is_some_and(|ending| ending == "json");
        let files = sorted(&folder, is_case)?;
        if files.is_empty() {
            continue;
        }
        if !is_known(&policy, Some(&custom)) {
            return Err(ExpectedError::usage(
                format!("{}: there is no policy {policy:?}", folder.display()),
                "a folder of cases bears the id of its policy; `atrest policy list` has them all",
            ));
        }
        writeln!(out, "{policy}")?;
        for file in files {
            let wrong = |what: String| {
                ExpectedError::usage(what, "docs/custom-policies.md says what a case looks like")
            };
            let text = std::fs::read_to_string(&file)
                .map_err(|error| wrong(format!("cannot read {}: {error}", file.display())))?;
            let case = Case::parse(&file, &text).map_err(wrong)?;
            let result = case.run(&file, &policy, Some(&custom)).map_err(wrong)?;
            let word = if result.mismatches.is_empty() {
                passed += 1;
                "ok  "
            } else {
                failed += 1;
                "FAIL"
            };
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            let shows = atrest_reports::printable(&case.shows);
            writeln!(out, "  {word}  {name}: {shows}")?;
            for mismatch in &result.mismatches {
                writeln!(out, "        {}", atrest_reports::printable(mismatch))?;
            }
        }
    }
    if passed + failed == 0 {
        return Err(ExpectedError::usage(
            format!("{} holds no cases", args.dir.display()),
            "a case is a file DIR/POLICY/NAME.json; docs/custom-policies.md says what it looks like",
        ));
    }
    writeln!(out, "{passed} passed, {failed} failed")?;
    out.flush()?;
    Ok(if failed == 0 {
        Exit::Ok
    } else {
        Exit::Findings
    })
}

/// What a folder holds and `wanted` takes, by name.
fn sorted(folder: &Path, wanted: impl Fn(&Path) -> bool) -> anyhow::Result<Vec<PathBuf>> {
    let failed = |error: std::io::Error| {
        ExpectedError::usage(
            format!("cannot read {}: {error}", folder.display()),
            "give a folder with policies and their cases",
        )
    };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if wanted(&path) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}
