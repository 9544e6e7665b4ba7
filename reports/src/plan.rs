//! A plan, as an operator reads it before the night.

mod checks;
mod csv;

use std::collections::BTreeMap;
use std::io::{self, Write};

use atrest_model::hook::{Hook, OnFailure};
use atrest_model::plan::{
    Action, DataCheck, Member, Method, Migration, MysqlAccess, Plan, Step, Target,
};
use serde_json::{Map, Value};

use crate::format::PlanFormat;
use crate::style::{Style, cell};
use crate::text::{count, paragraph, printable, seconds};

/// Arguments of the creating calls that are shown with their values; the JSON plan has all of them.
const TELLING: &[&str] = &[
    "DBInstanceClass",
    "MultiAZ",
    "AvailabilityZone",
    "StorageType",
    "Iops",
    "AllocatedStorage",
    "DBSubnetGroupName",
    "VpcSecurityGroupIds",
    "DBParameterGroupName",
    "OptionGroupName",
    "Port",
    "PubliclyAccessible",
];

use checks::plan_markdown;

/// Column of what a step does, where it does not fit beside the step.
const BELOW: usize = 18;

/// A plan in a format.
///
/// # Errors
///
/// Any error of `out`.
pub fn plan_as(
    plan: &Plan,
    format: PlanFormat,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        PlanFormat::Text => self::plan(plan, style, out),
        PlanFormat::Json => crate::json::write(plan, out),
        PlanFormat::Csv => csv::write(plan, out),
        PlanFormat::Markdown => plan_markdown(plan, out),
        PlanFormat::Html => crate::html::plan(plan, out),
    }
}

/// Every migration with its members, notes, and steps; what is left out; what happens next.
///
/// # Errors
///
/// Any error of `out`.
pub fn plan(plan: &Plan, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let style = *style;
    let title = format!("Plan {} of account {}", plan.run, printable(&plan.account));
    writeln!(
        out,
        "{}, made {:.0} by {} {}",
        style.strong(&title),
        plan.created,
        printable(&plan.tool.name),
        printable(&plan.tool.version)
    )?;
    let check = compared(plan);
    writeln!(out, "{}", paragraph("MySQL: ", &check, 2, style.width))?;
    write_waves(plan, style, out)?;
    for migration in &plan.migrations {
        writeln!(out)?;
        write_migration(plan, migration, style, out)?;
    }
    if !plan.left_out.is_empty() {
        let title = format!("LEFT OUT: {}", plan.left_out.len());
        writeln!(out, "\n{}", style.odd(&title))?;
        for left in &plan.left_out {
            writeln!(out, "  {}", printable(&left.arn))?;
            let reason = paragraph("    ", &printable(&left.reason), 4, style.width);
            writeln!(out, "{reason}")?;
        }
    }
    checks::write(plan, None, style, out)?;
    write_end(plan, style, out)
}

/// Which migrations are begun together, and what is run when none goes on or one has failed.
fn write_waves(plan: &Plan, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let mut waves: BTreeMap<u32, Vec<&str>> = BTreeMap::new();
    for migration in &plan.migrations {
        if let Some(wave) = migration.wave {
            waves.entry(wave).or_default().push(&migration.id);
        }
    }
    for (wave, migrations) in waves {
        let first = format!("wave {wave}: ");
        let text = printable(&migrations.join(", ")).into_owned();
        writeln!(out, "{}", paragraph(&first, &text, 2, style.width))?;
    }
    for hook in plan.hooks.iter().filter(|hook| !hook.at.is_of_migration()) {
        let first = format!("{}: ", hook.at.as_str());
        let text = printable(&command(hook)).into_owned();
        writeln!(out, "{}", paragraph(&first, &text, 2, style.width))?;
    }
    Ok(())
}

/// What is compared before the cutover, and what is not.
pub(crate) fn compared(plan: &Plan) -> String {
    match (&plan.mysql, plan.data_check) {
        (MysqlAccess::Off { reason }, _) => {
            format!("accounts and rows are NOT compared: {}", printable(reason))
        }
        (MysqlAccess::Required, DataCheck::None) => {
            "accounts are compared before the cutover, rows are NOT".to_owned()
        }
        (MysqlAccess::Required, DataCheck::Counts) => {
            "accounts and row counts are compared before the cutover".to_owned()
        }
        (MysqlAccess::Required, DataCheck::Checksums) => {
            "accounts, row counts and checksums are compared before the cutover".to_owned()
        }
    }
}

/// The total and what happens next.
fn write_end(plan: &Plan, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let instances: usize = plan
        .migrations
        .iter()
        .map(|migration| migration.members().count())
        .sum();
    let line = format!(
        "{} of {}, {} left out; run {}, digest {}",
        count(plan.migrations.len(), "migration", "migrations"),
        count(instances, "DB instance", "DB instances"),
        count(plan.left_out.len(), "resource", "resources"),
        plan.run,
        plan.digest.get(..16).unwrap_or(&plan.digest),
    );
    let line = paragraph("", &printable(&line), 2, style.width);
    writeln!(out, "\n{}", style.strong(&line))?;
    if plan.migrations.is_empty() {
        return writeln!(out, "Nothing to do.");
    }
    let resume = format!("atrest fix --resume {}", plan.run);
    if plan.blocking().next().is_some() {
        return writeln!(
            out,
            "Nothing has been changed. The plan is BLOCKED: mend what blocks and make it again."
        );
    }
    writeln!(out, "Nothing has been changed. Next:")?;
    for (command, does) in [
        ("atrest fix PLAN.json --execute", "carry it out"),
        (
            "atrest fix PLAN.json --execute --stop-before cutover",
            "all but the last renames",
        ),
        (resume.as_str(), "go on after any stop"),
    ] {
        writeln!(out, "  {command:<54}{does}")?;
    }
    Ok(())
}

fn write_migration(
    plan: &Plan,
    migration: &Migration,
    style: Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    let method = migration.method.as_str();
    let wave = migration
        .wave
        .map_or_else(String::new, |wave| format!(", wave {wave}"));
    writeln!(
        out,
        "{}  {}, {} GiB, {method}, {}{wave}",
        style.strong(&printable(&migration.id)),
        printable(&migration.engine),
        migration.allocated_storage,
        count(migration.members().count(), "DB instance", "DB instances"),
    )?;
    writeln!(out, "  key {}", printable(&migration.kms_key_id))?;
    if let Some(cluster) = &migration.cluster {
        writeln!(
            out,
            "  cluster {}, is kept as {}, is built as {}",
            cluster.identifier, cluster.old_name, cluster.new_name
        )?;
    }
    write_members(migration, style, out)?;
    for not in &migration.not_taken {
        let text = format!(
            "not {}: {}",
            not.method.as_str(),
            printable(&not.reasons.join("; "))
        );
        writeln!(out, "{}", paragraph("  ", &text, 8, style.width))?;
    }
    for note in &migration.notes {
        let note = paragraph("  note: ", &printable(note), 8, style.width);
        writeln!(out, "{}", style.odd(&note))?;
    }
    checks::write(plan, Some(migration), style, out)?;
    write_steps(migration, style, out)
}

fn write_members(migration: &Migration, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let mut header = vec!["db instance", "is kept as", "is built as"];
    if !style.is_narrow() {
        header.push("resource id now");
    }
    let rows = migration.members().map(|member| {
        let name = match depth(migration, member) {
            0 => member.identifier.to_string(),
            depth => {
                let branch = if style.unicode { "└" } else { "`" };
                format!("{}{branch} {}", "  ".repeat(depth - 1), member.identifier)
            }
        };
        let mut cells = vec![
            cell(&name),
            cell(member.old_name.as_str()),
            cell(&built_as(migration, member)),
        ];
        if !style.is_narrow() {
            cells.push(cell(&member.dbi_resource_id));
        }
        cells
    });
    let inner = Style {
        width: None,
        ..style
    };
    let table = inner.table(&header, &[], rows);
    let width = table.lines().map(textwrap::core::display_width).max();
    if style
        .width
        .is_none_or(|most| width.unwrap_or(0) + 2 <= usize::from(most))
    {
        for line in table.lines() {
            writeln!(out, "  {line}")?;
        }
        return Ok(());
    }
    // Names that are too long for three columns are not broken: they stand below each other.
    for member in migration.members() {
        writeln!(out, "  {}", member.identifier)?;
        writeln!(out, "    is kept as   {}", member.old_name)?;
        writeln!(out, "    is built as  {}", built_as(migration, member))?;
    }
    Ok(())
}

/// The name of the encrypted instance until the cutover. RDS draws the end of a green one's.
fn built_as(migration: &Migration, member: &Member) -> String {
    if migration.method == Method::BlueGreen {
        format!("{}-*", member.new_name)
    } else {
        member.new_name.to_string()
    }
}

/// How many sources are above a member.
pub(crate) fn depth(migration: &Migration, member: &Member) -> usize {
    let mut depth = 0;
    let mut source = member.replicates_from.as_ref();
    // A chain ends at the latest after all members; the bound is against a circle in an edited plan.
    while let (Some(name), true) = (source, depth < migration.replicas.len()) {
        depth += 1;
        source = migration
            .members()
            .find(|member| member.identifier == *name)
            .and_then(|member| member.replicates_from.as_ref());
    }
    depth
}

/// The steps in order, with the time clients are away marked.
fn write_steps(migration: &Migration, style: Style, out: &mut dyn Write) -> io::Result<()> {
    let steps = &migration.steps;
    let away = steps
        .iter()
        .position(|step| step.action.takes_clients_away());
    let back = steps.iter().rposition(|step| step.action.is_cutover());
    let name_width = steps
        .iter()
        .map(|step| textwrap::core::display_width(&printable(&step.id)))
        .max()
        .unwrap_or(0)
        .min(44);
    let title = format!(
        "  {:>3}  {:>7}  {:<name_width$}  WHAT",
        "#", "AT MOST", "STEP"
    );
    writeln!(out, "{}", style.faint(&title))?;
    let mark = |text: &str| style.strong(&format!("  {:>3}  {:>7}  {text}", "--", ""));
    for (index, step) in steps.iter().enumerate() {
        if Some(index) == away {
            writeln!(out, "{}", mark("clients are away from here"))?;
        }
        let head = format!(
            "  {:>3}  {:>7}  {:<name_width$}",
            index + 1,
            seconds(step.deadline_seconds),
            printable(&step.id)
        );
        let what = describe(migration, step);
        let what = printable(&what);
        let inline = format!("{head}  {what}");
        let fits = style
            .width
            .is_none_or(|width| textwrap::core::display_width(&inline) <= usize::from(width));
        if fits {
            writeln!(out, "{inline}")?;
        } else {
            // Below the step there is more room than beside it.
            writeln!(out, "{}", head.trim_end())?;
            let indent = " ".repeat(BELOW);
            writeln!(out, "{}", paragraph(&indent, &what, BELOW, style.width))?;
        }
        if Some(index) == back {
            writeln!(out, "{}", mark("clients are back"))?;
        }
    }
    Ok(())
}

/// The call and what matters of its arguments; the JSON plan has all of them.
pub(crate) fn describe(migration: &Migration, step: &Step) -> String {
    let operation = step.action.operation().unwrap_or_default();
    match &step.action {
        Action::Claim { tags, .. } => {
            let tags: Vec<String> = tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("{operation} {}", tags.join(" "))
        }
        Action::Rename { from, to, .. } => format!("{operation} {from} -> {to}"),
        Action::Quiesce {
            window_seconds,
            kill_connections,
            ..
        } => {
            let remedy = if *kill_connections {
                "kill clients that are (mysql.rds_kill)".to_owned()
            } else {
                format!("{operation} once if one is")
            };
            format!("{window_seconds} s without a client connected or anything written; {remedy}")
        }
        Action::ManagePassword { .. } => {
            format!("{operation} ManageMasterUserPassword: a new secret, its ARN is reported")
        }
        Action::DeregisterProxyTarget { proxy, name, .. } => {
            format!("{operation} {name} of {proxy}, where it is the old instance")
        }
        Action::RegisterProxyTarget { proxy, name, .. } => {
            format!("{operation} {name} with {proxy}; wait until it is AVAILABLE")
        }
        Action::Subscription {
            subscription, name, ..
        } => format!("{subscription} lists {name}; {operation} if it does not"),
        Action::ReplicateBackups {
            region,
            kms_key_id,
            retention_days,
            ..
        } => format!("{operation} to {region}, {retention_days} days, key {kms_key_id}"),
        Action::Handover => {
            "look at what depends on the instances, and say what is left to do".to_owned()
        }
        Action::Snapshot { snapshot, .. } => format!("{operation} {snapshot}"),
        Action::EncryptedCopy { snapshot, .. } => {
            format!("{operation} {snapshot}, encrypted with the key")
        }
        Action::Restore { name, request, .. } => {
            format!("{operation} {name} {}", telling(request))
        }
        Action::CreateReplica {
            name,
            request,
            source,
        } => format!(
            "{operation} {name} of {} {}",
            target(migration, source),
            telling(request)
        ),
        Action::Modify { request, .. } => format!("{operation} {}", all(request)),
        Action::Settle { .. } => {
            format!("wait until groups are in sync; {operation} if one is pending-reboot")
        }
        Action::AddRole {
            role_arn,
            feature_name,
            ..
        } => format!("{operation} {feature_name} {role_arn}"),
        Action::Accounts { old, .. } => {
            format!(
                "clone accounts and grants only {} has",
                target(migration, old)
            )
        }
        Action::Configuration { old, .. } => format!(
            "rds_set_configuration as on {}: binlog retention and its like",
            target(migration, old)
        ),
        Action::ClaimCluster { tags } => {
            let tags: Vec<String> = tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("{operation} {}", tags.join(" "))
        }
        Action::RenameCluster { from, to, .. } => format!("{operation} {from} -> {to}"),
        Action::ClusterSnapshot { snapshot, .. } => format!("{operation} {snapshot}"),
        Action::RestoreCluster { name, request, .. } => {
            format!("{operation} {name} with the key, {}", telling(request))
        }
        Action::ModifyCluster { request } => format!("{operation} {}", all(request)),
        Action::AddClusterRole {
            role_arn,
            feature_name,
        } => format!("{operation} {feature_name} {role_arn}"),
        Action::CreateMember { name, request } => {
            format!("{operation} {name} in the new cluster {}", telling(request))
        }
        Action::CreateBlueGreen {
            deployment, keys, ..
        } => format!(
            "{operation} {deployment}: a green DB instance for each of {}, encrypted with the key",
            keys.len()
        ),
        Action::AwaitGreen { blue, .. } => format!(
            "wait until the green {} is available, replicates and is encrypted",
            real(migration, blue)
        ),
        Action::Tag { tags, .. } => {
            let tags: Vec<String> = tags.iter().map(|(k, v)| format!("{k}={v}")).collect();
            format!("{operation} {}", tags.join(" "))
        }
        Action::Switchover {
            deployment,
            timeout_seconds,
        } => format!(
            "{operation} {deployment}: green takes the names; after {} RDS goes back",
            seconds(u64::from(*timeout_seconds))
        ),
        Action::TemporaryInstance { name, request, .. } => format!(
            "{operation} {name} from the snapshot of the cluster {}",
            telling(request)
        ),
        Action::EnableDataApi => format!("{operation}: the Data API of the new cluster"),
        Action::AwaitMember { writer } => format!(
            "wait until the {} that comes with the new cluster is available and encrypted",
            if *writer { "writer" } else { "reader" }
        ),
        Action::EndBlueGreen { deployment } => {
            format!("{operation} {deployment}; the DB instances of both sides stay")
        }
        Action::RaiseRetention { hours, .. } => {
            format!(
                "rds_set_configuration: binlog retention of at least {hours} h; the value now is noted"
            )
        }
        Action::ReplicationAccount { account, .. } => format!(
            "CREATE USER {account}@'%' with a password that nobody knows, inside TLS only; GRANT REPLICATION SLAVE"
        ),
        Action::TemporaryReplica { name, request, .. } => format!(
            "{operation} {name} of {} {}",
            migration.source.identifier,
            telling(request)
        ),
        Action::Hold { instance, .. } => format!(
            "rds_stop_replication on {}; the position it has applied is recorded",
            target(migration, instance)
        ),
        Action::CompareRows { old, new } => format!(
            "compare rows of {} and {}, which both stand at the held position",
            target(migration, old),
            target(migration, new)
        ),
        Action::Replicate {
            source,
            replica,
            held_by,
            ..
        } => {
            let (from, at) = match (source, held_by) {
                // The source has its real name until the cutover, and its successor after it.
                (Target::MadeBy(_), _) => (&migration.source.identifier, "the marked position on"),
                (_, Some(_)) => (&migration.source.identifier, "the held position on"),
                (_, None) => (&migration.source.old_name, "where it stands"),
            };
            format!(
                "{} replicates from {from}, from {at}",
                target(migration, replica)
            )
        }
        Action::RemoveTemporary { instance } => {
            format!("{operation} {}", target(migration, instance))
        }
        Action::CatchUp { replica, .. } => format!(
            "wait until {} has applied what the source has written",
            target(migration, replica)
        ),
        Action::FinalPosition { replica, .. } => format!(
            "no client writes; wait until {} has applied everything",
            target(migration, replica)
        ),
        Action::Detach { .. } => "rds_stop_replication, rds_reset_external_master".to_owned(),
        Action::MarkEnd { instance } => format!(
            "where the log of {} ends is recorded: the way back begins there",
            target(migration, instance)
        ),
        Action::KeepWayBack { hours, .. } => format!(
            "{} follows for {hours} h: until then a rollback loses no write",
            migration.source.old_name
        ),
        Action::RemoveAccount { account, .. } => format!("DROP USER {account}@'%' on both sides"),
        Action::RestoreRetention { .. } => {
            "rds_set_configuration: binlog retention as noted, on both sides".to_owned()
        }
        Action::Validate => {
            "compare every pair; any drift stops here, with nothing renamed".to_owned()
        }
        Action::Rescan => "every member encrypted, available, under its real name".to_owned(),
        Action::NameBack { from, to, .. } => format!("{operation} {from} -> {to}"),
        Action::Unwritten {
            pairs,
            loss_accepted,
            ..
        } => {
            let names: Vec<&str> = pairs.iter().map(|pair| pair.name.as_str()).collect();
            let names = names.join(", ");
            if *loss_accepted {
                format!("NOT PROVEN: what was written to {names} since the cutover is given up")
            } else {
                format!(
                    "no client, and rows, schemas and accounts of {names} as before the cutover"
                )
            }
        }
        Action::Returned => {
            "every old instance under its real name, available, replicating".to_owned()
        }
        Action::Unused { .. } => "no client may be connected to an old instance".to_owned(),
        Action::Delete {
            name, encrypted, ..
        } => {
            let which = if *encrypted {
                "encrypted copy"
            } else {
                "unencrypted"
            };
            format!(
                "{operation} {name} ({which}) without final snapshot, with its automated backups"
            )
        }
        Action::DeleteSnapshot { snapshot, .. } => format!("{operation} {snapshot}"),
        Action::DeleteAutomatedBackup { dbi_resource_id } => {
            format!("{operation} of {dbi_resource_id}, if backups were retained")
        }
        Action::Release { keys, .. } => format!("{operation} {}", keys.join(" ")),
        Action::Alarms { alarms } => format!(
            "look whether {} that name the real names still do, and their state",
            crate::text::count(alarms.len(), "alarm", "alarms")
        ),
        Action::ClusterNameBack { from, to, .. } => {
            format!("{operation} cluster {from} -> {to}")
        }
        Action::UnprotectCluster { .. } => format!("{operation} DeletionProtection=false"),
        Action::DeleteCluster {
            name, encrypted, ..
        } => {
            let which = if *encrypted {
                "encrypted copy"
            } else {
                "unencrypted"
            };
            format!(
                "{operation} {name} ({which}) without final snapshot, with its automated backups"
            )
        }
        Action::DeleteClusterSnapshot { snapshot, .. } => format!("{operation} {snapshot}"),
        Action::EncryptedClusterSnapshot { snapshot, .. } => {
            format!("{operation} {snapshot} of the cluster restored with the key")
        }
        Action::ReleaseCluster { keys, .. } => format!("{operation} {}", keys.join(" ")),
        Action::RemoveBlueGreen { deployment } => {
            format!(
                "{operation} {deployment}; its green DB instances are deleted by steps of their own"
            )
        }
        Action::Rehearse => {
            "compare every pair beside the live source; rows may differ where clients write"
                .to_owned()
        }
        Action::Hook(hook) => command(hook),
    }
}

/// A hook's command and what becomes of it: quoted, so that what is one argument is seen to be one.
pub(crate) fn command(hook: &Hook) -> String {
    let words: Vec<String> = hook
        .command
        .iter()
        .map(|word| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c);
            if !word.is_empty() && word.chars().all(plain) {
                word.clone()
            } else {
                format!("{word:?}")
            }
        })
        .collect();
    let fails = match hook.on_failure {
        OnFailure::Stop => "stops if it fails",
        OnFailure::Continue => "goes on if it fails",
    };
    let again = if hook.repeat {
        ", may be run again"
    } else {
        ""
    };
    format!("run {}; {fails}{again}", words.join(" "))
}

/// The name a target has while the step runs.
pub(crate) fn target<'a>(migration: &'a Migration, target: &'a Target) -> &'a str {
    let found = migration.members().find(|member| match target {
        Target::Old(id) => member.dbi_resource_id == *id,
        Target::MadeBy(step) => member.made_by == *step,
    });
    match (target, found) {
        // The blue side keeps its names until the switchover.
        (Target::Old(_), Some(member)) if migration.method == Method::BlueGreen => {
            member.identifier.as_str()
        }
        (Target::MadeBy(_), None) if migration.name_of(target).is_some() => migration
            .name_of(target)
            .map(|name| name.as_str())
            .unwrap_or_default(),
        (Target::Old(_), Some(member)) => member.old_name.as_str(),
        (Target::MadeBy(_), Some(member)) => member.new_name.as_str(),
        (Target::Old(text) | Target::MadeBy(text), None) => text,
    }
}

/// The name clients know a target by.
fn real<'a>(migration: &'a Migration, target: &'a Target) -> &'a str {
    let found = migration.members().find(|member| match target {
        Target::Old(id) => member.dbi_resource_id == *id,
        Target::MadeBy(step) => member.made_by == *step,
    });
    match (target, found) {
        (_, Some(member)) => member.identifier.as_str(),
        (Target::Old(text) | Target::MadeBy(text), None) => text,
    }
}

/// The arguments people ask about, and how many more there are.
fn telling(request: &Map<String, Value>) -> String {
    let mut shown: Vec<String> = TELLING
        .iter()
        .filter_map(|name| Some(argument(name, request.get(*name)?)))
        .collect();
    let left = request.len() - shown.len();
    if left > 0 {
        shown.push(format!("+{left} more"));
    }
    shown.join(" ")
}

fn all(request: &Map<String, Value>) -> String {
    let arguments: Vec<String> = request
        .iter()
        .map(|(name, value)| argument(name, value))
        .collect();
    arguments.join(" ")
}

fn argument(name: &str, value: &Value) -> String {
    let plain = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            format!("{name}={}", items.join(","))
        }
        other => format!("{name}={}", plain(other)),
    }
}
