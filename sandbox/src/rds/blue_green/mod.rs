//! Blue/green deployments: a green copy of an instance and its replicas follows the blue ones until the two
//! change names. Since September 2026 the green side may be encrypted with a key of its own.

mod create;
mod eligible;
mod provision;
mod switchover;

use jiff::Timestamp;

pub(crate) use self::create::create;
pub(crate) use self::switchover::switchover;
use super::error::ApiError;
use super::instances::{endpoint_name, host_name, write_tags};
use super::page::{Filters, page};
use super::state::{DbInstance, Region, Scope, Tag};
use super::xml::Xml;
use super::{Answer, Call, data, lifecycle, result};
use crate::world::{JobOutput, Moment, Timeline};

/// A blue/green deployment.
#[derive(Debug, Clone)]
pub(crate) struct Deployment {
    /// `bgd-…`.
    pub(crate) id: String,
    pub(crate) name: String,
    /// `PROVISIONING`, `AVAILABLE`, …
    pub(crate) status: &'static str,
    pub(crate) details: Option<String>,
    /// Name and status, in order.
    pub(crate) tasks: Vec<(&'static str, &'static str)>,
    /// The first pair is the source and its counterpart, the others are the replicas.
    pub(crate) members: Vec<Member>,
    pub(crate) created: Timestamp,
    pub(crate) deleted: Option<Timestamp>,
    pub(crate) tags: Vec<Tag>,
}

/// An instance and its counterpart, by resource id: names change places, these do not.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) blue: String,
    pub(crate) green: String,
    /// Names they were last seen under, for when one of them is gone.
    pub(crate) names: (String, String),
    pub(crate) status: &'static str,
}

impl Deployment {
    fn task(&mut self, name: &str, status: &'static str) {
        for task in &mut self.tasks {
            if task.0 == name {
                task.1 = status;
            }
        }
    }

    /// A deployment that has lost an instance cannot be switched over.
    fn shown_status(&self, region: &Region) -> &'static str {
        let broken = self
            .members
            .iter()
            .any(|member| member.shown_status(region).starts_with("MISSING_"));
        match self.status {
            "AVAILABLE" if broken => "INVALID_CONFIGURATION",
            status => status,
        }
    }
}

impl Member {
    fn shown_status(&self, region: &Region) -> &'static str {
        if region.by_resource(&self.blue).is_none() {
            "MISSING_SOURCE"
        } else if region.by_resource(&self.green).is_none() {
            "MISSING_TARGET"
        } else {
            self.status
        }
    }

    fn arns(&self, region: &Region, scope: &Scope) -> (String, String) {
        let arn = |resource_id: &str, last: &str| {
            let name = region
                .by_resource(resource_id)
                .map_or(last, |instance| instance.id.as_str());
            scope.arn("db", name)
        };
        (
            arn(&self.blue, &self.names.0),
            arn(&self.green, &self.names.1),
        )
    }
}

fn write(xml: &mut Xml, scope: &Scope, region: &Region, deployment: &Deployment) {
    xml.value("BlueGreenDeploymentIdentifier", &deployment.id);
    xml.value("BlueGreenDeploymentName", &deployment.name);
    if let Some(root) = deployment.members.first() {
        let (source, target) = root.arns(region, scope);
        xml.value("Source", source);
        xml.value("Target", target);
    }
    xml.list(
        "SwitchoverDetails",
        "member",
        &deployment.members,
        |xml, member| {
            let (source, target) = member.arns(region, scope);
            xml.value("SourceMember", source);
            xml.value("TargetMember", target);
            xml.value("Status", member.shown_status(region));
        },
    );
    xml.list(
        "Tasks",
        "member",
        &deployment.tasks,
        |xml, (name, status)| {
            xml.value("Name", name);
            xml.value("Status", status);
        },
    );
    xml.value("Status", deployment.shown_status(region));
    xml.optional("StatusDetails", deployment.details.as_ref());
    xml.time("CreateTime", deployment.created);
    if let Some(deleted) = deployment.deleted {
        xml.time("DeleteTime", deleted);
    }
    write_tags(xml, &deployment.tags);
}

fn find<'a>(region: &'a mut Region, id: &str) -> Result<&'a mut Deployment, ApiError> {
    region
        .blue_green
        .iter_mut()
        .find(|deployment| deployment.id == id)
        .ok_or_else(|| {
            ApiError::new(
                "BlueGreenDeploymentNotFoundFault",
                format!("Blue Green Deployment {id} not found."),
            )
        })
}

fn state(message: impl Into<String>) -> ApiError {
    ApiError::new("InvalidBlueGreenDeploymentStateFault", message)
}

fn answer(call: &mut Call<'_>, id: &str) -> Answer {
    let scope = call.scope;
    let region = call.region();
    let deployment = find(region, id)?.clone();
    result(|xml| {
        xml.element("BlueGreenDeployment", |xml| {
            write(xml, scope, region, &deployment);
        });
    })
}

/// `DescribeBlueGreenDeployments`: an identifier without a match is an error, a filter without one is not.
pub(crate) fn describe(call: &mut Call<'_>) -> Answer {
    let filters = Filters::read(
        call.params,
        &[
            "blue-green-deployment-identifier",
            "blue-green-deployment-name",
            "source",
            "target",
        ],
    )?;
    let (scope, params, limit) = (call.scope, call.params, call.world.knobs.page_limit);
    let wanted = params.text("BlueGreenDeploymentIdentifier");
    let region = call.region();
    if let Some(id) = &wanted {
        find(region, id)?;
    }
    let found: Vec<&Deployment> = region
        .blue_green
        .iter()
        .filter(|deployment| wanted.as_ref().is_none_or(|id| *id == deployment.id))
        .filter(|deployment| {
            let (source, target) = deployment
                .members
                .first()
                .map(|root| root.arns(region, scope))
                .unwrap_or_default();
            filters.admits("blue-green-deployment-identifier", &[&deployment.id])
                && filters.admits("blue-green-deployment-name", &[&deployment.name])
                && filters.admits("source", &[&source])
                && filters.admits("target", &[&target])
        })
        .collect();
    let page = page(params, found, 100, limit)?;
    result(|xml| {
        xml.list(
            "BlueGreenDeployments",
            "member",
            page.items,
            |xml, deployment| write(xml, scope, region, deployment),
        );
        xml.optional("Marker", page.marker);
    })
}

/// `DeleteBlueGreenDeployment`: the deployment, and with `DeleteTarget` the green instances, which is not
/// possible any more once they are the ones in use. Green instances that stay become independent.
pub(crate) fn delete(call: &mut Call<'_>) -> Answer {
    let (scope, now) = (call.scope, call.now);
    let id = call.params.required("BlueGreenDeploymentIdentifier")?;
    let delete_target = call.params.boolean("DeleteTarget")?.unwrap_or(false);
    let deployment = find(call.region(), &id)?.clone();
    if matches!(
        deployment.status,
        "PROVISIONING" | "SWITCHOVER_IN_PROGRESS" | "DELETING"
    ) {
        return Err(state(format!(
            "The blue/green deployment {id} can't be deleted in the state {}.",
            deployment.status
        )));
    }
    let switched = deployment.status == "SWITCHOVER_COMPLETED";
    if delete_target && switched {
        return Err(ApiError::combination(
            "You can't specify DeleteTarget for a blue/green deployment whose status is SWITCHOVER_COMPLETED.",
        ));
    }
    let region = call.region();
    let greens: Vec<String> = deployment
        .members
        .iter()
        .filter(|member| region.by_resource(&member.green).is_some())
        .map(|member| member.green.clone())
        .collect();
    if delete_target
        && greens.iter().any(|green| {
            region
                .by_resource(green)
                .is_some_and(|instance| instance.deletion_protection)
        })
    {
        return Err(ApiError::combination(
            "Cannot delete protected DB Instance, please disable deletion protection and try again.",
        ));
    }
    let deployment = find(region, &id)?;
    deployment.status = "DELETING";
    deployment.deleted = Some(now);
    let took = call.world.takes(&format!("bgd-delete/{id}"), (120, 300));
    // Replicas go before their source, or they would be promoted.
    for green in greens.iter().rev() {
        if delete_target {
            remove(call, green, took);
        } else if !switched {
            release(call, green);
        }
    }
    let gone = id.clone();
    let timeline = Timeline::new(scope, &id).then(took + 1, move |moment| {
        moment
            .region()
            .blue_green
            .retain(|deployment| deployment.id != gone);
        event(
            moment,
            "deletion",
            "Blue/green deployment deleted.".to_owned(),
        );
    });
    call.world.schedule(now, timeline);
    answer(call, &id)
}

/// Deletes a green instance without a final snapshot.
fn remove(call: &mut Call<'_>, resource_id: &str, took: u64) {
    let (scope, now) = (call.scope, call.now);
    call.world.cancel(scope, resource_id);
    if let Some(instance) = call.region().by_resource_mut(resource_id) {
        instance.status = "deleting".to_owned();
    }
    let timeline = Timeline::new(scope, resource_id)
        .then(took, |moment| {
            if let Some((engines, server)) = moment.server() {
                moment
                    .start(async move { engines.delete(&server).await.map(|()| JobOutput::Done) });
            }
        })
        .when_done(0, |moment| {
            moment.event("deletion", "DB instance deleted");
            lifecycle::forget(moment, false);
        })
        .on_failure(|moment, error| data::fail(moment, "failed", &error));
    call.world.schedule(now, timeline);
}

/// Ends the replication of a green instance whose deployment goes; replicas of it stay its replicas.
fn release(call: &mut Call<'_>, resource_id: &str) {
    let (scope, now) = (call.scope, call.now);
    let region = call.region();
    let follows_blue = region
        .by_resource(resource_id)
        .and_then(|green| green.replica_of.as_deref())
        .is_some_and(|source| {
            region
                .blue_green
                .iter()
                .flat_map(|deployment| &deployment.members)
                .any(|member| member.blue == source)
        });
    if !follows_blue {
        return;
    }
    let timeline = Timeline::new(scope, resource_id)
        .then(0, |moment| {
            if let Some(instance) = moment.instance() {
                instance.replica_of = None;
                instance.replication = None;
            }
            let spec = data::present_spec(moment);
            if let (Some((engines, server)), Some(spec)) = (moment.server(), spec) {
                moment.start(async move {
                    engines
                        .promote(&server, spec)
                        .await
                        .map(|()| JobOutput::Done)
                });
            }
        })
        .when_done(0, |_| {})
        .on_failure(|moment, error| data::fail(moment, "failed", &error));
    call.world.schedule(now, timeline);
}

/// Records an event about the deployment that a timeline is about.
fn event(moment: &mut Moment<'_>, category: &'static str, message: String) {
    let (scope, now, id) = (moment.scope.clone(), moment.now, moment.subject.clone());
    moment
        .world
        .event(&scope, now, "blue-green-deployment", &id, category, message);
}

/// What an instance shows as its endpoint: its server's address, or the name that AWS would give.
fn endpoint(moment: &mut Moment<'_>, instance: &DbInstance) -> String {
    let scope = moment.scope.clone();
    let address = instance
        .server
        .as_ref()
        .and(moment.world.engines.as_ref())
        .and_then(|engines| {
            engines
                .address_of(&endpoint_name(&scope, &instance.id))
                .ok()
        });
    address.map_or_else(
        || host_name(moment.region(), &scope, &instance.id),
        |address| address.to_string(),
    )
}

/// Opens the endpoints of these instances under their present names, after closing those they had.
fn open_endpoints(moment: &mut Moment<'_>, resource_ids: &[String]) {
    let Some(engines) = moment.world.engines.clone() else {
        return;
    };
    let scope = moment.scope.clone();
    let region = moment.region();
    let servers: Vec<_> = resource_ids
        .iter()
        .filter_map(|resource_id| {
            let instance = region.by_resource(resource_id)?;
            Some((
                instance.server.clone()?,
                endpoint_name(&scope, &instance.id),
                u16::try_from(instance.port).unwrap_or(0),
            ))
        })
        .collect();
    moment.start(async move {
        for (server, _, _) in &servers {
            engines.close_endpoint(server).await?;
        }
        for (server, name, port) in &servers {
            engines.open_endpoint(server, name, *port).await?;
        }
        Ok(JobOutput::Done)
    });
}

/// Shows them.
fn show_endpoints(moment: &mut Moment<'_>, resource_ids: &[String]) {
    for resource_id in resource_ids {
        let Some(instance) = moment.region().by_resource(resource_id).cloned() else {
            continue;
        };
        let host = endpoint(moment, &instance);
        if let Some(instance) = moment.region().by_resource_mut(resource_id) {
            instance.endpoint_host = Some(host);
        }
    }
}
