//! `scan --plan-shards`: which accounts and regions there are.

use std::path::Path;

use atrest_model::keep::Keep;
use atrest_model::shard::{Asked, EVERY_REGION, Shard, ShardPlan, ShardWay};
use atrest_scanner::inventory::Surface;
use atrest_scanner::limit::Tally;
use futures::stream::{self, StreamExt as _};

use super::super::accounts::{self, Target};
use super::super::fleet::regions_of;
use super::super::{Judgement, common};
use super::STANDARD;
use crate::cli::ScanArgs;
use crate::exit::{Exit, ExpectedError};

/// Accounts that are asked for their regions at the same time.
const ACCOUNTS_AT_ONCE: usize = 32;

/// Finds the accounts and their regions, and writes them down.
pub(in crate::commands::scan) async fn plan(
    args: &ScanArgs,
    path: &Path,
    judgement: &Judgement,
    surface: &Surface,
) -> anyhow::Result<Exit> {
    let created = jiff::Timestamp::now();
    let tally = Tally::default();
    let found = Box::pin(accounts::targets(args, &tally)).await?;
    let named = match &found.caller {
        Some(caller) => common::named_regions(caller, &args.aws).await?,
        None => None,
    };
    let shards: Vec<Shard> = stream::iter(found.targets)
        .map(|target| Box::pin(shards_of(target, named.as_deref())))
        .buffer_unordered(ACCOUNTS_AT_ONCE)
        .collect::<Vec<_>>()
        .await
        .into_iter()
        .flatten()
        .collect();
    let asked = Asked {
        policies: judgement.ids(),
        only: args.only.clone(),
        kinds: surface.kinds.clone(),
        also_kept: match judgement.keep() {
            Keep::All => None,
            Keep::LookedAt { also } => Some(also),
        },
        keys: surface.keys,
        parameter_groups: surface.parameter_groups,
        role_name: args.role_name.clone(),
        external_id: args.external_id.clone(),
    };
    let plan = ShardPlan::new(created, asked, shards).map_err(|error| {
        ExpectedError::usage(
            format!("the shards cannot be planned: {error}"),
            "name each account and profile once",
        )
    })?;
    let file = (path != Path::new(STANDARD)).then_some(path);
    common::write_output(file, |out| plan.write(out))?;
    Ok(Exit::Ok)
}

/// One shard a region; one for all of an account whose regions cannot be learned now.
async fn shards_of(mut target: Target, named: Option<&[String]>) -> Vec<Shard> {
    let account = target.account.clone();
    let name = target.shard_account();
    let way = target.shard_way();
    let shard = |region: &str| Shard {
        id: format!("{name}/{region}"),
        account: account.clone(),
        region: region.to_owned(),
        way: way.clone(),
    };
    if matches!(way, ShardWay::None { .. }) {
        return vec![shard(EVERY_REGION)];
    }
    // Who only names regions is not asked for credentials: the plan of a large organization is a list of its accounts.
    if let Some(named) = named {
        return named.iter().map(|region| shard(region)).collect();
    }
    let known = target.regions.take();
    let found = async {
        let aws = target.enter().await?;
        regions_of(None, &aws, known).await
    };
    match found.await {
        Ok(regions) if !regions.is_empty() => regions.iter().map(|name| shard(name)).collect(),
        Ok(_none) => vec![shard(EVERY_REGION)],
        Err(reason) => {
            tracing::warn!(
                "the regions of account {account} are not known yet, its shard is tried as a whole: {reason}"
            );
            vec![shard(EVERY_REGION)]
        }
    }
}
