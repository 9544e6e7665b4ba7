//! Which accounts are scanned, and by what way each is reached.

use atrest_model::shard::ShardWay;
use atrest_scanner::aws::{AccountRegion, Aws, Identity};
use atrest_scanner::error::{AwsError, AwsErrorKind};
use atrest_scanner::limit::Tally;
use atrest_scanner::organization::Role;

use super::super::common;
use crate::cli::ScanArgs;
use crate::exit::{Exit, ExpectedError};

/// `RoleSessionName`: how CloudTrail names the scan.
const SESSION: &str = "atrest-scan";

/// An account to scan.
#[derive(Debug)]
pub(super) struct Target {
    /// Account id; empty when not even that could be learned.
    pub(super) account: String,
    way: Way,
    /// The profile that it was named by.
    profile: Option<String>,
    /// Its regions, where they were asked for together with its name.
    pub(super) regions: Option<Result<Vec<AccountRegion>, AwsError>>,
}

/// How an account is reached.
#[derive(Debug)]
enum Way {
    /// With credentials that are there.
    Own(Box<Aws>),
    /// By a role, assumed from the caller's account.
    Role(Box<(Aws, Role)>),
    /// Not at all, and why.
    None(String),
}

impl Target {
    /// The way into the account; otherwise why there is none.
    pub(super) async fn enter(self) -> Result<Aws, String> {
        match self.way {
            Way::Own(aws) => Ok(*aws),
            Way::Role(way) => {
                let (aws, role) = *way;
                Box::pin(aws.assume(role))
                    .await
                    .map_err(|error| error.to_string())
            }
            Way::None(reason) => Err(reason),
        }
    }

    /// The way as a shard plan tells it; whoever reads the shard has credentials of its own.
    pub(super) fn shard_way(&self) -> ShardWay {
        match (&self.way, &self.profile) {
            (Way::None(reason), _) => ShardWay::None {
                reason: reason.clone(),
            },
            (Way::Role(_), _) => ShardWay::Role,
            (Way::Own(_), Some(profile)) => ShardWay::Profile {
                name: profile.clone(),
            },
            (Way::Own(_), None) => ShardWay::Own,
        }
    }

    /// What stands before the region in the id of a shard.
    pub(super) fn shard_account(&self) -> String {
        match &self.profile {
            Some(profile) if self.account.is_empty() => format!("profile:{profile}"),
            _ => self.account.clone(),
        }
    }
}

/// The accounts of a scan.
#[derive(Debug)]
pub(super) struct Targets {
    pub(super) targets: Vec<Target>,
    /// Somebody who can be asked about regions.
    pub(super) caller: Option<Aws>,
}

/// Every account that the command line asks for.
pub(super) async fn targets(args: &ScanArgs, tally: &Tally) -> anyhow::Result<Targets> {
    if !args.profiles.is_empty() {
        return of_profiles(args, tally).await;
    }
    let aws = load(args, args.aws.profile.clone(), tally).await;
    // Of one account that is read whole, its regions are wanted too: one way less that a scan waits for.
    let is_one = !args.org && args.account.is_empty() && args.aws.region.is_empty();
    let (identity, regions) = futures::join!(aws.identity(), async {
        match is_one {
            true => Some(aws.account_regions().await),
            false => None,
        }
    });
    let identity = identity.map_err(|error| match error.kind {
        AwsErrorKind::Credentials => ExpectedError::aws(&error),
        _ => ExpectedError::of(Exit::NothingScanned, error.to_string(), error.hint()),
    })?;
    let targets = if args.org {
        of_organization(&aws, &identity, args).await?
    } else if args.account.is_empty() {
        vec![Target {
            account: identity.account,
            way: Way::Own(Box::new(aws.clone())),
            profile: None,
            regions,
        }]
    } else {
        let mut accounts = args.account.clone();
        accounts.sort();
        accounts.dedup();
        accounts
            .into_iter()
            .map(|account| by_role(&aws, &identity, account, args))
            .collect()
    };
    Ok(Targets {
        targets,
        caller: Some(aws),
    })
}

/// Configuration, and how fast its account may be asked.
pub(super) async fn load(args: &ScanArgs, profile: Option<String>, tally: &Tally) -> Aws {
    common::account(&args.aws, profile)
        .await
        .with_limits(tally, args.throttle_patience)
}

/// A role in `account`; the caller's own account needs none.
pub(super) fn by_role(aws: &Aws, identity: &Identity, account: String, args: &ScanArgs) -> Target {
    if account == identity.account {
        return Target {
            account,
            way: Way::Own(Box::new(aws.clone())),
            profile: None,
            regions: None,
        };
    }
    let role = Role {
        arn: format!(
            "arn:{}:iam::{account}:role/{}",
            identity.partition(),
            args.role_name
        ),
        external_id: args.external_id.clone(),
        session_name: SESSION.to_owned(),
    };
    Target {
        account,
        way: Way::Role(Box::new((aws.clone(), role))),
        profile: None,
        regions: None,
    }
}

async fn of_organization(
    aws: &Aws,
    identity: &Identity,
    args: &ScanArgs,
) -> anyhow::Result<Vec<Target>> {
    let members = aws.organization_accounts(identity.partition()).await;
    let members = members.map_err(|error| {
        ExpectedError::of(
            Exit::NothingScanned,
            format!("cannot list the accounts of the organization: {error}"),
            "use the management account or a delegated administrator that may call organizations:ListAccounts, or name the accounts with --account",
        )
    })?;
    let stranger = args
        .account
        .iter()
        .find(|account| !members.iter().any(|member| member.id == **account));
    if let Some(stranger) = stranger {
        return Err(ExpectedError::usage(
            format!("{stranger} is not an account of the organization"),
            "check the id; nothing was scanned",
        ));
    }
    let asked = |id: &String| args.account.is_empty() || args.account.contains(id);
    Ok(members
        .into_iter()
        .filter(|member| asked(&member.id))
        .map(|member| {
            if member.is_active() {
                by_role(aws, identity, member.id, args)
            } else {
                Target {
                    account: member.id,
                    way: Way::None(format!("the account is {}", member.state)),
                    profile: None,
                    regions: None,
                }
            }
        })
        .collect())
}

async fn of_profiles(args: &ScanArgs, tally: &Tally) -> anyhow::Result<Targets> {
    let mut targets: Vec<Target> = Vec::new();
    let mut caller = None;
    let mut first_error: Option<AwsError> = None;
    for profile in &args.profiles {
        let aws = load(args, Some(profile.clone()), tally).await;
        match aws.identity().await {
            Err(error) => {
                targets.push(Target {
                    account: String::new(),
                    way: Way::None(format!("profile {profile}: {error}")),
                    profile: Some(profile.clone()),
                    regions: None,
                });
                first_error.get_or_insert(error);
            }
            Ok(identity) => {
                if targets
                    .iter()
                    .any(|known| known.account == identity.account)
                {
                    tracing::warn!(
                        "profile {profile} is of account {} as another one is; the account is scanned once",
                        identity.account
                    );
                    continue;
                }
                caller.get_or_insert_with(|| aws.clone());
                targets.push(Target {
                    account: identity.account,
                    way: Way::Own(Box::new(aws)),
                    profile: Some(profile.clone()),
                    regions: None,
                });
            }
        }
    }
    match (caller, first_error) {
        (None, Some(error)) => Err(ExpectedError::aws(&error)),
        (caller, _) => Ok(Targets { targets, caller }),
    }
}
