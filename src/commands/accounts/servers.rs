//! From what is typed to connections: DB instance identifiers are looked up in RDS, URLs say it all themselves.

use atrest_model::account::{DiffOptions, Name};
use atrest_model::id::DbInstanceIdentifier;
use atrest_model::instance::DbInstance;
use atrest_scanner::access::{MysqlAuth, Server};
use atrest_scanner::aws::Aws;
use atrest_scanner::error::AwsErrorKind;
use atrest_scanner::mysql::{Connection, InvalidTarget};
use futures::future;

use crate::cli::{AwsArgs, ConnectArgs, ExportArgs, SidesArgs};
use crate::commands::{common, login};
use crate::exit::{Exit, ExpectedError};

/// A server and how to log in to it.
pub(super) struct Located {
    pub(super) server: Server,
    /// Whether it is a DB instance that RDS knows as a replica.
    pub(super) is_replica: bool,
    auth: MysqlAuth,
}

impl Located {
    pub(super) async fn connect(&self) -> anyhow::Result<Connection> {
        self.server
            .connect(&self.auth)
            .await
            .map_err(|error| login::failed(&self.server.name, &error))
    }
}

/// The one server of `export`.
pub(super) async fn one(args: &ExportArgs) -> anyhow::Result<Located> {
    let connect = &args.connect;
    let found = find(&[args.server.as_str()], &args.aws, wants_aws(connect)).await?;
    let [server] = <[_; 1]>::try_from(found.servers).map_err(|_other| lost())?;
    located(server, connect, &login::Side::default(), found.aws.as_ref()).await
}

/// The two servers of `diff` and `clone`.
pub(super) async fn two(args: &SidesArgs) -> anyhow::Result<(Located, Located)> {
    let only = &args.only;
    let secrets = only.secret_id_a.is_some() || only.secret_id_b.is_some();
    let names = [args.a.as_str(), args.b.as_str()];
    let found = find(&names, &args.aws, secrets || wants_aws(&args.connect)).await?;
    let [a, b] = <[_; 2]>::try_from(found.servers).map_err(|_other| lost())?;
    if (&a.server.host, a.server.port) == (&b.server.host, b.server.port) {
        return Err(ExpectedError::usage(
            format!("A and B are the same server: {}", a.server.name),
            "name the old and the new server",
        ));
    }
    let sides = [
        login::Side {
            letter: Some('A'),
            password_file: only.password_file_a.as_deref(),
            secret_id: only.secret_id_a.as_deref(),
            tls_server_name: only.tls_server_name_a.as_deref(),
        },
        login::Side {
            letter: Some('B'),
            password_file: only.password_file_b.as_deref(),
            secret_id: only.secret_id_b.as_deref(),
            tls_server_name: only.tls_server_name_b.as_deref(),
        },
    ];
    let [side_a, side_b] = &sides;
    let aws = found.aws.as_ref();
    // One after the other: both may have to be asked for on one terminal.
    let a = located(a, &args.connect, side_a, aws).await?;
    let b = located(b, &args.connect, side_b, aws).await?;
    Ok((a, b))
}

/// What the comparison takes for granted: the master user's password is RDS's business.
pub(super) fn diff_options(args: &SidesArgs, a: &Located, b: &Located) -> DiffOptions {
    let of_instance = |located: &Located| located.server.master_username.clone();
    let master = args
        .master_user
        .clone()
        .or_else(|| of_instance(a))
        .or_else(|| of_instance(b));
    DiffOptions {
        master_username: master.as_deref().map(Name::from),
    }
}

fn lost() -> anyhow::Error {
    anyhow::anyhow!("a server was lost on the way from its name")
}

async fn located(
    found: One,
    args: &ConnectArgs,
    side: &login::Side<'_>,
    aws: Option<&Aws>,
) -> anyhow::Result<Located> {
    let auth = login::server(&found.server, args, side, aws).await?;
    Ok(Located {
        server: found.server,
        is_replica: found.is_replica,
        auth,
    })
}

/// Whether the password comes through AWS.
fn wants_aws(args: &ConnectArgs) -> bool {
    args.secret_id.is_some() || args.master_user_secret || args.iam_auth
}

struct One {
    server: Server,
    is_replica: bool,
}

struct Found {
    servers: Vec<One>,
    /// Loaded only where it is needed: two URLs and a password have nothing to do with AWS.
    aws: Option<Aws>,
}

/// Finds the server behind each name.
async fn find(names: &[&str], args: &AwsArgs, wants_aws: bool) -> anyhow::Result<Found> {
    let mut identifiers = Vec::new();
    for name in names {
        if !is_url(name) {
            DbInstanceIdentifier::try_from((*name).to_owned()).map_err(|error| {
                ExpectedError::usage(
                    error.to_string(),
                    "give a DB instance identifier or mysql://USER@HOST:PORT",
                )
            })?;
            identifiers.push(*name);
        }
    }
    // URLs first: what is wrong with them can be said without a call.
    let urls = names
        .iter()
        .map(|name| is_url(name).then(|| of_url(name)).transpose())
        .collect::<anyhow::Result<Vec<_>>>()?;
    let aws = if wants_aws || !identifiers.is_empty() {
        Some(common::aws(args).await?)
    } else {
        None
    };
    let instances = match &aws {
        Some(aws) if !identifiers.is_empty() => instances(aws, args).await?,
        _ => Vec::new(),
    };
    let servers = names
        .iter()
        .zip(urls)
        .map(|(name, url)| match url {
            Some(server) => Ok(One {
                server,
                is_replica: false,
            }),
            None => of_instance(&instances, name),
        })
        .collect::<anyhow::Result<_>>()?;
    Ok(Found { servers, aws })
}

fn is_url(name: &str) -> bool {
    name.contains("://")
}

fn of_url(url: &str) -> anyhow::Result<Server> {
    if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        return Err(postgresql("the server of a postgresql:// URL"));
    }
    Server::of_url(url).map_err(|error| {
        let hint = match &error {
            InvalidTarget::PasswordInUrl => {
                "change that password if this line is in a shell history; give it in ATREST_MYSQL_PASSWORD or a file; a `:` in a user name is written %3A"
            }
            _ => "write mysql://USER@HOST:PORT; what is special in USER is percent-encoded",
        };
        ExpectedError::usage(with_source(&error), hint)
    })
}

/// The URL itself is not repeated: it may hold a password.
fn with_source(error: &InvalidTarget) -> String {
    use std::error::Error as _;
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

/// Every instance of the regions.
async fn instances(aws: &Aws, args: &AwsArgs) -> anyhow::Result<Vec<DbInstance>> {
    let regions = common::regions(aws, args).await?;
    let reads = regions.iter().map(|region| async move {
        let rds = aws.rds(region);
        rds.db_instances().await
    });
    let mut found = Vec::new();
    for read in future::join_all(reads).await {
        // A region that cannot be read may hold the instance, or another of its name.
        match read {
            Ok((instances, _calls)) => found.extend(instances),
            // Nobody has asked the account itself yet: are the credentials bad, or is the region off?
            Err(error) if error.kind == AwsErrorKind::Credentials => {
                common::identity(aws).await?;
                return Err(ExpectedError::aws(&error.in_a_region()));
            }
            Err(error) => return Err(ExpectedError::aws(&error)),
        }
    }
    Ok(found)
}

fn of_instance(instances: &[DbInstance], name: &str) -> anyhow::Result<One> {
    let wanted = name.to_ascii_lowercase();
    let named: Vec<&DbInstance> = instances
        .iter()
        .filter(|instance| instance.identifier() == wanted)
        .collect();
    let instance = match named.as_slice() {
        [instance] => instance,
        [] => {
            return Err(ExpectedError::usage(
                format!("no DB instance {name:?}"),
                "check the name and --region; a server that RDS does not know is written mysql://USER@HOST:PORT",
            ));
        }
        _ => {
            return Err(ExpectedError::usage(
                format!("{name} is in more than one region"),
                "name the region with --region",
            ));
        }
    };
    match instance.engine() {
        engine if engine.contains("postgres") => return Err(postgresql(name)),
        // Its members answer as MySQL servers do.
        "mysql" | "mariadb" | "aurora-mysql" | "aurora" => {}
        engine => {
            return Err(ExpectedError::usage(
                format!("{name} is {engine}: only accounts of MySQL and MariaDB are read"),
                "`atrest diff` compares the attributes of every engine",
            ));
        }
    }
    let server = Server::of_instance(instance).map_err(|error| {
        ExpectedError::of(
            Exit::Incomplete,
            format!("{error} ({})", instance.status()),
            error.hint(),
        )
    })?;
    Ok(One {
        server,
        is_replica: instance.replica_source().is_some(),
    })
}

/// Roles of PostgreSQL need no carrying, so nothing here does it.
fn postgresql(name: &str) -> anyhow::Error {
    ExpectedError::usage(
        format!("{name} is PostgreSQL: its roles are out of scope"),
        "nothing has to be cloned: PostgreSQL's replicas, snapshots and restores are physical copies and carry every role and grant, and no role can be made on a replica alone",
    )
}
