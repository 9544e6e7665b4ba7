//! `atrest plan`: reads the fleet and writes a plan. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use atrest_fixer::dependents;
use atrest_fixer::fleet::{BlastRadius, Waves};
use atrest_fixer::planner::{self, Facts, Login, MethodFacts, Quiesce, Wish};
use atrest_fixer::preflight;
use atrest_model::check::Verdict;
use atrest_model::finding::FindingStatus;
use atrest_model::hook::Hook;
use atrest_model::id::RunId;
use atrest_model::instance::{DbCluster, DbInstance, Encryption};
use atrest_model::plan::{DataCheck, Method, MysqlAccess, Plan};
use atrest_model::scan::{self, ScanReport};
use atrest_reports::{Output, PlanFormat};
use atrest_scanner::access::{MysqlAuth, Password};
use atrest_scanner::aws::{Aws, Identity};
use atrest_scanner::inventory::{self, Inventory};

use super::{common, login, refusals};
use crate::cli::{MethodArg, PlanArgs};
use crate::config::Config;
use crate::exit::{Exit, ExpectedError};

pub(crate) async fn run(args: PlanArgs, config: &Config) -> anyhow::Result<Exit> {
    let fleet = config.fleet()?;
    let hooks = config.hooks()?;
    let outputs = common::outputs::<PlanFormat>(&args.format, "plan")?;
    let aws = common::aws(&args.aws).await?;
    let auth = login::fleet(&args.mysql, &aws).await?;
    let identity = common::identity(&aws).await?;
    let saved = args.from.as_deref().map(read_scan).transpose()?;
    if let Some(report) = &saved
        && let Some(other) = report
            .resources
            .iter()
            .find(|r| r.account != identity.account)
    {
        return Err(ExpectedError::usage(
            format!(
                "the saved scan is of account {}, the credentials are of {}",
                other.account, identity.account
            ),
            "use the profile the scan was made with",
        ));
    }
    let regions = match &saved {
        Some(report) if args.aws.region.is_empty() => regions_of(report),
        _ => common::regions(&aws, &args.aws).await?,
    };
    let inventory = inventory::read(&aws, &identity.account, &regions).await;
    if let Some(error) = inventory
        .regions
        .iter()
        .find_map(|region| region.error.as_ref())
    {
        // A plan from half a fleet could miss a replica or a taken name.
        return Err(ExpectedError::aws(error));
    }
    let wanted = wanted(&args, saved.as_ref(), &inventory)?;
    let run = match &args.run {
        Some(name) => RunId::try_from(name.clone())
            .map_err(|e| ExpectedError::usage(e.to_string(), "choose another --run"))?,
        None => default_run(),
    };
    let request = PlanRequest {
        run,
        key: args.kms_key.clone(),
        mysql: match &auth {
            Some(_) => MysqlAccess::Required,
            None => MysqlAccess::Off {
                reason: "--mysql off".to_owned(),
            },
        },
        data_check: common::data_check(args.data_check),
        method: match args.method {
            MethodArg::Auto => Wish::Auto,
            MethodArg::Cold => Wish::Only(Method::Cold),
            MethodArg::BlueGreen => Wish::Only(Method::BlueGreen),
            MethodArg::Replica => Wish::Only(Method::Replica),
        },
        refused: refusals::read(&args.state.state_dir, &identity.account),
        waves: args
            .waves
            .clone()
            .or(fleet.waves.clone())
            .unwrap_or_default(),
        hooks,
        quiesce: Quiesce {
            window_seconds: args.quiesce_window.as_secs(),
            kill_connections: args.kill_connections,
        },
        way_back: args.way_back,
    };
    let plan = Box::pin(make(
        &aws,
        &identity,
        &inventory,
        request,
        wanted.as_ref(),
        auth.as_ref(),
    ))
    .await;
    if !args.instance.is_empty()
        && let Some(left) = plan.left_out.first()
    {
        // All checks, not only the one that stands first in the error.
        show(&plan, &outputs)?;
        return Err(ExpectedError::usage(
            format!("{} cannot be planned: {}", left.arn, left.reason),
            "mend what is named, or plan the others without it",
        ));
    }
    if let Some(why) = too_much(&fleet.radius(&args.radius), &plan, &inventory) {
        show(&plan, &outputs)?;
        return Err(why);
    }
    common::deliver(Some(&args.out), &common::json(&plan)?)?;
    show(&plan, &outputs)?;
    if let Some(why) = refusal(&plan) {
        return Err(why);
    }
    Ok(Exit::Ok)
}

/// The plan as it is asked for.
pub(crate) fn show(plan: &Plan, outputs: &[Output<PlanFormat>]) -> anyhow::Result<()> {
    for output in outputs {
        let mut bytes = Vec::new();
        let style = common::style_of(output);
        atrest_reports::plan_as(plan, output.format, &style, &mut bytes)?;
        common::deliver(output.path.as_deref(), &bytes)?;
    }
    Ok(())
}

/// Why a plan cannot be carried out as it is: something blocks all of it, or nothing is left of it.
pub(crate) fn refusal(plan: &Plan) -> Option<anyhow::Error> {
    let nothing_left = plan.migrations.is_empty();
    let check = plan.blocking().next().or_else(|| {
        plan.checks
            .iter()
            .find(|check| nothing_left && check.blocks())
    })?;
    Some(ExpectedError::of(
        Exit::NeedsOperator,
        format!(
            "the plan is blocked: {} ({}): {}",
            check.subject, check.check, check.detail
        ),
        "mend what blocks, then make the plan again; docs/preflight.md explains each check",
    ))
}

/// Why a plan changes more than is allowed, if it does.
pub(crate) fn too_much(
    radius: &BlastRadius,
    plan: &Plan,
    inventory: &Inventory,
) -> Option<anyhow::Error> {
    let why = radius.exceeded(plan, &instances(inventory))?;
    Some(ExpectedError::of(
        Exit::NeedsOperator,
        why,
        "plan fewer at a time with --instance or --from, or raise the limit on purpose (docs/config.md)",
    ))
}

/// The cheap checks once more, against what is there now.
pub(crate) async fn still_fits(
    aws: &Aws,
    plan: &Plan,
    inventory: &Inventory,
) -> anyhow::Result<()> {
    if let Some(why) = refusal(plan) {
        return Err(why);
    }
    let checks = Box::pin(preflight::again(aws, plan, instances(inventory))).await;
    if let Some(check) = checks.iter().find(|check| check.blocks()) {
        return Err(ExpectedError::of(
            Exit::StalePlan,
            format!(
                "the plan no longer fits: {} ({}): {}",
                check.subject, check.check, check.detail
            ),
            "mend what blocks, or make a new plan; if a run of this plan was begun, take it up with `atrest fix --resume RUN`",
        ));
    }
    // What was proven for the plan and cannot be looked at now is told once, whatever it is of.
    let unproven: BTreeSet<(&str, &str)> = checks
        .iter()
        .filter(|check| check.verdict == Verdict::NotProven)
        .map(|check| (check.check.as_str(), check.detail.as_str()))
        .collect();
    for (check, why) in unproven {
        tracing::warn!("{check} is not proven any more: {why}");
    }
    Ok(())
}

fn instances(inventory: &Inventory) -> Vec<DbInstance> {
    inventory
        .regions
        .iter()
        .flat_map(|region| region.instances.clone())
        .collect()
}

/// What a plan is asked to be.
pub(crate) struct PlanRequest {
    pub(crate) run: RunId,
    pub(crate) key: String,
    pub(crate) mysql: MysqlAccess,
    pub(crate) data_check: DataCheck,
    pub(crate) method: Wish,
    /// RDS's own words where it has refused a blue/green deployment before, by region or `DbiResourceId`.
    pub(crate) refused: BTreeMap<String, String>,
    pub(crate) waves: Waves,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) quiesce: Quiesce,
    pub(crate) way_back: Option<u32>,
}

/// Gathers the facts, drafts and checks.
pub(crate) async fn make(
    aws: &Aws,
    identity: &Identity,
    inventory: &Inventory,
    request: PlanRequest,
    wanted: Option<&BTreeSet<(String, String)>>,
    auth: Option<&MysqlAuth>,
) -> Plan {
    let flagged: Vec<&DbInstance> = inventory
        .regions
        .iter()
        .flat_map(|region| &region.instances)
        .filter(|instance| {
            instance.encryption() == Encryption::None && instance.cluster().is_none()
        })
        .collect();
    let mut keys = BTreeMap::new();
    let clusters = inventory
        .regions
        .iter()
        .flat_map(|region| &region.clusters)
        .filter(|cluster| cluster.encryption() == Encryption::None);
    for region in flagged
        .iter()
        .map(|instance| &instance.region)
        .chain(clusters.map(|cluster| &cluster.region))
        .collect::<BTreeSet<_>>()
    {
        let key = aws.describe_key(region, &request.key).await;
        let key = key.map_err(|error| error.to_string());
        keys.insert(region.clone(), key);
    }
    let replication = match auth {
        Some(auth) if request.method.includes(Method::Replica) => {
            let asked: Vec<&DbInstance> = flagged
                .iter()
                .copied()
                .filter(|instance| {
                    instance.is_mysql_family() && instance.replica_source().is_none()
                })
                .filter(|instance| {
                    let name = (instance.region.clone(), instance.identifier().to_owned());
                    wanted.is_none_or(|wanted| wanted.contains(&name))
                })
                .collect();
            preflight::replication_facts(&asked, auth).await
        }
        _ => BTreeMap::new(),
    };
    let facts = Facts {
        run: request.run,
        created: jiff::Timestamp::now(),
        account: inventory.account.clone(),
        instances: instances(inventory),
        clusters: inventory
            .regions
            .iter()
            .flat_map(|region| region.clusters.clone())
            .collect(),
        keys,
        mysql: request.mysql,
        data_check: request.data_check,
        methods: MethodFacts {
            wish: request.method,
            way_back_hours: request.way_back,
            blue_green_refused: request.refused,
            replication,
        },
        quiesce: request.quiesce,
        dependents: Box::pin(dependents::read(aws, &flagged, &request.key)).await,
        login: auth.map(|auth| Login {
            user: auth.user.clone(),
            follows_rds: matches!(
                auth.password,
                Password::MasterUserSecret { .. } | Password::IamToken { .. }
            ),
        }),
    };
    let mut draft = planner::plan(&facts, wanted);
    draft.waves = request.waves.sizes();
    draft.hooks = request.hooks;
    let around = preflight::gather(aws, identity, &draft, &facts.instances, auth).await;
    preflight::judge(draft, &facts, &around)
}

/// Every server the run will need must let us in now, not in the middle of the night.
pub(crate) async fn check_mysql(
    plan: &Plan,
    inventory: &Inventory,
    auth: &MysqlAuth,
) -> anyhow::Result<()> {
    for migration in &plan.migrations {
        for member in migration.members() {
            let instance = inventory
                .regions
                .iter()
                .flat_map(|region| &region.instances)
                .find(|instance| instance.dbi_resource_id() == member.dbi_resource_id);
            let Some(instance) = instance.filter(|instance| instance.is_mysql_family()) else {
                continue;
            };
            if let Err(error) = atrest_scanner::access::check_login(instance, auth).await {
                return Err(ExpectedError::of(
                    Exit::Usage,
                    format!("{}: {error}", member.identifier),
                    format!(
                        "{}; or --mysql off to compare attributes only",
                        error.hint()
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// `(region, identifier)` of what is to be planned; `None` for everything flagged.
fn wanted(
    args: &PlanArgs,
    saved: Option<&ScanReport>,
    inventory: &Inventory,
) -> anyhow::Result<Option<BTreeSet<(String, String)>>> {
    if let Some(report) = saved {
        let failing: BTreeSet<&str> = report
            .findings
            .iter()
            .filter(|finding| finding.policy == atrest_policies::STORAGE_UNENCRYPTED)
            .filter(|finding| finding.status == FindingStatus::Fail)
            .map(|finding| finding.resource.as_str())
            .collect();
        let wanted = report
            .resources
            .iter()
            .filter(|resource| failing.contains(resource.arn.as_str()))
            .map(|resource| (resource.region.clone(), resource.identifier.clone()))
            .collect();
        return Ok(Some(wanted));
    }
    if args.instance.is_empty() {
        return Ok(None);
    }
    let mut wanted = BTreeSet::new();
    for name in &args.instance {
        if let Some(cluster) = cluster_named(inventory, name)? {
            wanted.insert((cluster.region.clone(), cluster.identifier().to_owned()));
            continue;
        }
        match inventory.named(name).as_slice() {
            [] => {
                return Err(ExpectedError::usage(
                    format!(
                        "no DB instance and no cluster {name:?} in {}",
                        region_names(inventory)
                    ),
                    "check the name and --region; `atrest scan` lists what is there",
                ));
            }
            [instance] => {
                if instance.encryption() != Encryption::None {
                    return Err(ExpectedError::usage(
                        format!(
                            "{name} is not unencrypted, but {}",
                            instance.encryption().as_str()
                        ),
                        "only unencrypted DB instances are migrated",
                    ));
                }
                wanted.insert((instance.region.clone(), instance.identifier().to_owned()));
                // Its replicas are migrated with it.
                wanted.extend(
                    instance
                        .replicas()
                        .map(|replica| (instance.region.clone(), replica.to_owned())),
                );
            }
            _ => {
                return Err(ExpectedError::usage(
                    format!("{name} is in more than one region"),
                    "name the region with --region",
                ));
            }
        }
    }
    Ok(Some(wanted))
}

/// The cluster of that name, where no DB instance bears it.
fn cluster_named<'a>(
    inventory: &'a Inventory,
    name: &str,
) -> anyhow::Result<Option<&'a DbCluster>> {
    if !inventory.named(name).is_empty() {
        return Ok(None);
    }
    let mut named = inventory
        .regions
        .iter()
        .flat_map(|region| &region.clusters)
        .filter(|cluster| cluster.identifier().eq_ignore_ascii_case(name));
    match (named.next(), named.next()) {
        (Some(cluster), None) if cluster.encryption() == Encryption::None => Ok(Some(cluster)),
        (Some(cluster), None) => Err(ExpectedError::usage(
            format!(
                "{name} is not unencrypted, but {}",
                cluster.encryption().as_str()
            ),
            "only unencrypted clusters are migrated",
        )),
        (Some(_), Some(_)) => Err(ExpectedError::usage(
            format!("{name} is in more than one region"),
            "name the region with --region",
        )),
        (None, _) => Ok(None),
    }
}

fn region_names(inventory: &Inventory) -> String {
    inventory
        .regions
        .iter()
        .map(|region| region.region.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Regions in which the scan has flagged something.
fn regions_of(report: &ScanReport) -> Vec<String> {
    let regions: BTreeSet<String> = report
        .resources
        .iter()
        .map(|resource| resource.region.clone())
        .collect();
    regions.into_iter().collect()
}

/// Reads a saved scan.
fn read_scan(path: &Path) -> anyhow::Result<ScanReport> {
    let broken = |why: String| {
        ExpectedError::usage(
            format!("{}: {why}", path.display()),
            "give a file that `atrest scan --save` has written",
        )
    };
    let text = std::fs::read_to_string(path).map_err(|e| broken(e.to_string()))?;
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|e| broken(format!("not JSON: {e}")))?;
    match value
        .get("schema_version")
        .and_then(serde_json::Value::as_u64)
    {
        Some(version) if version <= u64::from(scan::SCHEMA_VERSION) => {}
        Some(version) => {
            return Err(broken(format!(
                "schema version {version} is newer than this version reads"
            )));
        }
        None => {
            return Err(broken(
                "it has no schema_version; is it a saved scan?".to_owned(),
            ));
        }
    }
    serde_json::from_value(value).map_err(|e| broken(format!("not a saved scan: {e}")))
}

/// `run-20261124-083000`: sorts by time and is a safe folder name.
fn default_run() -> RunId {
    let now = jiff::Timestamp::now()
        .strftime("run-%Y%m%d-%H%M%S")
        .to_string();
    #[expect(clippy::expect_used, reason = "digits, letters and hyphens only")]
    RunId::try_from(now).expect("a timestamp is a valid run name")
}
