//! Between the control plane and the real servers: what a server must look like, and where it answers.

use super::instances::{endpoint_name, host_name};
use super::state::{DbInstance, Region};
use crate::engine::ServerSpec;
use crate::world::{JobOutput, Moment};

/// What the server behind an instance must look like. `read_only` is `{TrueIfReplica}` unless the
/// parameter group says otherwise; binary logs exist only while automated backups are on.
pub(crate) fn server_spec(region: &Region, instance: &DbInstance) -> ServerSpec {
    let mut parameters = region
        .parameter_groups
        .get(&instance.parameter_group)
        .map(|group| group.user.clone())
        .unwrap_or_default();
    // What waits for a reboot: until then the server has the value from before.
    for (name, before) in region
        .unapplied
        .get(&instance.resource_id)
        .into_iter()
        .flatten()
    {
        match before {
            Some(value) => parameters.insert(name.clone(), value.clone()),
            None => parameters.remove(name),
        };
    }
    let read_only = match parameters.get("read_only").map(String::as_str) {
        Some("0" | "OFF") => "0",
        Some("1" | "ON") => "1",
        _ if instance.replica_of.is_some() => "1",
        _ => "0",
    };
    parameters.insert("read_only".to_owned(), read_only.to_owned());
    ServerSpec {
        engine: instance.engine.clone(),
        engine_version: instance.engine_version.clone(),
        master_username: instance.master_username.clone(),
        master_password: instance.master_password.0.clone(),
        parameters,
        log_bin: instance.backup_retention > 0,
    }
}

/// Opens the instance's endpoint under its present name and port; [`take_endpoint`] follows.
pub(crate) fn open_endpoint(moment: &mut Moment<'_>) {
    let Some((engines, server)) = moment.server() else {
        return;
    };
    let scope = moment.scope.clone();
    let Some((name, port)) = moment
        .instance()
        .map(|instance| (endpoint_name(&scope, &instance.id), instance.port))
    else {
        return;
    };
    let port = u16::try_from(port).unwrap_or(0);
    moment.start(async move {
        engines
            .open_endpoint(&server, &name, port)
            .await
            .map(JobOutput::Address)
    });
}

/// Shows the endpoint: the address that a real server answers at, or the name that AWS would give.
pub(crate) fn take_endpoint(moment: &mut Moment<'_>) {
    let address = moment.outputs.iter().find_map(|output| match output {
        JobOutput::Address(address) => Some(address.to_string()),
        JobOutput::Done | JobOutput::Server(_) | JobOutput::Copy(_) => None,
    });
    let scope = moment.scope.clone();
    let Some(id) = moment.instance().map(|instance| instance.id.clone()) else {
        return;
    };
    let host = address.unwrap_or_else(|| host_name(moment.region(), &scope, &id));
    if let Some(instance) = moment.instance() {
        instance.endpoint_host = Some(host);
    }
}

/// Keeps the server that a job made.
pub(crate) fn take_server(moment: &mut Moment<'_>) {
    let server = moment.outputs.iter().find_map(|output| match output {
        JobOutput::Server(server) => Some(server.clone()),
        JobOutput::Done | JobOutput::Address(_) | JobOutput::Copy(_) => None,
    });
    if let (Some(server), Some(instance)) = (server, moment.instance()) {
        instance.server = Some(server);
    }
}

/// Restarts the server, which then has every value of its parameter group.
pub(crate) fn restart(moment: &mut Moment<'_>) {
    catch_up(moment);
    let spec = present_spec(moment);
    if let (Some((engines, server)), Some(spec)) = (moment.server(), spec) {
        moment.start(async move {
            engines.reconfigure(&server, spec).await?;
            engines.restart(&server).await.map(|()| JobOutput::Done)
        });
    }
}

/// A restart ends the wait for one.
pub(crate) fn catch_up(moment: &mut Moment<'_>) {
    let subject = moment.subject.clone();
    let region = moment.region();
    region.unapplied.remove(&subject);
    region.cluster_parameter_status.remove(&subject);
}

/// Brings the server in line with the instance: what is dynamic now, the rest at the next restart.
pub(crate) fn reconfigure(moment: &mut Moment<'_>) {
    let Some((engines, server)) = moment.server() else {
        return;
    };
    let Some(spec) = present_spec(moment) else {
        return;
    };
    moment.start(async move {
        engines
            .reconfigure(&server, spec)
            .await
            .map(|()| JobOutput::Done)
    });
}

/// The specification of this timeline's instance as it is now.
pub(crate) fn present_spec(moment: &mut Moment<'_>) -> Option<ServerSpec> {
    let subject = moment.subject.clone();
    let region = moment.region();
    region
        .by_resource(&subject)
        .map(|instance| server_spec(region, instance))
}

/// What a failed engine job does to an instance: a terminal status, and an event with the engine's words.
pub(crate) fn fail(moment: &mut Moment<'_>, status: &str, error: &str) {
    moment.status(status);
    moment.event(
        "failure",
        format!("The DB instance went into the state {status}: {error}"),
    );
}
