//! `atrest demo`: the whole loop on a sandbox inside this process.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use atrest_fixer::clock::Timing;
use atrest_fixer::executor;
use atrest_fixer::fleet::Waves;
use atrest_fixer::options::{FixOptions, FleetOptions};
use atrest_fixer::planner::{Quiesce, Wish};
use atrest_fixer::store::RunStore;
use atrest_model::diff::DiffReport;
use atrest_model::finding::FindingStatus;
use atrest_model::id::RunId;
use atrest_model::plan::{DataCheck, LeftOut, MysqlAccess};
use atrest_model::scan::ScanReport;
use atrest_reports::{DiffFormat, ScanFormat, StepHistory};
use atrest_sandbox::{Sandbox, SandboxOptions};
use atrest_scanner::access::{MysqlAuth, Password, Tls};
use atrest_scanner::aws::Aws;
use secrecy::SecretString;
use serde::Serialize;

use super::plan::PlanRequest;
use super::report::{self, Named, Saved, SavedRun};
use super::{common, diff, fix, plan, sandbox, scan};
use crate::cli::{DemoArgs, OutputArgs};
use crate::exit::{Exit, ExpectedError};
use crate::progress::{Progress, Shape};

/// What the demo ends with, also as `summary.json`.
#[derive(Debug, Serialize)]
struct Summary {
    schema_version: u32,
    /// Resources whose storage was not encrypted at the first scan.
    flagged_before: usize,
    /// Of these, how many the plan migrates.
    planned: usize,
    /// Of the planned ones, how many the last scan still flags.
    flagged_after: usize,
    /// Flagged and not planned, each with its reason.
    left_out: Vec<LeftOut>,
    /// Unexplained differences over all pairs.
    drift: usize,
    /// Rows counted on both sides of all pairs.
    rows_compared: u64,
    /// Accounts compared over all pairs.
    accounts_compared: u64,
    /// Servers behind the instances; empty means control plane only.
    engines: Vec<String>,
    /// Why accounts and rows were not compared, when they were not.
    not_compared: Option<String>,
    /// Wall-clock seconds.
    seconds: f64,
}

const SCENARIO: &str = "seed-story";

pub(crate) async fn run(args: DemoArgs, output: &OutputArgs) -> anyhow::Result<Exit> {
    let began = Instant::now();
    fresh_folder(&args.dir)?;
    let scenario = sandbox::load(SCENARIO)?;
    let access = scenario.access();
    stage(
        1,
        "an RDS of your own: the sandbox starts, with its databases",
    );
    let options = SandboxOptions {
        scenario,
        port: 0,
        speed: args.speed,
        engines: sandbox::mode(args.engines),
        install_dir: sandbox::install_dir()?,
        work_dir: sandbox::work_dir().await,
        request_log: Some(args.dir.join("requests.jsonl")),
        seed: 1,
    };
    let running = Sandbox::start(options).await.map_err(sandbox::failed)?;
    let result = {
        let ready = running.ready();
        say(&format!(
            "endpoint {}, {} instances",
            running.endpoint(),
            ready.instances
        ));
        match &ready.missing {
            None => say(&format!(
                "real servers behind the MySQL and MariaDB instances: {}",
                ready.engines.join(", ")
            )),
            Some(why) => say(why),
        }
        let setting = Setting {
            aws: Aws::fixed(
                &running.endpoint(),
                "us-east-1",
                &access.access_key_id,
                &access.secret_access_key,
            ),
            account: access.account.clone(),
            regions: access.regions.clone(),
            auth: ready.missing.is_none().then(|| {
                let password = SecretString::from(access.master_password.clone());
                let tls = Tls::Verify {
                    ca_file: ready.ca_file.clone(),
                    server_name: None,
                };
                MysqlAuth::new(Password::Given(password), tls)
            }),
            missing: ready.missing.clone(),
            engines: ready.engines.clone(),
        };
        tell(&setting, &args, output, began).await
    };
    running.shutdown().await.map_err(sandbox::failed)?;
    result
}

/// What the loop runs on.
struct Setting {
    aws: Aws,
    account: String,
    regions: Vec<String>,
    auth: Option<MysqlAuth>,
    missing: Option<String>,
    engines: Vec<String>,
}

async fn tell(
    setting: &Setting,
    args: &DemoArgs,
    output: &OutputArgs,
    began: Instant,
) -> anyhow::Result<Exit> {
    let dir = &args.dir;
    let style = common::stdout_style();
    let Setting {
        aws,
        account,
        regions,
        ..
    } = setting;

    stage(2, "the audit: atrest scan");
    let (before, inventory) = scan::scan(aws, account, regions).await;
    show(|out| atrest_reports::scan(&before, ScanFormat::Table, &style, out))?;
    save(dir, "scan-before.json", &before)?;

    stage(3, "the plan: atrest plan");
    let run = RunId::try_from("demo".to_owned())?;
    let mysql = match &setting.missing {
        None => MysqlAccess::Required,
        Some(reason) => MysqlAccess::Off {
            reason: reason.clone(),
        },
    };
    let data_check = if setting.missing.is_none() {
        DataCheck::Checksums
    } else {
        DataCheck::None
    };
    let request = PlanRequest {
        run,
        key: "alias/rds-migration".to_owned(),
        mysql,
        data_check,
        method: Wish::default(),
        refused: BTreeMap::new(),
        waves: Waves::default(),
        hooks: Vec::new(),
        quiesce: Quiesce {
            window_seconds: 1,
            ..Quiesce::default()
        },
        way_back: None,
    };
    let identity = common::identity(aws).await?;
    let auth = setting.auth.as_ref();
    let plan = Box::pin(plan::make(aws, &identity, &inventory, request, None, auth)).await;
    if let Some(why) = plan::refusal(&plan) {
        return Err(why);
    }
    save(dir, "plan.json", &plan)?;
    let mut text = Vec::new();
    atrest_reports::plan(&plan, &common::file_style(), &mut text)?;
    common::deliver(Some(&dir.join("plan.txt")), &text)?;
    for migration in &plan.migrations {
        let replicas = migration.replicas.len();
        say(&format!(
            "{}: {} steps, {replicas} replicas with it",
            migration.id,
            migration.steps.len()
        ));
    }
    for left in &plan.left_out {
        say(&format!("left out: {}: {}", left.arn, left.reason));
    }
    say(&format!(
        "every step with its arguments is in {}",
        dir.join("plan.txt").display()
    ));

    stage(4, "the migration: atrest fix --execute");
    let store = RunStore::create(dir, plan.clone()).map_err(|e| ExpectedError::store(&e))?;
    let run_dir = store.dir().to_owned();
    // The pace of RDS, as fast as the sandbox's clock runs.
    let scaled = |seconds: f64, least: u64| {
        Duration::from_secs_f64(seconds / args.speed.max(1e-3)).max(Duration::from_millis(least))
    };
    let options = FixOptions {
        timing: Timing {
            poll: scaled(5.0, 20),
            consistency: scaled(180.0, 500),
            confirmations: 3,
        },
        concurrency: 20,
        stop_before: None,
        fleet: FleetOptions::default(),
        mysql: setting.auth.clone(),
    };
    let progress = Progress::begin(Shape {
        plan: &plan,
        dir: &run_dir,
        steps: Vec::new(),
        history: StepHistory::default(),
        style: common::stderr_style(),
        quiet: output.no_progress || output.quiet,
        events: Vec::new(),
    });
    let ended = executor::run(aws, store, &options, &progress, common::stop_signal()?)
        .await
        .map_err(|e| ExpectedError::store(&e))?;
    progress.end();
    show(|out| atrest_reports::run(&ended, &style, out))?;

    stage(5, "the audit again: atrest scan");
    let (after, inventory) = scan::scan(aws, account, regions).await;
    show(|out| atrest_reports::scan(&after, ScanFormat::Table, &style, out))?;
    save(dir, "scan-after.json", &after)?;
    say(
        "what is flagged by storage-unencrypted now are the old-* instances and what was left out: the migration deletes \
         nothing; `atrest cleanup` does, after a soak",
    );

    let migrated = fix::exit_of(&ended);
    if migrated != Exit::Ok {
        // A summary would need pairs that are not there.
        return Err(ExpectedError::of(
            migrated,
            "the migration did not end; the run is kept",
            format!("{} has the journal and the events", run_dir.display()),
        ));
    }

    stage(6, "the proof: atrest diff, old against new");
    let store =
        RunStore::open_to_read(dir, plan.run.as_str()).map_err(|e| ExpectedError::store(&e))?;
    let differences =
        diff::of_store(&store, aws, &inventory, setting.auth.as_ref(), data_check).await?;
    show(|out| atrest_reports::diff(&differences, DiffFormat::Table, false, &style, out))?;
    save(dir, "diff.json", &differences)?;
    let mut text = Vec::new();
    atrest_reports::diff(
        &differences,
        DiffFormat::Text,
        false,
        &common::file_style(),
        &mut text,
    )?;
    common::deliver(Some(&dir.join("diff.txt")), &text)?;
    say(&format!(
        "every difference with its class is in {}",
        dir.join("diff.txt").display()
    ));

    let saved = Saved {
        scans: vec![
            Named {
                name: "scan-before.json".to_owned(),
                document: before.clone(),
            },
            Named {
                name: "scan-after.json".to_owned(),
                document: after.clone(),
            },
        ],
        diffs: vec![Named {
            name: "diff.json".to_owned(),
            document: differences.clone(),
        }],
        runs: vec![Named {
            name: plan.run.to_string(),
            document: SavedRun::of_store(&store).map_err(|e| ExpectedError::store(&e))?,
        }],
    };
    let page = dir.join("report.html");
    atrest_reports::write_atomically_with(&page, |out| {
        report::page(&saved, None, &scan::rules(), out)
    })?;
    say(&format!(
        "audit, migration and proof on one page: {}",
        page.display()
    ));

    let planned: BTreeSet<String> = plan
        .migrations
        .iter()
        .flat_map(|migration| {
            migration
                .members()
                .map(|m| arn(&before, &migration.region, m.identifier.as_str()))
        })
        .collect();
    let summary = summarize(
        setting,
        &before,
        &after,
        &differences,
        &planned,
        plan.left_out,
        began,
    );
    save(dir, "summary.json", &summary)?;
    print_summary(&summary, dir)?;
    let flagged = if summary.flagged_after > 0 {
        Exit::Findings
    } else {
        Exit::Ok
    };
    Ok(flagged.max(diff::exit_of(&differences)))
}

fn summarize(
    setting: &Setting,
    before: &ScanReport,
    after: &ScanReport,
    differences: &DiffReport,
    planned: &BTreeSet<String>,
    left_out: Vec<LeftOut>,
    began: Instant,
) -> Summary {
    Summary {
        schema_version: 1,
        flagged_before: flagged(before).len(),
        planned: planned.len(),
        flagged_after: flagged(after).intersection(planned).count(),
        left_out,
        drift: differences.drift(),
        rows_compared: differences
            .pairs
            .iter()
            .map(|pair| pair.compared.rows)
            .sum(),
        accounts_compared: differences
            .pairs
            .iter()
            .map(|pair| pair.compared.accounts)
            .sum(),
        engines: setting.engines.clone(),
        not_compared: setting.missing.clone(),
        seconds: began.elapsed().as_secs_f64(),
    }
}

fn flagged(report: &ScanReport) -> BTreeSet<String> {
    report
        .findings
        .iter()
        .filter(|f| f.policy == atrest_policies::STORAGE_UNENCRYPTED)
        .filter(|f| f.status == FindingStatus::Fail)
        .map(|f| f.resource.clone())
        .collect()
}

fn arn(report: &ScanReport, region: &str, identifier: &str) -> String {
    let found = report
        .resources
        .iter()
        .find(|r| r.region == region && r.identifier == identifier);
    found
        .map(|resource| resource.arn.clone())
        .unwrap_or_default()
}

fn print_summary(summary: &Summary, dir: &Path) -> anyhow::Result<()> {
    show(|out| {
        writeln!(out)?;
        writeln!(out, "flagged before   {}", summary.flagged_before)?;
        writeln!(
            out,
            "planned          {}   left out {}",
            summary.planned,
            summary.left_out.len()
        )?;
        writeln!(
            out,
            "flagged after    {}   of the planned ones",
            summary.flagged_after
        )?;
        writeln!(out, "drift            {}", summary.drift)?;
        match &summary.not_compared {
            None => writeln!(
                out,
                "compared         {} accounts, {} rows, on both sides of each pair\nservers          {}",
                summary.accounts_compared,
                summary.rows_compared,
                summary.engines.join(", ")
            )?,
            Some(why) => writeln!(out, "not compared     accounts and rows: {why}")?,
        }
        writeln!(
            out,
            "took             {:.1} s; everything is in {}/",
            summary.seconds,
            dir.display()
        )?;
        writeln!(out)?;
        writeln!(out, "next: open {}/report.html in a browser", dir.display())?;
        writeln!(
            out,
            "      atrest scan             your own account; it only reads"
        )?;
        writeln!(
            out,
            "      atrest help tutorial    the same loop, step by step"
        )
    })
}

/// An earlier demo is replaced; a folder of something else is not.
fn fresh_folder(dir: &Path) -> anyhow::Result<()> {
    let cannot = |error: std::io::Error| {
        ExpectedError::usage(
            format!("cannot make {}: {error}", dir.display()),
            "choose another folder with --dir",
        )
    };
    if dir.exists() {
        let empty = std::fs::read_dir(dir).map_err(cannot)?.next().is_none();
        if !empty && !dir.join("requests.jsonl").is_file() {
            return Err(ExpectedError::usage(
                format!("{} exists and is not an earlier demo's", dir.display()),
                "choose another folder with --dir",
            ));
        }
        std::fs::remove_dir_all(dir).map_err(cannot)?;
    }
    std::fs::create_dir_all(dir).map_err(cannot)
}

fn save(dir: &Path, name: &str, value: &impl Serialize) -> anyhow::Result<()> {
    common::deliver(Some(&dir.join(name)), &common::json(value)?)
}

/// Renders to standard output.
fn show(render: impl FnOnce(&mut Vec<u8>) -> std::io::Result<()>) -> anyhow::Result<()> {
    let mut bytes = Vec::new();
    render(&mut bytes)?;
    common::deliver(None, &bytes)
}

fn stage(number: usize, title: &str) {
    use owo_colors::OwoColorize as _;
    // Progress is for people; a closed standard error is no reason to stop.
    let _written = writeln!(
        anstream::stderr(),
        "\n{} {}",
        format!("[{number}/6]").cyan().bold(),
        title.bold()
    );
}

fn say(text: &str) {
    let _written = writeln!(
        anstream::stderr(),
        "      {}",
        atrest_reports::printable(text)
    );
}
