//! `atrest fix`: shows a plan, carries it out, takes a run up again.

use std::path::{Path, PathBuf};

use atrest_fixer::clock::Timing;
use atrest_fixer::executor::{self, Reporter as _};
use atrest_fixer::fleet::BlastRadius;
use atrest_fixer::hooks;
use atrest_fixer::options::{FixOptions, FleetOptions, InterruptedHooks};
use atrest_fixer::planner::{cluster_digest, settled_digest};
use atrest_fixer::store::{self, RunStore, read_plan};
use atrest_fixer::undo::rehearsal;
use atrest_model::event::RunEvent;
use atrest_model::plan::{MysqlAccess, Plan, TAG_RUN};
use atrest_model::run::{Outcome, RunReport};
use atrest_reports::{FixFormat, Output, PlanFormat, RunFormat};
use atrest_scanner::access::MysqlAuth;
use atrest_scanner::aws::Aws;
use atrest_scanner::inventory;

use super::report::{self, SavedRun};
use super::{common, durations, login, metrics, refusals, run_scans, shared};
use crate::cli::{FixArgs, HooksArg, MysqlArgs, OutputArgs, StateArgs};
use crate::config::{Config, FleetTable};
use crate::exit::{Exit, ExpectedError};
use crate::progress::{Progress, Shape, Sink};
use crate::webhook::Webhook;

pub(crate) async fn run(
    args: FixArgs,
    config: &Config,
    output: &OutputArgs,
) -> anyhow::Result<Exit> {
    if let Some(run) = &args.pause {
        return pause(run, &args.state);
    }
    match (&args.resume, &args.adopt, &args.plan) {
        (Some(run), _, _) => resume(run, &args, config, output).await,
        (None, Some(path), _) => adopt(path, &args, config, output).await,
        (None, None, Some(path)) => begin(path, &args, config, output).await,
        (None, None, None) => Err(ExpectedError::usage(
            "neither a plan nor --resume or --adopt is given",
            "see `atrest fix --help`",
        )),
    }
}

/// The process that has the run ends by itself; nothing is waited for here.
fn pause(run: &str, state: &StateArgs) -> anyhow::Result<Exit> {
    store::pause(&state.state_dir, run).map_err(|e| ExpectedError::store(&e))?;
    tracing::warn!(
        "run {run} sees through what is under way and ends; `atrest status {run}` shows how far it is, `atrest fix --resume {run}` goes on"
    );
    Ok(Exit::Ok)
}

async fn begin(
    path: &Path,
    args: &FixArgs,
    config: &Config,
    output: &OutputArgs,
) -> anyhow::Result<Exit> {
    let plan = read_plan(path).map_err(|e| ExpectedError::store(&e))?;
    check_stop_before(args.stop_before.as_deref(), &plan)?;
    check_hooks(&plan, config)?;
    let radius = config.fleet()?.radius(&args.radius);
    let shown = if args.execute {
        None
    } else {
        Some(outputs_of_plan(args)?)
    };
    let told = match &shown {
        None => Some(Told::of(args)?),
        Some(_) => None,
    };
    let aws = common::aws(&args.aws).await?;
    let shared = shared::asked_for(&aws, &args.shared).filter(|_asked| args.execute);
    // A run that has a folder here is taken up otherwise, and is told so below.
    let is_new = RunStore::open_to_read(&args.state.state_dir, plan.run.as_str()).is_err();
    if let (Some(shared), true) = (&shared, is_new) {
        // Before what has changed is taken for a stale plan.
        shared::look(shared, &plan).await?;
    }
    let auth = check(&aws, &plan, &args.mysql, Some(&radius)).await?;
    let unfit = plan
        .migrations
        .iter()
        .find_map(|migration| Some((migration, rehearsal::why_not(migration)?)));
    if let (true, Some((migration, why))) = (args.rehearse, unfit) {
        return Err(ExpectedError::usage(
            format!("{} cannot be rehearsed: {why}", migration.id),
            "plan the others without it",
        ));
    }
    let plan = if args.rehearse {
        rehearsal::plan(&plan).map_err(|e| {
            ExpectedError::usage(e.to_string(), "plan again with a shorter name of the run")
        })?
    } else {
        plan
    };
    let Some(told) = told else {
        super::plan::show(&plan, &shown.unwrap_or_default())?;
        tracing::warn!("nothing was changed; the plan still fits. Carry it out with --execute");
        return Ok(Exit::Ok);
    };
    let store =
        RunStore::create(&args.state.state_dir, plan).map_err(|e| ExpectedError::store(&e))?;
    let store = shared::take_new(shared.as_ref(), store, None).await?;
    if args.rehearse {
        // Nothing changes that an audit could show.
        return drive(&aws, store, args, config, auth, told, output).await;
    }
    run_scans::save(&aws, store.plan(), store.dir(), run_scans::BEFORE).await;
    drive(&aws, store, args, config, auth, told, output).await
}

async fn resume(
    run: &str,
    args: &FixArgs,
    config: &Config,
    output: &OutputArgs,
) -> anyhow::Result<Exit> {
    let mut store =
        RunStore::open(&args.state.state_dir, run).map_err(|e| ExpectedError::store(&e))?;
    if store.work().plan.migrations.is_empty() && !store.phases().is_empty() {
        return Err(ExpectedError::usage(
            format!(
                "nothing of run {run} is to be migrated any more: it was rolled back or cleaned up"
            ),
            "`atrest status RUN` tells how far; make a new plan to migrate what was rolled back",
        ));
    }
    check_stop_before(args.stop_before.as_deref(), store.plan())?;
    let told = Told::of(args)?;
    let aws = common::aws(&args.aws).await?;
    let auth = check(&aws, &store.plan().clone(), &args.mysql, None).await?;
    shared::take(&aws, &args.shared, &mut store).await?;
    drive(&aws, store, args, config, auth, told, output).await
}

/// Takes a run up from its tags. Freshness is not asked for: the run has changed what the plan was made from.
async fn adopt(
    path: &Path,
    args: &FixArgs,
    config: &Config,
    output: &OutputArgs,
) -> anyhow::Result<Exit> {
    let plan = read_plan(path).map_err(|e| ExpectedError::store(&e))?;
    check_stop_before(args.stop_before.as_deref(), &plan)?;
    let told = Told::of(args)?;
    let aws = common::aws(&args.aws).await?;
    let shared = shared::asked_for(&aws, &args.shared);
    let look = match &shared {
        Some(shared) => Some(shared::look_to_adopt(shared, &plan).await?),
        None => None,
    };
    let auth = check(&aws, &plan, &args.mysql, None).await?;
    if let (Some(shared), Some(look)) = (&shared, &look) {
        let copied = shared::adopt(shared, &args.state.state_dir, &plan, look).await?;
        if let Some(store) = copied {
            let store = shared::take_new(Some(shared), store, Some(look)).await?;
            return drive(&aws, store, args, config, auth, told, output).await;
        }
    }
    let inventory = inventory::read(&aws, &plan.account, &regions(&plan)).await;
    if let Some(error) = inventory
        .regions
        .iter()
        .find_map(|region| region.error.as_ref())
    {
        return Err(ExpectedError::aws(error));
    }
    let is_claimed = plan.migrations.iter().any(|migration| {
        inventory
            .regions
            .iter()
            .flat_map(|region| &region.instances)
            .any(|instance| {
                instance.dbi_resource_id() == migration.source.dbi_resource_id
                    && instance.tags().get(TAG_RUN) == Some(&plan.run.as_str())
            })
    });
    if !is_claimed {
        return Err(ExpectedError::usage(
            format!("nothing in RDS bears the tag of run {}", plan.run),
            "there is nothing to adopt; begin the run with `atrest fix PLAN --execute`",
        ));
    }
    let store =
        RunStore::adopt(&args.state.state_dir, plan).map_err(|e| ExpectedError::store(&e))?;
    let store = shared::take_new(shared.as_ref(), store, look.as_ref()).await?;
    drive(&aws, store, args, config, auth, told, output).await
}

fn regions(plan: &Plan) -> Vec<String> {
    let mut regions: Vec<String> = plan.migrations.iter().map(|m| m.region.clone()).collect();
    regions.sort();
    regions.dedup();
    regions
}

async fn drive(
    aws: &Aws,
    store: RunStore,
    args: &FixArgs,
    config: &Config,
    mysql: Option<MysqlAuth>,
    mut told: Told,
    output: &OutputArgs,
) -> anyhow::Result<Exit> {
    let options = FixOptions {
        timing: Timing {
            poll: args.poll_interval,
            consistency: args.consistency_window,
            ..Timing::default()
        },
        concurrency: args.concurrency,
        stop_before: args.stop_before.clone(),
        fleet: fleet_options(args, &config.fleet()?),
        mysql,
    };
    let dir = store.dir().to_owned();
    let plan = store.plan().clone();
    let entries = store.entries().map_err(|e| ExpectedError::store(&e))?;
    let progress = Progress::begin(Shape {
        plan: &report::present(&store),
        dir: &dir,
        steps: report::step_times(&entries),
        history: durations::of_state(&args.state.state_dir),
        style: common::stderr_style(),
        quiet: output.no_progress || output.quiet,
        events: std::mem::take(&mut told.events),
    });
    progress.event(&RunEvent::RunBegan {
        migrations: plan.migrations.len(),
        resumed: store.is_resumed(),
    });
    let stop = common::stop_signal()?;
    let ended = executor::run(aws, store, &options, &progress, stop).await;
    if ended.is_err()
        && let Some(webhook) = told.webhook.take()
    {
        webhook.end().await;
    }
    let ended = ended.map_err(|error| {
        // The journal could not be written: what was done is in RDS, and resume looks there.
        ExpectedError::of(Exit::Stopped, error.to_string(), error.hint())
    })?;
    refusals::remember(&args.state.state_dir, &plan, &ended);
    if ended
        .migrations
        .iter()
        .any(|m| m.outcome == Outcome::Migrated)
    {
        run_scans::save(aws, &plan, &dir, run_scans::AFTER).await;
    }
    let exit = exit_of(&ended);
    progress.event(&RunEvent::RunEnded {
        migrated: migrated(&ended),
        migrations: ended.migrations.len(),
        exit_code: exit as u8,
    });
    progress.end();
    if let Some(webhook) = told.webhook.take() {
        webhook.end().await;
    }
    write_end(ended, exit, &args.state.state_dir, &plan, &told)?;
    Ok(exit)
}

fn migrated(report: &RunReport) -> usize {
    let outcomes = report.migrations.iter().map(|one| &one.outcome);
    outcomes.filter(|outcome| outcome.is_whole()).count()
}

/// What a run tells, and where.
struct Told {
    ends: Vec<End>,
    events: Vec<Sink>,
    webhook: Option<Webhook>,
    metrics: Option<PathBuf>,
}

impl Told {
    /// Read and opened before anything is begun.
    fn of(args: &FixArgs) -> anyhow::Result<Self> {
        let ends = outputs(args)?;
        let mut events: Vec<Sink> = sink(args)?.into_iter().collect();
        let webhook = Webhook::of(&args.operations)?;
        events.extend(webhook.as_ref().map(Webhook::sink));
        Ok(Self {
            ends,
            events,
            webhook,
            metrics: args.operations.metrics.clone(),
        })
    }
}

/// Where the end of the run goes.
struct End {
    output: Output<FixFormat>,
    /// To standard error: standard output belongs to the events.
    aside: bool,
}

/// Reads every `--format`, and whether two of them want standard output.
fn outputs(args: &FixArgs) -> anyhow::Result<Vec<End>> {
    let events_on_stdout = args.events.as_deref() == Some(Path::new("-"));
    if args.format.is_empty() {
        let output = Output {
            format: FixFormat(RunFormat::Table),
            path: None,
        };
        let aside = events_on_stdout;
        return Ok(vec![End { output, aside }]);
    }
    let outputs = common::outputs::<FixFormat>(&args.format, "fix")?;
    if events_on_stdout && outputs.iter().any(|output| output.path.is_none()) {
        return Err(ExpectedError::usage(
            "--events - and a --format without a file both want standard output",
            "--format FORMAT=FILE, or --events FILE",
        ));
    }
    let aside = false;
    Ok(outputs
        .into_iter()
        .map(|output| End { output, aside })
        .collect())
}

/// Formats of a plan that is only shown.
fn outputs_of_plan(args: &FixArgs) -> anyhow::Result<Vec<Output<PlanFormat>>> {
    if args.events.is_some() {
        return Err(ExpectedError::usage(
            "--events tells what a run does, and without --execute there is none",
            "atrest fix PLAN.json --execute --events FILE",
        ));
    }
    if args.format.is_empty() {
        let format = PlanFormat::Text;
        return Ok(vec![Output { format, path: None }]);
    }
    common::outputs::<PlanFormat>(&args.format, "fix")
}

/// Where the events go beside the run folder. A file is appended to, so that a resumed run goes on in it.
fn sink(args: &FixArgs) -> anyhow::Result<Option<Sink>> {
    use std::os::unix::fs::OpenOptionsExt as _;
    let Some(path) = &args.events else {
        return Ok(None);
    };
    if path == Path::new("-") {
        return Ok(Some(Box::new(std::io::stdout())));
    }
    let file = std::fs::File::options()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| {
            ExpectedError::usage(
                format!("cannot write {}: {error}", path.display()),
                "check the folder of --events; nothing was begun",
            )
        })?;
    Ok(Some(Box::new(file)))
}

/// Writes the end of a run in every format that was asked for, with what the journal knows beside it.
fn write_end(
    report: RunReport,
    exit: Exit,
    state_dir: &Path,
    plan: &Plan,
    told: &Told,
) -> anyhow::Result<()> {
    let store = RunStore::open_to_read(state_dir, report.run.as_str());
    let saved = match store.and_then(|store| SavedRun::of_store(&store)) {
        Ok(saved) => saved,
        Err(error) => {
            tracing::warn!("the end is shown without the times of its steps: {error}");
            SavedRun::of_report(report)
        }
    };
    let document = saved.document();
    for End { output, aside } in &told.ends {
        let style = match aside {
            true => common::stderr_style(),
            false => common::style_of(output),
        };
        let FixFormat(format) = output.format;
        let render = |out: &mut dyn std::io::Write| {
            atrest_reports::run_as(document.report, &document.context, format, &style, out)?;
            if plan.rehearsal_of.is_some() && format == RunFormat::Table {
                atrest_reports::forecast(plan, &saved.steps, &style, out)?;
            }
            Ok(())
        };
        if *aside {
            render(&mut anstream::stderr())?;
        } else {
            common::write_output(output.path.as_deref(), render)?;
        }
    }
    match &told.metrics {
        None => Ok(()),
        Some(file) => metrics::of_end(&saved, exit, file),
    }
}

fn fleet_options(args: &FixArgs, table: &FleetTable) -> FleetOptions {
    let base = FleetOptions::default();
    FleetOptions {
        max_failures: args
            .max_failures
            .or(table.max_failures)
            .unwrap_or(base.max_failures),
        copies_in_flight: table.copies_in_flight.unwrap_or(base.copies_in_flight),
        quota_wait: args.quota_wait,
        interrupted_hooks: match args.interrupted_hooks {
            HooksArg::Ask => InterruptedHooks::Ask,
            HooksArg::Again => InterruptedHooks::Again,
            HooksArg::Done => InterruptedHooks::Done,
        },
    }
}

/// What is run is what the plan shows. A configuration that says otherwise by now, and a program that is not there, are
/// found by day.
fn check_hooks(plan: &Plan, config: &Config) -> anyhow::Result<()> {
    if plan.hooks != config.hooks()? {
        return Err(ExpectedError::of(
            Exit::StalePlan,
            "the hooks of the configuration are not those of the plan",
            "make a new plan, or give the configuration it was made with (--config)",
        ));
    }
    match hooks::not_found(plan) {
        None => Ok(()),
        Some(program) => Err(ExpectedError::usage(
            format!("the program {program:?} of a hook is not here, or not executable"),
            "install it, or name it with its folder in atrest.toml and plan again (docs/hooks.md)",
        )),
    }
}

/// The most alarming outcome decides.
pub(crate) fn exit_of(report: &RunReport) -> Exit {
    let hooks = if report.failed_hooks.is_empty() {
        Exit::Ok
    } else {
        Exit::NeedsOperator
    };
    report.migrations.iter().fold(hooks, |exit, migration| {
        exit.max(match &migration.outcome {
            Outcome::Migrated | Outcome::CleanedUp | Outcome::Rehearsed => Exit::Ok,
            Outcome::RolledBack => Exit::RolledBack,
            Outcome::Stopped { .. } => Exit::Stopped,
            Outcome::ValidationFailed { .. } => Exit::ValidationFailed,
            Outcome::NeedsOperator { .. } => Exit::NeedsOperator,
        })
    })
}

/// The plan must be of this account. One that is `fresh` must also be at the beginning of what is there now, and within
/// what may be changed.
pub(crate) async fn check(
    aws: &Aws,
    plan: &Plan,
    mysql: &MysqlArgs,
    fresh: Option<&BlastRadius>,
) -> anyhow::Result<Option<MysqlAuth>> {
    let auth = match &plan.mysql {
        MysqlAccess::Off { .. } => None,
        MysqlAccess::Required => login::fleet(mysql, aws).await?,
    };
    if auth.is_none() && plan.mysql == MysqlAccess::Required {
        return Err(ExpectedError::usage(
            "the plan compares accounts and rows, and MySQL is switched off",
            "leave --mysql off away, or make the plan with it",
        ));
    }
    let identity = common::identity(aws).await?;
    if identity.account != plan.account {
        return Err(ExpectedError::usage(
            format!(
                "the plan is of account {}, the credentials are of {}",
                plan.account, identity.account
            ),
            "use the profile the plan was made with",
        ));
    }
    let Some(radius) = fresh else {
        return Ok(auth);
    };
    let inventory = inventory::read(aws, &identity.account, &regions(plan)).await;
    if let Some(error) = inventory
        .regions
        .iter()
        .find_map(|region| region.error.as_ref())
    {
        return Err(ExpectedError::aws(error));
    }
    for migration in &plan.migrations {
        for member in migration.members() {
            let shown = inventory
                .regions
                .iter()
                .flat_map(|region| &region.instances)
                .find(|instance| instance.dbi_resource_id() == member.dbi_resource_id);
            let why = match shown {
                None => "it is not there any more".to_owned(),
                Some(instance) if instance.identifier() != member.identifier.as_str() => {
                    format!("it is called {} now", instance.identifier())
                }
                Some(instance) if settled_digest(instance) != member.digest => {
                    "it has changed since".to_owned()
                }
                Some(_) => continue,
            };
            return Err(ExpectedError::of(
                Exit::StalePlan,
                format!(
                    "the plan is stale: {} in {}: {why}",
                    member.identifier, migration.region
                ),
                "make a new plan; if a run of this plan was begun, take it up with `atrest fix --resume RUN`, or with --adopt if its folder is lost",
            ));
        }
    }
    for migration in &plan.migrations {
        let Some(planned) = &migration.cluster else {
            continue;
        };
        let shown = inventory
            .regions
            .iter()
            .flat_map(|region| &region.clusters)
            .find(|cluster| cluster.resource_id() == planned.db_cluster_resource_id);
        let fits = shown.is_some_and(|cluster| {
            cluster.identifier() == planned.identifier.as_str()
                && cluster_digest(cluster) == planned.digest
        });
        if !fits {
            return Err(ExpectedError::of(
                Exit::StalePlan,
                format!(
                    "the plan is stale: the cluster {} in {} has changed since, or is gone",
                    planned.identifier, migration.region
                ),
                "make a new plan; if a run of this plan was begun, take it up with `atrest fix --resume RUN`, or with --adopt if its folder is lost",
            ));
        }
    }
    if let Some(why) = super::plan::too_much(radius, plan, &inventory) {
        return Err(why);
    }
    super::plan::still_fits(aws, plan, &inventory).await?;
    if let Some(auth) = &auth {
        super::plan::check_mysql(plan, &inventory, auth).await?;
    }
    Ok(auth)
}

/// A step nobody has would never stop anything.
pub(crate) fn check_stop_before(wanted: Option<&str>, plan: &Plan) -> anyhow::Result<()> {
    let Some(wanted) = wanted else {
        return Ok(());
    };
    let known = plan
        .migrations
        .iter()
        .flat_map(|migration| &migration.steps)
        .any(|step| step.id == wanted || step.id.split(':').next() == Some(wanted));
    if wanted == "cutover" || known {
        return Ok(());
    }
    Err(ExpectedError::usage(
        format!("no step of the plan is called {wanted:?}"),
        "`cutover`, or a step as the plan lists it, such as snapshot, restore, validate",
    ))
}

/// For verbs that need only the account to be right.
pub(crate) async fn check_account(aws: &Aws, plan: &Plan) -> anyhow::Result<()> {
    let identity = common::identity(aws).await?;
    if identity.account == plan.account {
        return Ok(());
    }
    Err(ExpectedError::usage(
        format!(
            "the run is of account {}, the credentials are of {}",
            plan.account, identity.account
        ),
        "use the profile the run was made with",
    ))
}
