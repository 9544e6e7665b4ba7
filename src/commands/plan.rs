//! `atrest plan`: reads the fleet and writes a plan. Changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use atrest_fixer::planner::{self, Facts};
use atrest_model::document::{bool_of, str_of};
use atrest_model::finding::FindingStatus;
use atrest_model::id::RunId;
use atrest_model::instance::{DbInstance, Encryption};
use atrest_model::plan::{DataCheck, MysqlAccess, Plan};
use atrest_model::scan::{self, ScanReport};
use atrest_scanner::access::MysqlAuth;
use atrest_scanner::aws::Aws;
use atrest_scanner::inventory::{self, Inventory};

use super::{common, login};
use crate::cli::{PlanArgs, TextOrJson};
use crate::exit::{Exit, ExpectedError};

pub(crate) async fn run(args: PlanArgs) -> anyhow::Result<Exit> {
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
    };
    let plan = make(&aws, &inventory, request, wanted.as_ref()).await;
    if !args.instance.is_empty()
        && let Some(left) = plan.left_out.first()
    {
        return Err(ExpectedError::usage(
            format!("{} cannot be planned: {}", left.arn, left.reason),
            "mend what is named, or plan the others without it",
        ));
    }
    if let Some(auth) = &auth {
        check_mysql(&plan, &inventory, auth).await?;
    }
    common::deliver(Some(&args.out), &common::json(&plan)?)?;
    let bytes = match args.format {
        TextOrJson::Json => common::json(&plan)?,
        TextOrJson::Text => {
            let mut bytes = Vec::new();
            atrest_reports::plan(&plan, &common::stdout_style(), &mut bytes)?;
            bytes
        }
    };
    common::deliver(None, &bytes)?;
    Ok(Exit::Ok)
}

/// What a plan is asked to be.
pub(crate) struct PlanRequest {
    pub(crate) run: RunId,
    pub(crate) key: String,
    pub(crate) mysql: MysqlAccess,
    pub(crate) data_check: DataCheck,
}

/// Gathers the facts and plans.
pub(crate) async fn make(
    aws: &Aws,
    inventory: &Inventory,
    request: PlanRequest,
    wanted: Option<&BTreeSet<(String, String)>>,
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
    for region in flagged
        .iter()
        .map(|instance| &instance.region)
        .collect::<BTreeSet<_>>()
    {
        let key = aws.describe_key(region, &request.key).await;
        let key = key
            .map_err(|error| error.to_string())
            .and_then(|key| match key.why_unusable() {
                None => Ok(key.arn),
                Some(why) => Err(why),
            });
        keys.insert(region.clone(), key);
    }
    let facts = Facts {
        run: request.run,
        created: jiff::Timestamp::now(),
        account: inventory.account.clone(),
        instances: inventory
            .regions
            .iter()
            .flat_map(|region| region.instances.clone())
            .collect(),
        clusters: inventory
            .regions
            .iter()
            .flat_map(|region| region.clusters.clone())
            .collect(),
        keys,
        unencryptable: unencryptable(aws, &flagged).await,
        mysql: request.mysql,
        data_check: request.data_check,
    };
    planner::plan(&facts, wanted)
}

/// Classes that the orderable options do not offer with encryption. One call for each distinct class.
async fn unencryptable(
    aws: &Aws,
    flagged: &[&DbInstance],
) -> BTreeSet<(String, String, String, String)> {
    let offers: BTreeSet<(String, String, String, String)> = flagged
        .iter()
        .map(|instance| {
            let class = str_of(&instance.document, "DBInstanceClass")
                .unwrap_or_default()
                .to_owned();
            (
                instance.region.clone(),
                instance.engine().to_owned(),
                instance.engine_version().to_owned(),
                class,
            )
        })
        .collect();
    let mut found = BTreeSet::new();
    for offer in offers {
        let (region, engine, version, class) = &offer;
        match aws.rds(region).orderable(engine, version, class).await {
            Ok(listing) => {
                let encrypts = listing
                    .items
                    .iter()
                    .any(|option| bool_of(option, "SupportsStorageEncryption") == Some(true));
                // No offer at all says nothing about encryption: old classes and versions are no longer offered.
                if !listing.items.is_empty() && !encrypts {
                    found.insert(offer);
                }
            }
            Err(error) => tracing::warn!("whether {class} can be encrypted is not known: {error}"),
        }
    }
    found
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
        match inventory.named(name).as_slice() {
            [] => {
                return Err(ExpectedError::usage(
                    format!("no DB instance {name:?} in {}", region_names(inventory)),
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
