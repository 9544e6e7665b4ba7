//! The command line: structs only.

mod accounts;
mod config;
mod events;
mod mysql;
mod policy;
mod shards;
mod shared;
mod tick;
mod undo;

use std::path::PathBuf;

use atrest_fixer::fleet::Waves;
use clap::{Args, Parser, Subcommand, ValueEnum};

pub(crate) use accounts::{
    AccountsArgs, AccountsCommand, AccountsDiffArgs, CloneArgs, ExportArgs, OnGrantErrorArg,
    SidesArgs,
};
pub(crate) use config::{ConfigArgs, ConfigCommand, ConfigInitArgs, ConfigShowArgs};
pub(crate) use events::EventsArgs;
pub(crate) use mysql::{ConnectArgs, MysqlArgs, MysqlMode, TlsMode};
pub(crate) use policy::{PolicyArgs, PolicyCommand, PolicyTestArgs};
pub(crate) use shards::{MergeArgs, ShardArgs};
pub(crate) use shared::SharedArgs;
pub(crate) use tick::TickArgs;
pub(crate) use undo::{CleanupArgs, PaceArgs, RollbackArgs};

/// Finds RDS databases that are not encrypted at rest, migrates them to encrypted storage, and proves that nothing
/// else changed.
#[derive(Debug, Parser)]
#[command(
    name = "atrest",
    version,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100,
    after_help = "`atrest help VERB` has everything about a verb, `atrest help TOPIC` a page of the documentation; `atrest help topics` \
                  lists them. Nothing is changed without --execute."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    /// Configuration file; without it the first atrest.toml from the working directory upward (docs/config.md)
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Audit: which DB instances and clusters are not encrypted at rest
    Scan(ScanArgs),
    /// Plan the migration of flagged DB instances; writes a file, changes nothing
    Plan(PlanArgs),
    /// Show a plan, and with --execute carry it out; or take up a run again
    Fix(FixArgs),
    /// Move one migration on by one step, for a workflow that keeps the state (docs/tick.md)
    Tick(TickArgs),
    /// Show how far a run is
    Status(StatusArgs),
    /// Go back: the old instances get their names, and what the run has made goes
    Rollback(RollbackArgs),
    /// After the soak: delete what the run has superseded
    Cleanup(CleanupArgs),
    /// Compare old and new DB instances: attributes, accounts, rows
    Diff(DiffArgs),
    /// MySQL and MariaDB accounts of a server or of a pair: show, compare, bring over
    Accounts(AccountsArgs),
    /// Show saved scans, diffs and runs again, in any format; several become one page
    Report(ReportArgs),
    /// The rules that are asked: list them, show one, test them
    Policy(PolicyArgs),
    /// Print the IAM policy that a verb needs, with nothing in it that the verb does not call
    IamPolicy(IamPolicyArgs),
    /// The configuration file: write one to begin with, show what holds and why
    Config(ConfigArgs),
    /// The whole loop on a sandbox inside this process
    Demo(DemoArgs),
    /// An RDS of your own on loopback
    Sandbox(SandboxArgs),
    /// Print a completion script for a shell
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write a manual page for each verb into a folder
    #[command(hide = true)]
    Man {
        /// The folder; it is made if it is not there
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
    /// Help on a verb (atrest help fix) or a page of the documentation (atrest help exit-codes)
    Help {
        /// The verb, or the topic; `topics` lists these
        #[arg(value_name = "VERB|TOPIC")]
        words: Vec<String>,
    },
    /// Write the pages of docs/reference that are made from the code
    #[command(hide = true)]
    Reference {
        /// The folder
        dir: PathBuf,
    },
}

/// What is written where.
#[derive(Debug, Clone, Args)]
pub(crate) struct OutputArgs {
    /// More log messages on stderr (-v info, -vv debug, -vvv trace)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub(crate) verbose: u8,
    /// Only errors on stderr
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Form of log messages
    #[arg(long, value_name = "FORM", default_value = "text", global = true)]
    pub(crate) log_format: LogFormat,
    /// Colours in what is meant for people; also NO_COLOR
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true)]
    pub(crate) color: ColorWhen,
    /// No progress lines on stderr
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorWhen {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// The way to AWS; everything else as every AWS tool reads it from environment and configuration files.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "AWS")]
pub(crate) struct AwsArgs {
    /// Profile of the AWS configuration files
    #[arg(long)]
    pub(crate) profile: Option<String>,
    /// Region; may be repeated. Without it: all enabled regions
    #[arg(long, value_name = "REGION")]
    pub(crate) region: Vec<String>,
    /// All regions that are enabled for the account
    #[arg(long, conflicts_with = "region")]
    pub(crate) all_regions: bool,
    /// Endpoint for all services, such as a sandbox; also AWS_ENDPOINT_URL
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint_url: Option<String>,
    /// Let an endpoint on another machine be without TLS (http://), where the way there is protected otherwise
    #[arg(long)]
    pub(crate) allow_plain_http: bool,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ScanArgs {
    /// Every account of the organization: the caller's own, and by a role in each other one
    #[arg(long, help_heading = "Accounts")]
    pub(crate) org: bool,
    /// Only these accounts; with --org those of its accounts, without it any in which the role exists
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = parse_account, help_heading = "Accounts")]
    pub(crate) account: Vec<String>,
    /// Role that is assumed in each account, with its path if it has one
    #[arg(long, value_name = "NAME", default_value = "atrest-scan", value_parser = parse_role, help_heading = "Accounts")]
    pub(crate) role_name: String,
    /// External id that the role asks for
    #[arg(long, value_name = "ID", help_heading = "Accounts")]
    pub(crate) external_id: Option<String>,
    /// The accounts of these profiles instead
    #[arg(long, value_name = "PROFILE", value_delimiter = ',', conflicts_with_all = ["profile", "org", "account"], help_heading = "Accounts")]
    pub(crate) profiles: Vec<String>,
    /// How long a call may be throttled before its region is given up
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = parse_duration, help_heading = "Accounts")]
    pub(crate) throttle_patience: std::time::Duration,
    /// Output: table, json, jsonl, csv, markdown, html, sarif, junit, ocsf, asff; FORMAT=FILE writes a file; may be repeated
    #[arg(long, value_name = "FORMAT[=FILE]", default_value = "table")]
    pub(crate) format: Vec<String>,
    /// Write each account to FILE as JSON Lines as soon as it is judged, before waivers and baseline: what is known stays
    /// known whatever becomes of the scan. Its last line, of type scan, comes with the end (docs/nightly.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) stream: Option<PathBuf>,
    /// Judge saved `aws rds describe-*` JSON, a file or a folder, instead of asking AWS (docs/offline.md)
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) offline: Option<PathBuf>,
    /// Ask these policies only; `atrest policy list` lists them
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub(crate) only: Vec<String>,
    /// Read these kinds only, such as db-instance,db-cluster
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    pub(crate) only_kinds: Vec<String>,
    /// Folder with policies of your own, *.toml (docs/custom-policies.md)
    #[arg(long, value_name = "DIR")]
    pub(crate) policies: Option<PathBuf>,
    /// Violations that somebody accepted, with a last day (docs/waivers.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) waivers: Option<PathBuf>,
    /// An earlier result (--save or --format json) to compare with: new, worse, unchanged, fixed
    #[arg(long, value_name = "SCAN.json")]
    pub(crate) baseline: Option<PathBuf>,
    /// Exit 10 only for what is new or worse than in the baseline
    #[arg(long, requires = "baseline")]
    pub(crate) fail_on_new: bool,
    /// Also write the result as JSON, for `plan --from`
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,
    /// Write the numbers of the scan to FILE for Prometheus (docs/operations.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics: Option<PathBuf>,
    /// Exit 10 from this severity on
    #[arg(long, value_name = "SEVERITY", default_value = "low")]
    pub(crate) fail_on: SeverityArg,
    /// Exit 0 in spite of findings
    #[arg(long)]
    pub(crate) exit_zero: bool,
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
    #[command(flatten)]
    pub(crate) shards: ShardArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct IamPolicyArgs {
    /// The verb
    #[arg(value_name = "VERB")]
    pub(crate) verb: IamPolicyVerb,
    /// Of scan: for the identity that scans an organization, which also lists its accounts and assumes a role in each
    #[arg(long)]
    pub(crate) org: bool,
    /// That role
    #[arg(long, value_name = "NAME", default_value = "atrest-scan", value_parser = parse_role)]
    pub(crate) role_name: String,
    /// Partition of the ARNs: aws, aws-cn, aws-us-gov
    #[arg(long, value_name = "NAME", default_value = "aws")]
    pub(crate) partition: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum IamPolicyVerb {
    /// What a scan reads in an account
    Scan,
    /// What is read to make a plan
    Plan,
    /// What a run reads and changes, its audits included
    Fix,
    /// The same of a rehearsal, which removes what it has made
    Rehearse,
    /// What a rollback reads and changes
    Rollback,
    /// What a cleanup reads and deletes
    Cleanup,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SeverityArg {
    Info,
    Low,
    Medium,
    High,
    Critical,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct PlanArgs {
    /// Plan what this saved scan has flagged
    #[arg(long, value_name = "SCAN.json", conflicts_with = "instance")]
    pub(crate) from: Option<PathBuf>,
    /// Plan these DB instances, each with its replicas; may be repeated
    #[arg(long, value_name = "IDENTIFIER")]
    pub(crate) instance: Vec<String>,
    /// Key to encrypt with: id, ARN or alias
    #[arg(long, value_name = "KEY", default_value = "alias/aws/rds")]
    pub(crate) kms_key: String,
    /// How: cold always works; auto takes the best that is possible and says why not a better one
    #[arg(long, value_name = "METHOD", default_value = "cold")]
    pub(crate) method: MethodArg,
    /// Replica method: let the old instance follow the new one for so many hours after the cutover, at most 168
    #[arg(long, value_name = "HOURS", value_parser = clap::value_parser!(u32).range(1..=168))]
    pub(crate) way_back: Option<u32>,
    /// How rows are compared before the cutover
    #[arg(long, value_name = "CHECK", default_value = "counts")]
    pub(crate) data_check: DataCheckArg,
    /// Migrations to a wave, the smallest first, such as 10 or 1,5,20 or canary,10; `canary` is one, then all others
    #[arg(long, value_name = "SIZES")]
    pub(crate) waves: Option<Waves>,
    /// How long nobody may be connected to a source, and nothing written, before its snapshot: 1s to 4m
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_window)]
    pub(crate) quiesce_window: std::time::Duration,
    /// Kill clients that are connected to a source after its rename (mysql.rds_kill), instead of rebooting it once
    #[arg(long)]
    pub(crate) kill_connections: bool,
    /// Name of the run; made from time and account if not given
    #[arg(long, value_name = "RUN")]
    pub(crate) run: Option<String>,
    /// Where the plan is written
    #[arg(long, value_name = "PLAN.json", default_value = "atrest-plan.json")]
    pub(crate) out: PathBuf,
    /// Output: text, json, csv, markdown, html; FORMAT=FILE writes a file; may be repeated
    #[arg(long, value_name = "FORMAT[=FILE]", default_value = "text")]
    pub(crate) format: Vec<String>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) radius: RadiusArgs,
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
    #[command(flatten)]
    pub(crate) mysql: MysqlArgs,
}

/// How much of the fleet one plan may change.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Blast radius")]
pub(crate) struct RadiusArgs {
    /// Refuse a plan of more DB instances, replicas counted
    #[arg(long, value_name = "N")]
    pub(crate) max_instances: Option<usize>,
    /// Refuse a plan of more than this share of the DB instances of the account in a region, encrypted ones counted
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    pub(crate) max_percent: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HooksArg {
    /// Stop, and ask the operator
    Ask,
    /// Run them again
    Again,
    /// Count them as done
    Done,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextOrJson {
    /// For people
    Text,
    /// For programs
    Json,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MethodArg {
    /// The one with the least downtime that is possible, for each DB instance
    Auto,
    /// Snapshot, encrypted copy and restore while clients are away
    Cold,
    /// A blue/green deployment of RDS, where RDS makes one
    BlueGreen,
    /// Replicate into the encrypted instance while clients go on; the renames are the downtime (MySQL, MariaDB)
    Replica,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DataCheckArg {
    /// Not at all
    None,
    /// Row counts of every table
    Counts,
    /// Row counts and checksums of every table
    Checksums,
}

/// Where runs are kept.
#[derive(Debug, Clone, Args)]
pub(crate) struct StateArgs {
    /// Folder of the runs
    #[arg(long, value_name = "DIR", default_value = ".atrest")]
    pub(crate) state_dir: PathBuf,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct FixArgs {
    /// The plan
    #[arg(value_name = "PLAN.json", required_unless_present_any = ["resume", "adopt", "pause"])]
    pub(crate) plan: Option<PathBuf>,
    /// Carry the plan out; without it the plan is only shown and checked
    #[arg(long)]
    pub(crate) execute: bool,
    /// Try the plan out beside the live sources and remove everything again: no rename, no downtime
    #[arg(long, conflicts_with_all = ["resume", "adopt", "stop_before"])]
    pub(crate) rehearse: bool,
    /// Take up a run again
    #[arg(long, value_name = "RUN", conflicts_with_all = ["plan", "execute"])]
    pub(crate) resume: Option<String>,
    /// Take up the run of this plan whose run folder was lost: what was done is found in RDS, by its tags
    #[arg(long, value_name = "PLAN.json", conflicts_with_all = ["plan", "execute", "resume"])]
    pub(crate) adopt: Option<PathBuf>,
    /// Ask the process that executes this run to see through what is under way, to begin nothing new, and to end; it
    /// goes on with --resume
    #[arg(long, value_name = "RUN", conflicts_with_all = ["plan", "execute", "resume", "adopt"])]
    pub(crate) pause: Option<String>,
    /// Failed migrations that do not keep the next wave from being begun
    #[arg(long, value_name = "N")]
    pub(crate) max_failures: Option<usize>,
    /// How long a migration waits for room in a quota while nothing of the run is under way
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    pub(crate) quota_wait: std::time::Duration,
    /// Hooks that were running when the process was killed (docs/hooks.md)
    #[arg(long, value_name = "WHAT", default_value = "ask")]
    pub(crate) interrupted_hooks: HooksArg,
    /// Stop each migration before this step; `cutover` is the first rename to a real name
    #[arg(long, value_name = "STEP")]
    pub(crate) stop_before: Option<String>,
    /// Migrations at the same time
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(crate) concurrency: usize,
    /// Time between two describe loops of a region: 10s, 250ms
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = parse_duration)]
    pub(crate) poll_interval: std::time::Duration,
    /// How long RDS may still show the time before a change; a call whose answer was lost is repeated only after it
    #[arg(long, value_name = "TIME", default_value = "3m", value_parser = parse_duration)]
    pub(crate) consistency_window: std::time::Duration,
    /// Append each event of the run to FILE as a JSON line as it happens; `-` is stdout (docs/formats.md)
    #[arg(long, value_name = "FILE")]
    pub(crate) events: Option<PathBuf>,
    /// The end of the run: text (the default), table, json, jsonl, csv, markdown, html, junit, chat; of a plan that is
    /// only shown text, json, csv, markdown, html; FORMAT=FILE writes a file; may be repeated
    #[arg(long, value_name = "FORMAT[=FILE]")]
    pub(crate) format: Vec<String>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) radius: RadiusArgs,
    #[command(flatten)]
    pub(crate) shared: SharedArgs,
    #[command(flatten)]
    pub(crate) operations: EventsArgs,
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
    #[command(flatten)]
    pub(crate) mysql: MysqlArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct StatusArgs {
    /// The run; without it all runs are listed
    pub(crate) run: Option<String>,
    /// Print the journal as JSON Lines, each bound to the one before by its hash: the audit trail
    #[arg(long, requires = "run", conflicts_with = "format")]
    pub(crate) journal: bool,
    /// Write two Terraform files into this folder: the old instances are forgotten, then the new ones imported
    #[arg(long, value_name = "DIR", requires = "run", conflicts_with_all = ["journal", "format"])]
    pub(crate) terraform: Option<PathBuf>,
    /// Take the resource addresses from this Terraform state (terraform state pull)
    #[arg(long, value_name = "FILE", requires = "terraform")]
    pub(crate) tfstate: Option<PathBuf>,
    /// Check an audit trail and name its first broken line
    #[arg(long, value_name = "FILE", conflicts_with_all = ["run", "journal", "format"])]
    pub(crate) verify: Option<PathBuf>,
    /// Follow the run until it ends, looking every SECONDS; on a terminal a table that is written over, in a pipe a
    /// line for each change
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, require_equals = true, default_missing_value = "2",
          value_parser = parse_seconds, requires = "run", conflicts_with_all = ["journal", "format", "verify"])]
    pub(crate) watch: Option<std::time::Duration>,
    /// Show who works on which DB instance, of this run or of all, from shared state: s3://bucket/prefix
    #[arg(long, value_name = "URL", conflicts_with_all = ["journal", "terraform", "verify", "watch", "metrics"])]
    pub(crate) shared_state: Option<atrest_fixer::shared::SharedUrl>,
    /// Write the numbers of the run, or without one of all runs, to FILE for Prometheus (docs/operations.md)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["journal", "format", "terraform", "verify", "watch"])]
    pub(crate) metrics: Option<PathBuf>,
    /// Output: text, json; of its end also table, jsonl, csv, markdown, html, junit, chat; FORMAT=FILE writes a file; may
    /// be repeated
    #[arg(long, value_name = "FORMAT[=FILE]", default_value = "text")]
    pub(crate) format: Vec<String>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DiffArgs {
    /// Pairs of DB instance identifiers
    #[arg(value_name = "OLD=NEW", required_unless_present = "run")]
    pub(crate) pairs: Vec<String>,
    /// Compare every pair of a run instead
    #[arg(long, value_name = "RUN", conflicts_with = "pairs")]
    pub(crate) run: Option<String>,
    /// Compare rows too
    #[arg(long, value_name = "CHECK", default_value = "none", default_missing_value = "checksums", num_args = 0..=1)]
    pub(crate) data: DataCheckArg,
    /// Keep how far the rows were compared in FILE, and go on from there if it exists
    #[arg(long, value_name = "FILE")]
    pub(crate) resume: Option<PathBuf>,
    /// Show drift only
    #[arg(long)]
    pub(crate) drift_only: bool,
    /// Output: text, table, json, csv, markdown, html, junit; FORMAT=FILE writes a file; may be repeated
    #[arg(long, value_name = "FORMAT[=FILE]", default_value = "text")]
    pub(crate) format: Vec<String>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
    #[command(flatten)]
    pub(crate) aws: AwsArgs,
    #[command(flatten)]
    pub(crate) mysql: MysqlArgs,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum ReportCommand {
    /// Put the batches of a scan by shards together, judge them, and write the report of the scan (docs/shards.md)
    Merge(MergeArgs),
}

#[derive(Debug, Clone, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct ReportArgs {
    #[command(subcommand)]
    pub(crate) command: Option<ReportCommand>,
    /// Files of `scan --save` and `diff --format json=FILE`, and names of runs
    #[arg(value_name = "SAVED.json|RUN", required_unless_present = "verify")]
    pub(crate) saved: Vec<String>,
    /// Pack everything that shows what a run did into one file that tells when it was changed (docs/evidence.md)
    #[arg(long, value_name = "OUT.zip", conflicts_with = "verify")]
    pub(crate) evidence: Option<PathBuf>,
    /// Sign the pack with this Ed25519 key, PKCS#8 in PEM form, which nobody else may read
    #[arg(long, value_name = "KEY.pem", requires = "evidence")]
    pub(crate) sign: Option<PathBuf>,
    /// Check a pack: name every changed, missing and extra file
    #[arg(long, value_name = "PACK.zip", conflicts_with = "saved")]
    pub(crate) verify: Option<PathBuf>,
    /// The pack must be signed by the owner of this public key, in PEM form
    #[arg(long, value_name = "PUBLIC.pem", requires = "verify")]
    pub(crate) public_key: Option<PathBuf>,
    /// Folder with the saved scans of earlier nights, *.json: shows the trend
    #[arg(long, value_name = "DIR")]
    pub(crate) history: Option<PathBuf>,
    /// Output: table, text, markdown, html, json; of one scan also jsonl, csv, sarif, junit, ocsf, asff; FORMAT=FILE
    /// writes a file; may be repeated
    #[arg(long, value_name = "FORMAT[=FILE]", default_value = "table")]
    pub(crate) format: Vec<String>,
    #[command(flatten)]
    pub(crate) state: StateArgs,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct DemoArgs {
    /// Folder for plan, journal and reports; must not exist yet, or be an earlier demo's
    #[arg(long, value_name = "DIR", default_value = "atrest-demo")]
    pub(crate) dir: PathBuf,
    /// Virtual seconds of RDS per real second
    #[arg(long, value_name = "N", default_value_t = 600.0)]
    pub(crate) speed: f64,
    /// Real MySQL servers behind the instances
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub(crate) engines: EnginesArg,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum EnginesArg {
    /// Those that are installed
    Auto,
    /// Control plane only
    None,
    /// Fail if one is missing
    Required,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SandboxArgs {
    #[command(subcommand)]
    pub(crate) command: SandboxCommand,
}

#[derive(Debug, Clone, Subcommand)]
pub(crate) enum SandboxCommand {
    /// Serve until a signal; prints one JSON line when ready
    Serve(ServeArgs),
    /// List the shipped scenarios
    Scenarios,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct ServeArgs {
    /// Scenario: a file, or the name of a shipped one
    #[arg(long, value_name = "FILE|NAME", default_value = "seed-story")]
    pub(crate) scenario: String,
    /// Port on 127.0.0.1; 0 is any free one
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
    /// Virtual seconds of RDS per real second
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    pub(crate) speed: f64,
    /// Real MySQL servers behind the instances
    #[arg(long, value_name = "MODE", default_value = "auto")]
    pub(crate) engines: EnginesArg,
    /// Append one JSON object per API call to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) request_log: Option<PathBuf>,
    /// Seed of everything that is left to chance
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Go on from the state in this file, if it exists, and save it there at the end; with --engines none
    #[arg(long, value_name = "FILE")]
    pub(crate) state: Option<PathBuf>,
}

/// Twelve digits.
fn parse_account(text: &str) -> Result<String, String> {
    if text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit()) {
        Ok(text.to_owned())
    } else {
        Err("an account id has twelve digits".to_owned())
    }
}

/// What IAM allows in a role's name and path.
fn parse_role(text: &str) -> Result<String, String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&byte);
    if !text.is_empty() && !text.starts_with('/') && text.bytes().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err("a role name, or path/name, not an ARN".to_owned())
    }
}

/// More than nothing, and not more than all.
fn parse_percent(text: &str) -> Result<f64, String> {
    let share = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>();
    share
        .ok()
        .filter(|share| *share > 0.0 && *share <= 100.0)
        .ok_or_else(|| "a number above 0, up to 100".to_owned())
}

/// Whole seconds, shorter than the five minutes between two of RDS's own heartbeats: where there is no binary log, a
/// window must have a chance to see none.
fn parse_window(text: &str) -> Result<std::time::Duration, String> {
    let window = parse_duration(text)?;
    if window.subsec_nanos() == 0 && window.as_secs() <= 240 {
        Ok(window)
    } else {
        Err("whole seconds, at most 4m".to_owned())
    }
}

/// Seconds, or a duration with its unit.
fn parse_seconds(text: &str) -> Result<std::time::Duration, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        return parse_duration(&format!("{text}s"));
    }
    parse_duration(text)
}

/// `250ms`, `10s`, `3m`, `2h`.
pub(crate) fn parse_duration(text: &str) -> Result<std::time::Duration, String> {
    let split = text
        .find(|c: char| !c.is_ascii_digit())
        .ok_or("a number with a unit: 250ms, 10s, 3m, 2h")?;
    let (number, unit) = text.split_at(split);
    let number: u64 = number
        .parse()
        .map_err(|_bad| format!("no number before {unit:?}"))?;
    let millis = match unit {
        "ms" => Some(number),
        "s" => number.checked_mul(1000),
        "m" => number.checked_mul(60_000),
        "h" => number.checked_mul(3_600_000),
        _ => return Err(format!("unknown unit {unit:?}; one of ms, s, m, h")),
    };
    millis
        .filter(|m| *m > 0)
        .map(std::time::Duration::from_millis)
        .ok_or_else(|| "must be more than nothing".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(
            parse_duration("250ms"),
            Ok(std::time::Duration::from_millis(250))
        );
        assert_eq!(
            parse_duration("3m"),
            Ok(std::time::Duration::from_secs(180))
        );
        for bad in ["10", "s", "-1s", "0s", "1d", "99999999999999999999s"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
        assert_eq!(parse_seconds("2"), parse_duration("2s"));
        assert_eq!(parse_seconds("250ms"), parse_duration("250ms"));
        for bad in ["", "0", "x"] {
            assert!(parse_seconds(bad).is_err(), "{bad}");
        }
    }
}
