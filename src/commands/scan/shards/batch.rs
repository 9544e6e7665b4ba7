//! `scan --shards`: reads a batch of a plan, shard by shard.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atrest_model::Tool;
use atrest_model::resource::DescribedRef;
use atrest_model::shard::{
    BatchHeader, DescribedDocument, EVERY_REGION, FORMAT_VERSION, GroupRead, KeyRead, KindUnread,
    RegionRead, Shard, ShardPlan, ShardRead,
};
use atrest_scanner::aws::Aws;
use atrest_scanner::inventory::{self, Inventory, RegionInventory, Surface, Watch};
use atrest_scanner::limit::Tally;
use futures::stream::{self, StreamExt as _};
use tokio::sync::watch;

use super::super::common;
use super::super::fleet::{regions_of, stopped, unless};
use super::entrance::{Door, Entrance};
use super::file::{BatchFile, Opened};
use super::{folder_of, read_plan};
use crate::cli::{OutputArgs, ScanArgs, ShardArgs};
use crate::exit::{Exit, ExpectedError};
use crate::progress::ScanProgress;

/// Shards under way at the same time: as many as a single process reads of a dozen accounts.
const SHARDS_AT_ONCE: usize = 192;

/// What Kubernetes sets in the pods of an Indexed Job.
const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

/// Reads a batch into its file.
pub(in crate::commands::scan) async fn read(
    args: ScanArgs,
    output: &OutputArgs,
) -> anyhow::Result<Exit> {
    let given = &args.shards;
    let (Some(plan_path), Some(out)) = (&given.shards, &given.out) else {
        return Err(ExpectedError::usage(
            "a batch needs --shards and --out",
            "`atrest scan --help` shows both",
        ));
    };
    let (index, count) = place(given)?;
    let plan = read_plan(plan_path, given.plan_max_age)?;
    let batch = plan.shards.get(plan.batch(index, count));
    let batch = batch.unwrap_or_default();
    let header = BatchHeader {
        format_version: FORMAT_VERSION,
        plan: plan.header.id.clone(),
        tool: Tool::current(),
        index,
        count,
        shards: batch.iter().map(|shard| shard.id.clone()).collect(),
    };
    let path = file_name(&plan, out, index, count);
    let (mut file, done) = match BatchFile::open(&path, &header)? {
        Opened::Done => {
            tracing::info!("{} is whole, nothing is left to do", path.display());
            return Ok(Exit::Ok);
        }
        Opened::Open(file, done) => (file, done),
    };
    let left: Vec<&Shard> = batch.iter().filter(|s| !done.contains(&s.id)).collect();
    if !done.is_empty() {
        tracing::info!(
            "{} of {} shards were read before and are kept",
            done.len(),
            batch.len()
        );
    }

    let stop = common::interrupt_signal()?;
    let tally = Tally::default();
    let progress = Arc::new(ScanProgress::default());
    let _shown = (!output.no_progress && !output.quiet).then(|| progress.show(&tally));
    let accounts: BTreeSet<&str> = left.iter().map(|shard| shard.account.as_str()).collect();
    progress.accounts_found(accounts.len());
    progress.regions_found(left.len());
    let entrance = Box::pin(Entrance::new(&args, &plan, &left, &tally)).await?;
    let reader = Reader {
        entrance,
        surface: Surface {
            kinds: plan.header.asked.kinds.clone(),
            keep: Arc::new(plan.header.asked.keep()),
            keys: plan.header.asked.keys,
            parameter_groups: plan.header.asked.parameter_groups,
        },
        stop: &stop,
        progress: &progress,
    };
    reader.all(&left, |read| file.add(read)).await?;
    if *stop.borrow() {
        // Its lines stay where they are, and the same command goes on after them.
        return Ok(Exit::Interrupted);
    }
    let holes = file.finish()?;
    if holes > 0 {
        tracing::warn!(
            "{holes} of {} shards could not be read wholly; the same command asks for them again",
            batch.len()
        );
        return Ok(Exit::Incomplete);
    }
    Ok(Exit::Ok)
}

/// Which batch of how many.
fn place(given: &ShardArgs) -> anyhow::Result<(usize, usize)> {
    let Some(count) = given.shard_count else {
        return Ok((0, 1));
    };
    let index = match given.shard_index {
        Some(index) => index,
        None => {
            let text = std::env::var(INDEX_VARIABLE).map_err(|_unset| {
                ExpectedError::usage(
                    format!("which of {count} batches?"),
                    format!(
                        "give --shard-index; an Indexed Job of Kubernetes sets {INDEX_VARIABLE}"
                    ),
                )
            })?;
            text.parse().map_err(|_no_number| {
                ExpectedError::usage(
                    format!("{INDEX_VARIABLE} is {text:?}, which is no number"),
                    "give --shard-index",
                )
            })?
        }
    };
    if index >= count {
        return Err(ExpectedError::usage(
            format!("there is no batch {index} of {count}"),
            format!("they are counted from 0 to {}", count - 1),
        ));
    }
    Ok((index, count))
}

/// The file itself, or one in a folder of the plan: it holds the batches of this plan and no others.
fn file_name(plan: &ShardPlan, out: &Path, index: usize, count: usize) -> PathBuf {
    let is_folder = out.is_dir() || out.as_os_str().as_encoded_bytes().ends_with(b"/");
    if is_folder {
        folder_of(plan, out).join(format!("batch-{index}-of-{count}.jsonl"))
    } else {
        out.to_owned()
    }
}

/// How shards are read.
struct Reader<'a> {
    entrance: Entrance<'a>,
    surface: Surface,
    stop: &'a watch::Receiver<bool>,
    progress: &'a ScanProgress,
}

impl Reader<'_> {
    /// Reads them side by side; `take` gets each as it is done. Ends early when the scan is to end, or `take` fails.
    async fn all(
        &self,
        shards: &[&Shard],
        mut take: impl FnMut(ShardRead) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut doors = Entrance::doors(shards);
        // The door of an account is let go with its last shard: its clients are not needed any more.
        let with_doors: Vec<(&Shard, Door)> = shards
            .iter()
            .map(|shard| {
                let door = doors.entry(shard.account.clone()).or_default();
                (*shard, Arc::clone(door))
            })
            .collect();
        drop(doors);
        let mut reading = stream::iter(with_doors)
            .map(|(shard, door)| Box::pin(self.shard(shard, door)))
            .buffer_unordered(SHARDS_AT_ONCE);
        let mut left: HashMap<&str, usize> = HashMap::new();
        for shard in shards {
            *left.entry(shard.account.as_str()).or_default() += 1;
        }
        while let Some((shard, read)) = reading.next().await {
            // What was broken off is no result: it is read when the batch is taken up again.
            let Some(read) = read else { continue };
            take(read)?;
            self.progress.region_done();
            if let Some(left) = left.get_mut(shard.account.as_str()) {
                *left = left.saturating_sub(1);
                if *left == 0 {
                    self.progress.account_done();
                }
            }
        }
        Ok(())
    }

    async fn shard<'s>(&self, shard: &'s Shard, door: Door) -> (&'s Shard, Option<ShardRead>) {
        if *self.stop.borrow() {
            return (shard, None);
        }
        let read = Box::pin(self.read(shard, &door));
        (shard, unless(stopped(self.stop), read).await)
    }

    async fn read(&self, shard: &Shard, door: &Door) -> ShardRead {
        let way = async {
            let aws = self.entrance.enter(shard, door).await?;
            let regions = match shard.region.as_str() {
                EVERY_REGION => regions_of(None, &aws, None).await?,
                region => vec![region.to_owned()],
            };
            Ok::<_, String>((aws, regions))
        };
        let (aws, regions) = match way.await {
            Ok(found) => found,
            Err(reason) => return unread(shard, reason),
        };
        let inventory = inventory::read_shard(
            &aws,
            &shard.account,
            &regions,
            &self.surface,
            Watch::default(),
        );
        record(shard, Box::pin(inventory).await, &aws)
    }
}

fn unread(shard: &Shard, reason: String) -> ShardRead {
    ShardRead {
        shard: shard.id.clone(),
        unread: Some(reason),
        regions: Vec::new(),
        keys: Vec::new(),
        groups: Vec::new(),
    }
}

/// What was read, in the order that it was listed; keys and groups sorted: the same answers, the same bytes.
fn record(shard: &Shard, inventory: Inventory, aws: &Aws) -> ShardRead {
    let mut keys: Vec<KeyRead> = inventory
        .keys
        .into_iter()
        .map(|(arn, state)| KeyRead { arn, state })
        .collect();
    keys.sort_by(|a, b| a.arn.cmp(&b.arn));
    let mut groups: Vec<GroupRead> = inventory
        .groups
        .iter()
        .map(|(region, kind, name, group)| GroupRead {
            region: region.to_owned(),
            kind,
            name: name.to_owned(),
            group: group.clone(),
        })
        .collect();
    groups.sort_by(|a, b| (&a.region, a.kind, &a.name).cmp(&(&b.region, b.kind, &b.name)));
    let regions = inventory.regions.iter();
    ShardRead {
        shard: shard.id.clone(),
        unread: None,
        regions: regions.map(|region| of_region(region, aws)).collect(),
        keys,
        groups,
    }
}

fn of_region(region: &RegionInventory, aws: &Aws) -> RegionRead {
    let described = |found: DescribedRef<'_>| DescribedDocument {
        kind: found.kind,
        document: found.document.clone(),
    };
    let unread = region.unread.iter().map(|(kind, reason)| KindUnread {
        kind: *kind,
        reason: reason.clone(),
    });
    RegionRead {
        region: region.region.clone(),
        error: region.error.as_ref().map(ToString::to_string),
        throttled: aws.throttled(&region.region),
        unread: unread.collect(),
        described: region.described().map(described).collect(),
    }
}
