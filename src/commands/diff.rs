//! `atrest diff`: pairs named on the command line, or all pairs of a run.

use atrest_fixer::store::RunStore;
use atrest_model::Tool;
use atrest_model::diff::{DiffReport, PairDiff, SCHEMA_VERSION};
use atrest_model::instance::DbInstance;
use atrest_model::plan::MysqlAccess;
use atrest_reports::DiffFormat;
use atrest_scanner::access::MysqlAuth;
use atrest_scanner::aws::Aws;
use atrest_scanner::compare::{self, DataRequest, Pair, ProgressStore};
use atrest_scanner::inventory::{self, Inventory};
use atrest_scanner::pair::NameMap;

use super::data_progress::ProgressFile;
use super::{common, fix, login};
use crate::cli::DiffArgs;
use crate::exit::{Exit, ExpectedError};

pub(crate) async fn run(args: DiffArgs) -> anyhow::Result<Exit> {
    let outputs = common::outputs::<DiffFormat>(&args.format, "diff")?;
    let aws = common::aws(&args.aws).await?;
    let progress = match &args.resume {
        Some(path) => Some(ProgressFile::open(path)?),
        None => None,
    };
    let data = DataRequest {
        check: common::data_check(args.data),
        store: progress.as_ref().map(|file| file as &dyn ProgressStore),
    };
    let report = match &args.run {
        Some(run) => of_run(run, &args, &aws, data).await?,
        None => of_pairs(&args, &aws, data).await?,
    };
    for output in &outputs {
        let style = common::style_of(output);
        common::write_output(output.path.as_deref(), |out| {
            atrest_reports::diff(&report, output.format, args.drift_only, &style, out)
        })?;
    }
    let stopped = match progress {
        None => false,
        Some(file) => {
            let stopped = file.is_stopped();
            let unread = report.pairs.iter().any(|pair| pair.incomplete().is_some());
            file.end(!unread)?;
            stopped && unread
        }
    };
    let exit = exit_of(&report);
    Ok(exit.max(if stopped { Exit::Stopped } else { Exit::Ok }))
}

async fn of_run(
    run: &str,
    args: &DiffArgs,
    aws: &Aws,
    data: DataRequest<'_>,
) -> anyhow::Result<DiffReport> {
    let store =
        RunStore::open_to_read(&args.state.state_dir, run).map_err(|e| ExpectedError::store(&e))?;
    let plan = store.plan();
    fix::check_account(aws, plan).await?;
    let auth = match &plan.mysql {
        MysqlAccess::Off { .. } => None,
        MysqlAccess::Required => login::fleet(&args.mysql, aws).await?,
    };
    let mut regions: Vec<String> = plan.migrations.iter().map(|m| m.region.clone()).collect();
    regions.sort();
    regions.dedup();
    let inventory = read(aws, &plan.account, &regions).await?;
    of_store(&store, aws, &inventory, auth.as_ref(), data).await
}

/// Every pair of a run, whatever names the two sides have by now.
pub(crate) async fn of_store(
    store: &RunStore,
    aws: &Aws,
    inventory: &Inventory,
    auth: Option<&MysqlAuth>,
    data: impl Into<DataRequest<'_>>,
) -> anyhow::Result<DiffReport> {
    let data = data.into();
    let plan = store.plan();
    let by_id = |id: &str| {
        let mut all = inventory
            .regions
            .iter()
            .flat_map(|region| &region.instances);
        all.find(|instance| instance.dbi_resource_id() == id)
            .ok_or_else(|| {
                ExpectedError::usage(
                    format!("no DB instance has resource id {id} any more"),
                    "it was deleted; nothing is left to compare",
                )
            })
    };
    let mut compared = Vec::new();
    for migration in &plan.migrations {
        let records = store
            .steps(&migration.id)
            .map_err(|e| ExpectedError::store(&e))?;
        let (mut old_names, mut new_names) = compare::names_of(migration);
        let rds = aws.rds(&migration.region);
        if let Some(planned) = &migration.cluster {
            let made = records
                .get("restore-cluster")
                .and_then(|record| record.result.get("db_cluster_resource_id")?.as_str());
            let of = |id: &str| {
                inventory
                    .regions
                    .iter()
                    .flat_map(|region| &region.clusters)
                    .find(|cluster| cluster.resource_id() == id)
            };
            let sides = of(&planned.db_cluster_resource_id).zip(made.and_then(of));
            let Some((old, new)) = sides else {
                return Err(ExpectedError::usage(
                    format!(
                        "the cluster {} or its successor is not there (any more)",
                        planned.identifier
                    ),
                    format!("`atrest status {}` shows how far the run is", plan.run),
                ));
            };
            let name = planned.identifier.as_str();
            compared.push(compare::clusters(name, old, &old_names, new, &new_names));
        }
        // As they are called now: RDS draws some of its names.
        for member in migration.members() {
            let real = member.identifier.to_string();
            let made = records
                .get(&member.made_by)
                .and_then(|record| record.result.get("dbi_resource_id")?.as_str());
            if let Ok(old) = by_id(&member.dbi_resource_id) {
                old_names.insert(old.identifier().to_owned(), real.clone());
            }
            if let Some(Ok(new)) = made.map(by_id) {
                new_names.insert(new.identifier().to_owned(), real);
            }
        }
        for member in migration.members() {
            let made = records
                .get(&member.made_by)
                .and_then(|record| record.result.get("dbi_resource_id")?.as_str());
            let Some(made) = made else {
                return Err(ExpectedError::usage(
                    format!(
                        "run {} has not made the successor of {} yet",
                        plan.run, member.identifier
                    ),
                    format!("`atrest status {}` shows how far it is", plan.run),
                ));
            };
            let pair = Pair {
                name: member.identifier.as_str(),
                old: by_id(&member.dbi_resource_id)?,
                new: by_id(made)?,
                old_names: &old_names,
                new_names: &new_names,
            };
            compared.push(compare::pair(&rds, &pair, auth, &plan.mysql, data).await);
        }
    }
    Ok(report(compared))
}

async fn of_pairs(args: &DiffArgs, aws: &Aws, data: DataRequest<'_>) -> anyhow::Result<DiffReport> {
    let mut names = Vec::new();
    for pair in &args.pairs {
        let Some((old, new)) = pair
            .split_once('=')
            .filter(|(old, new)| !old.is_empty() && !new.is_empty())
        else {
            return Err(ExpectedError::usage(
                format!("{pair:?} is not a pair"),
                "write OLD=NEW, such as old-prod-one=prod-one",
            ));
        };
        names.push((old, new));
    }
    let auth = login::fleet(&args.mysql, aws).await?;
    let identity = common::identity(aws).await?;
    let regions = common::regions(aws, &args.aws).await?;
    let inventory = read(aws, &identity.account, &regions).await?;
    // What clients call the pair: the new side's name without the prefix of an unfinished migration.
    fn real(new: &str) -> &str {
        new.strip_prefix("new-").unwrap_or(new)
    }
    let old_names: NameMap = names
        .iter()
        .map(|(old, new)| ((*old).to_owned(), real(new).to_owned()))
        .collect();
    let new_names: NameMap = names
        .iter()
        .map(|(_, new)| ((*new).to_owned(), real(new).to_owned()))
        .collect();
    let mut pairs = Vec::new();
    for (old, new) in &names {
        pairs.push(Pair {
            name: real(new),
            old: one(&inventory, old)?,
            new: one(&inventory, new)?,
            old_names: &old_names,
            new_names: &new_names,
        });
    }
    let access = match &auth {
        Some(_) => MysqlAccess::Required,
        None => MysqlAccess::Off {
            reason: "--mysql off".to_owned(),
        },
    };
    Ok(compared(aws, &pairs, auth.as_ref(), &access, data).await)
}

/// The only instance of that name.
fn one<'a>(inventory: &'a Inventory, name: &str) -> anyhow::Result<&'a DbInstance> {
    match inventory.named(name).as_slice() {
        [instance] => Ok(instance),
        [] => Err(ExpectedError::usage(
            format!("no DB instance {name:?}"),
            "check the name and --region",
        )),
        _ => Err(ExpectedError::usage(
            format!("{name} is in more than one region"),
            "name the region with --region",
        )),
    }
}

async fn read(aws: &Aws, account: &str, regions: &[String]) -> anyhow::Result<Inventory> {
    let inventory = inventory::read(aws, account, regions).await;
    match inventory
        .regions
        .iter()
        .find_map(|region| region.error.as_ref())
    {
        Some(error) => Err(ExpectedError::aws(error)),
        None => Ok(inventory),
    }
}

async fn compared(
    aws: &Aws,
    pairs: &[Pair<'_>],
    auth: Option<&MysqlAuth>,
    access: &MysqlAccess,
    data: DataRequest<'_>,
) -> DiffReport {
    let mut compared = Vec::new();
    for pair in pairs {
        compared.push(compare::pair(&aws.rds(&pair.old.region), pair, auth, access, data).await);
    }
    report(compared)
}

fn report(pairs: Vec<PairDiff>) -> DiffReport {
    DiffReport {
        schema_version: SCHEMA_VERSION,
        tool: Tool::current(),
        created: jiff::Timestamp::now(),
        pairs,
    }
}

/// Drift, or a part that could not be read, or neither.
pub(crate) fn exit_of(report: &DiffReport) -> Exit {
    let drift = if report.drift() > 0 {
        Exit::Drift
    } else {
        Exit::Ok
    };
    let incomplete = report.pairs.iter().any(|pair| pair.incomplete().is_some());
    drift.max(if incomplete {
        Exit::Incomplete
    } else {
        Exit::Ok
    })
}
