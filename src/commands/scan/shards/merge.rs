//! `report merge`: the batches of a plan, judged as one scan.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use atrest_model::Tool;
use atrest_model::keep::Keep;
use atrest_model::key::KeyState;
use atrest_model::scan::RegionScan;
use atrest_model::shard::{EVERY_REGION, RegionRead, Shard, ShardPlan, ShardRead};
use atrest_policies::Needs;
use atrest_scanner::inventory::{Inventory, RegionInventory};

use super::super::gathered::Gathered;
use super::super::{Asked, Ending, Judgement, severity};
use super::index::{Batch, Lines, Place};
use super::{folder_of, read_plan};
use crate::cli::MergeArgs;
use crate::config::Config;
use crate::exit::{Exit, ExpectedError};

/// Between two looks for batches that are not there yet.
const LOOK: Duration = Duration::from_secs(2);

/// Ids of shards that are told of one trouble; the others are counted.
const TOLD: usize = 5;

/// Puts the batches together, judges them, and writes the report.
pub(crate) async fn merge(args: &MergeArgs, config: &Config) -> anyhow::Result<Exit> {
    let ending = Ending {
        save: args.save.as_deref(),
        fail_on: severity(args.fail_on),
        fail_on_new: args.fail_on_new,
        exit_zero: args.exit_zero,
        ..Ending::read(&args.format, "report merge")?
    };
    let plan = read_plan(&args.shard_plan, args.plan_max_age)?;
    let asked = Asked {
        policies: args.policies.as_deref(),
        only: &plan.header.asked.only,
        waivers: args.waivers.as_deref(),
        baseline: args.baseline.as_deref(),
    };
    let judgement = Judgement::read(&asked, config)?;
    same_questions(&plan, &judgement)?;
    if let Some(wait) = args.wait {
        wait_for(&plan, &args.files, wait).await?;
    }
    let batches = Batches::read(&plan, &files(&plan, &args.files)?)?;
    let mut gathered = Gathered::new();
    gathered.report.started = plan.header.created;
    batches.judge(&plan, &judgement, &mut gathered)?;
    gathered.settle();
    let Gathered {
        mut report, tags, ..
    } = gathered;
    report.policies = Some(judgement.ids());
    judgement.apply(&mut report, &tags)?;
    ending.write(&report, &judgement.rules())?;
    Ok(ending.verdict(&report))
}

/// What a policy looks at must have been kept: a member that was not would look as if AWS had not sent it.
fn same_questions(plan: &ShardPlan, judgement: &Judgement) -> anyhow::Result<()> {
    let hint = "give the --policies, --waivers and configuration that the plan was made with, or make it anew";
    let ids = judgement.ids();
    let planned = &plan.header.asked.policies;
    if let Some(other) = ids.symmetric_difference(planned).next() {
        let (there, here) = match planned.contains(other) {
            true => ("was", "is not"),
            false => ("was not", "is"),
        };
        return Err(ExpectedError::usage(
            format!(
                "policy {other} {there} asked when the shards were planned, and {here} asked now"
            ),
            hint,
        ));
    }
    let asked = &plan.header.asked;
    for (needs, read, what) in [
        (Needs::Keys, asked.keys, "KMS keys"),
        (
            Needs::ParameterGroups,
            asked.parameter_groups,
            "parameter groups",
        ),
    ] {
        if judgement.needs(needs) && !read {
            return Err(ExpectedError::usage(
                format!("a policy asks about {what}, which the plan did not ask for"),
                hint,
            ));
        }
    }
    let missing = match (judgement.keep(), &plan.header.asked.also_kept) {
        (_, None) => None,
        (Keep::All, Some(_)) => Some("all of them".to_owned()),
        (Keep::LookedAt { also }, Some(kept)) => also.difference(kept).next().cloned(),
    };
    match missing {
        None => Ok(()),
        Some(member) => Err(ExpectedError::usage(
            format!("a member of answers that is looked at was not kept by the plan: {member}"),
            hint,
        )),
    }
}

/// The batch files: of a folder those of the plan.
fn files(plan: &ShardPlan, given: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in given {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let folder = folder_of(plan, path);
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            Err(error) => return Err(cannot_read(&folder, &error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let file = entry.map_err(|error| cannot_read(&folder, &error))?.path();
            let is_hidden = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(b".");
            let is_batch = file.extension().is_some_and(|e| e == "jsonl")
                && !file.file_name().is_some_and(is_hidden);
            if is_batch {
                found.push(file);
            }
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

fn cannot_read(path: &Path, error: &std::io::Error) -> anyhow::Error {
    ExpectedError::usage(
        format!("cannot read {}: {error}", path.display()),
        "give batch files, or the folder that they were written into",
    )
}

/// Waits until files with all shards are there, each of which gets its name when it is whole; or until the time is over:
/// what is missing then is told by whoever reads them.
async fn wait_for(plan: &ShardPlan, given: &[PathBuf], wait: Duration) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut known: HashMap<PathBuf, Vec<String>> = HashMap::new();
    loop {
        for file in files(plan, given)? {
            if known.contains_key(&file) {
                continue;
            }
            if let Ok(header) = Batch::read_header(&file)
                && header.plan == plan.header.id
            {
                known.insert(file, header.shards);
            }
        }
        let there: HashSet<&String> = known.values().flatten().collect();
        let missing = plan.shards.len().saturating_sub(there.len());
        let left = wait.saturating_sub(began.elapsed());
        if missing == 0 || left.is_zero() {
            return Ok(());
        }
        tracing::debug!("{missing} shards are not there yet");
        tokio::time::sleep(left.min(LOOK)).await;
    }
}

/// Every shard of a plan, each in one file.
#[derive(Debug)]
struct Batches {
    files: Vec<PathBuf>,
    /// In the order of the plan: which file, and where in it.
    places: Vec<(usize, Place)>,
}

impl Batches {
    /// Reads all files once, and refuses them when they do not add up.
    fn read(plan: &ShardPlan, files: &[PathBuf]) -> anyhow::Result<Self> {
        let mut troubles: Vec<String> = Vec::new();
        let numbers: HashMap<&str, usize> = plan
            .shards
            .iter()
            .enumerate()
            .map(|(number, shard)| (shard.id.as_str(), number))
            .collect();
        let mut places: Vec<Option<(usize, Place)>> = vec![None; plan.shards.len()];
        for (number, file) in files.iter().enumerate() {
            let batch = match Batch::read(file) {
                Ok(batch) => batch,
                Err(error) => {
                    troubles.push(format!("{}: {error}", file.display()));
                    continue;
                }
            };
            let header = &batch.header;
            if header.plan != plan.header.id {
                let why = "it is of another plan";
                troubles.push(format!("{}: {why}, {}", file.display(), header.plan));
                continue;
            }
            if header.tool != Tool::current() {
                let why = format!("it was written by version {}", header.tool.version);
                troubles.push(format!("{}: {why}", file.display()));
                continue;
            }
            // First other file → shards that are in both.
            let mut twice: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
            let mut strange: Vec<&str> = Vec::new();
            for (id, place) in batch.shards() {
                match numbers.get(id).and_then(|number| places.get_mut(*number)) {
                    None => strange.push(id),
                    Some(Some((other, _))) => twice.entry(*other).or_default().push(id),
                    Some(free) => *free = Some((number, place)),
                }
            }
            for (other, ids) in twice {
                let other = files.get(other).map(|file| file.display());
                let other = other.map_or_else(String::new, |file| file.to_string());
                let both = format!("{} and {other}", file.display());
                troubles.push(format!("{both} both hold {}", some_of(ids)));
            }
            if !strange.is_empty() {
                let strange = some_of(strange);
                troubles.push(format!(
                    "{} holds {strange}, not in the plan",
                    file.display()
                ));
            }
        }
        let missing: Vec<&str> = plan
            .shards
            .iter()
            .zip(&places)
            .filter(|(_, place)| place.is_none())
            .map(|(shard, _)| shard.id.as_str())
            .collect();
        if !missing.is_empty() {
            troubles.push(format!("no file holds {}", some_of(missing)));
        }
        if troubles.is_empty() {
            return Ok(Self {
                files: files.to_vec(),
                places: places.into_iter().flatten().collect(),
            });
        }
        Err(ExpectedError::of(
            Exit::Shards,
            format!(
                "the shards of plan {} do not add up, nothing is reported:\n  {}",
                plan.header.id,
                troubles.join("\n  ")
            ),
            "read what is missing with `atrest scan --shards`, and give every batch file of this plan once",
        ))
    }

    /// Judges account by account.
    fn judge(
        &self,
        plan: &ShardPlan,
        judgement: &Judgement,
        gathered: &mut Gathered,
    ) -> anyhow::Result<()> {
        let mut lines = Lines::default();
        let mut places = self.places.iter();
        // Where the account is not known, each shard stands for one.
        let same = |a: &Shard, b: &Shard| a.account == b.account && !a.account.is_empty();
        for shards in plan.shards.chunk_by(same) {
            let mut read = Vec::with_capacity(shards.len());
            for (shard, (file, place)) in shards.iter().zip(&mut places) {
                let file = self.files.get(*file).map(PathBuf::as_path);
                let file = file.unwrap_or_else(|| Path::new(""));
                let found = lines
                    .get(file, *place)
                    .map_err(|error| cannot_read(file, &error))?;
                read.push((shard, found));
            }
            add(read, judgement, gathered);
        }
        Ok(())
    }
}

/// The first few of many, and how many there are.
fn some_of(mut ids: Vec<&str>) -> String {
    ids.sort_unstable();
    let told = ids
        .get(..TOLD.min(ids.len()))
        .unwrap_or_default()
        .join(", ");
    let more = ids.len().saturating_sub(TOLD);
    match (ids.len(), more) {
        (1, _) => format!("shard {told}"),
        (all, 0) => format!("{all} shards: {told}"),
        (all, more) => format!("{all} shards: {told} and {more} more"),
    }
}

/// Judges one account, of which every shard is there.
fn add(read: Vec<(&Shard, ShardRead)>, judgement: &Judgement, gathered: &mut Gathered) {
    let Some((first, _)) = read.first() else {
        return;
    };
    let account = first.account.clone();
    let hole = |region: &str, reason: String| RegionScan {
        account: account.clone(),
        region: region.to_owned(),
        error: Some(reason),
        resources: 0,
        throttled: 0,
    };
    // An account that nobody could enter is one row, as it is for one process.
    let entered = read.iter().any(|(_, read)| read.unread.is_none());
    if !entered {
        let reasons = read.into_iter().filter_map(|(_, read)| read.unread);
        for reason in reasons.take(1) {
            gathered.add_unread(hole(EVERY_REGION, reason));
        }
        return;
    }
    let mut inventory = Inventory {
        account: account.clone(),
        ..Inventory::default()
    };
    let mut holes = Vec::new();
    let mut marks: HashMap<String, (Option<String>, u64)> = HashMap::new();
    for (shard, read) in read {
        if let Some(reason) = read.unread {
            holes.push(hole(&shard.region, reason));
            continue;
        }
        for region in read.regions {
            let mark = (region.error.clone(), region.throttled);
            marks.insert(region.region.clone(), mark);
            inventory.regions.push(region_of(region, &account));
        }
        for key in read.keys {
            // Of two shards that name a key, one may have been luckier.
            let known = inventory.keys.get(&key.arn);
            if !matches!(known, Some(KeyState::Known(_))) {
                inventory.keys.insert(key.arn, key.state);
            }
        }
        for group in read.groups {
            let groups = &mut inventory.groups;
            groups.insert(&group.region, group.kind, &group.name, group.group);
        }
    }
    inventory.regions.sort_by(|a, b| a.region.cmp(&b.region));
    inventory.settle_global_clusters();
    let mut rows = inventory.region_rows();
    for row in &mut rows {
        if let Some((error, throttled)) = marks.remove(&row.region) {
            row.error = error;
            row.throttled = throttled;
        }
    }
    rows.extend(holes);
    gathered.add(judgement, &inventory, rows);
}

fn region_of(read: RegionRead, account: &str) -> RegionInventory {
    let mut region = RegionInventory::new(&read.region);
    for described in read.described {
        region.add(described.kind, account, described.document);
    }
    let unread = read.unread.into_iter();
    region.unread = unread.map(|unread| (unread.kind, unread.reason)).collect();
    region
}
