//! Starts the real servers behind a scenario's instances and fills them.

use futures::StreamExt as _;

use super::Spec;
use crate::engine::{CopyId, EngineError, Engines, ServerId, ServerSpec};
use crate::rds::state::Scope;
use crate::rds::{catalog, endpoint_name, server_spec};
use crate::world::Core;

/// Servers that are made at the same time.
const AT_ONCE: usize = 3;

/// One server to be made.
struct Job {
    scope: Scope,
    id: String,
    resource_id: String,
    source: Option<String>,
    spec: ServerSpec,
    port: u16,
    sql: Option<String>,
    replica_sql: Option<String>,
}

/// Makes a server for every instance that can have one: sources with their data first, then replicas from
/// their sources, then the copies behind the snapshots. Returns how many there are.
pub(crate) async fn start_servers(
    core: &Core,
    engines: &Engines,
    spec: &Spec,
) -> Result<usize, EngineError> {
    let mut waiting = jobs(core, engines, spec);
    let mut made = 0;
    while !waiting.is_empty() {
        let (ready, later): (Vec<Job>, Vec<Job>) =
            waiting.into_iter().partition(|job| match &job.source {
                None => true,
                Some(source) => server_of(core, &job.scope, source).is_some(),
            });
        if ready.is_empty() {
            // Replicas of sources that have no server have none either.
            break;
        }
        let mut running =
            futures::stream::iter(ready.into_iter().map(|job| make(core, engines, job)))
                .buffer_unordered(AT_ONCE);
        while let Some(result) = running.next().await {
            result?;
            made += 1;
        }
        drop(running);
        waiting = later;
    }
    copies(core, engines).await?;
    Ok(made)
}

fn jobs(core: &Core, engines: &Engines, spec: &Spec) -> Vec<Job> {
    let data = spec.data();
    let world = core.lock();
    world
        .regions
        .iter()
        .flat_map(|(scope, region)| {
            region
                .instances
                .iter()
                .map(move |instance| (scope, region, instance))
        })
        .filter(|(_, _, instance)| {
            catalog::is_mysql_family(&instance.engine)
                && engines.can_run(&instance.engine, &instance.engine_version)
        })
        .filter_map(|(scope, region, instance)| {
            let written = data.get(&(scope.clone(), instance.id.clone()))?;
            written.server.then(|| Job {
                scope: scope.clone(),
                id: instance.id.clone(),
                resource_id: instance.resource_id.clone(),
                source: instance.replica_of.clone(),
                spec: server_spec(region, instance),
                port: u16::try_from(instance.port).unwrap_or(0),
                sql: written.sql.clone(),
                replica_sql: written.replica_sql.clone(),
            })
        })
        .collect()
}

fn server_of(core: &Core, scope: &Scope, resource_id: &str) -> Option<ServerId> {
    core.lock()
        .region_mut(scope)
        .by_resource(resource_id)?
        .server
        .clone()
}

async fn make(core: &Core, engines: &Engines, job: Job) -> Result<(), EngineError> {
    let source = job
        .source
        .as_ref()
        .and_then(|source| server_of(core, &job.scope, source));
    let server = match &source {
        Some(source) => engines.replica(source, job.spec).await?,
        None => engines.create(job.spec).await?,
    };
    if let (Some(sql), None) = (&job.sql, &source) {
        engines.run_sql(&server, sql).await?;
    }
    if let Some(sql) = &job.replica_sql {
        // What exists on the replica only must not get into its binary log.
        engines
            .run_sql(&server, &format!("SET SESSION sql_log_bin = 0;\n{sql}"))
            .await?;
    }
    let address = engines
        .open_endpoint(&server, &endpoint_name(&job.scope, &job.id), job.port)
        .await?;
    if let Some(instance) = core
        .lock()
        .region_mut(&job.scope)
        .by_resource_mut(&job.resource_id)
    {
        instance.server = Some(server);
        instance.endpoint_host = Some(address.to_string());
    }
    Ok(())
}

/// The data of a scenario's snapshots is that of their instances at the start.
async fn copies(core: &Core, engines: &Engines) -> Result<(), EngineError> {
    let wanted: Vec<(Scope, String, ServerId)> = core
        .lock()
        .regions
        .iter()
        .flat_map(|(scope, region)| {
            region.snapshots.iter().filter_map(move |snapshot| {
                let server = region
                    .by_resource(&snapshot.instance.resource_id)?
                    .server
                    .clone()?;
                Some((scope.clone(), snapshot.id.clone(), server))
            })
        })
        .collect();
    for (scope, id, server) in wanted {
        let copy: CopyId = engines.snapshot(&server).await?;
        if let Some(snapshot) = core.lock().region_mut(&scope).snapshot_mut(&id) {
            snapshot.copy = Some(copy);
        }
    }
    Ok(())
}
