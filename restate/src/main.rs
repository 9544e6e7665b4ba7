//! `atrest-restate`: serves migrations to a Restate server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use atrest_fixer::clock::Timing;
use atrest_fixer::store::read_plan;
use atrest_fixer::tick::INTENT_LIFETIME;
use atrest_model::plan::MysqlAccess;
use atrest_restate::{HttpServer, Settings, Worker, endpoint};
use atrest_scanner::access::{MysqlAuth, Password, Tls};
use atrest_scanner::aws::{Aws, AwsOptions};
use clap::Parser;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Serves migrations as workflows to a Restate server. Credentials and region come as for every AWS tool, the MySQL password
/// from ATREST_MYSQL_PASSWORD or Secrets Manager. See docs/restate.md.
#[derive(Debug, Parser)]
#[command(name = "atrest-restate", version, max_term_width = 100)]
struct Args {
    /// A plan whose migrations are served; may be repeated
    #[arg(long, value_name = "PLAN.json", required = true)]
    plan: Vec<PathBuf>,
    /// Where the Restate server reaches the service; port 0 is any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9080")]
    listen: SocketAddr,
    /// Public identity key of the Restate server: nobody else's requests are answered
    #[arg(long, value_name = "KEY")]
    identity_key: Option<String>,
    /// Folder on a disk of this machine for locks and reports; it may be lost
    #[arg(long, value_name = "DIR", default_value = ".atrest-restate")]
    state_dir: PathBuf,
    /// Milliseconds between two looks
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    poll_ms: u64,
    /// Milliseconds for which RDS may still show the time before a change
    #[arg(long, value_name = "MS", default_value_t = 180_000)]
    consistency_ms: u64,
    /// Profile of the AWS configuration files
    #[arg(long)]
    profile: Option<String>,
    /// Take the MySQL password from the secret in which RDS manages it, instead of ATREST_MYSQL_PASSWORD
    #[arg(long)]
    master_user_secret: bool,
    /// Roots to trust of MySQL servers, such as the RDS CA bundle
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
}

#[tokio::main]
async fn main() -> ExitCode {
    match serve(Args::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            anstream::eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}

async fn serve(args: Args) -> Result<(), String> {
    // What reaches the service can have it work on any state it likes.
    if !args.listen.ip().is_loopback() && args.identity_key.is_none() {
        return Err(format!(
            "{} is open to other machines: give --identity-key",
            args.listen
        ));
    }
    let plans = args
        .plan
        .iter()
        .map(|path| read_plan(path).map_err(|error| format!("{error}; {}", error.hint())))
        .collect::<Result<Vec<_>, _>>()?;
    let aws = Aws::load(&AwsOptions {
        profile: args.profile.clone(),
        ..AwsOptions::default()
    })
    .await;
    let mysql = if plans.iter().any(|plan| plan.mysql == MysqlAccess::Required) {
        Some(login(&args, &aws)?)
    } else {
        None
    };
    let settings = Settings {
        state_dir: args.state_dir,
        timing: Timing {
            poll: Duration::from_millis(args.poll_ms),
            consistency: Duration::from_millis(args.consistency_ms),
            ..Timing::default()
        },
        intent_lifetime: INTENT_LIFETIME,
        mysql,
    };
    let worker = Worker::new(aws, plans, settings);
    let endpoint = endpoint(worker, args.identity_key.as_deref())?;
    let cannot = |error: std::io::Error| format!("cannot listen on {}: {error}", args.listen);
    let listener = TcpListener::bind(args.listen).await.map_err(cannot)?;
    let address = listener.local_addr().map_err(cannot)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(cannot)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(cannot)?;
    anstream::println!("{}", serde_json::json!({"listening": address.to_string()}));
    // What is under way when it ends is made again by the next one, which is told so.
    let ended = async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    };
    HttpServer::new(endpoint)
        .serve_with_cancel(listener, ended)
        .await;
    Ok(())
}

fn login(args: &Args, aws: &Aws) -> Result<MysqlAuth, String> {
    let password = if args.master_user_secret {
        Password::MasterUserSecret {
            aws: aws.clone(),
            otherwise: None,
            plain: None,
        }
    } else {
        let given = std::env::var("ATREST_MYSQL_PASSWORD")
            .map_err(|_absent| "the plan needs MySQL: set ATREST_MYSQL_PASSWORD")?;
        Password::Given(given.into())
    };
    let tls = Tls::Verify {
        ca_file: args.ca_file.clone(),
        server_name: None,
    };
    Ok(MysqlAuth::new(password, tls))
}
