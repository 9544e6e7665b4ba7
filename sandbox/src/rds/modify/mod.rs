//! `ModifyDBInstance`, renames included.
//!
//! Some settings take effect at once whatever `ApplyImmediately` says; the others wait in
//! `PendingModifiedValues` for the maintenance window, or for the next call with `ApplyImmediately`, which
//! applies them too.

mod phases;
mod rename;
mod window;
mod wish;

pub(crate) use self::phases::secret;
use self::phases::{Work, apply, differs_statically, phases, schedule_phases, settle_at_once};
use self::rename::schedule_rename;
use self::window::schedule_window;
pub(crate) use self::window::until_window;
pub(crate) use self::wish::{Insights, Monitoring};
use self::wish::{Wish, check_combination, check_state, read};
use super::create;
use super::error::ApiError;
use super::state::{Changes, DbInstance};
use super::{Answer, Call, instances};

/// `ModifyDBInstance`.
pub(crate) fn modify(call: &mut Call<'_>) -> Answer {
    let reference = call.params.required("DBInstanceIdentifier")?;
    let before = instances::find(call.region(), &reference)?.clone();
    let mut wish = read(call, &before)?;
    check_state(&before)?;
    if before.is_multi_az_member() {
        return Err(ApiError::combination(format!(
            "DB instance {} belongs to a Multi-AZ DB cluster. Modify the DB cluster.",
            before.id
        )));
    }
    check_combination(call, &before, &mut wish)?;
    let Wish {
        at_once,
        deferrable,
        prompt,
        apply_immediately,
    } = wish;
    let (scope, now) = (call.scope, call.now);
    let resource_id = before.resource_id.clone();

    // What waited from an earlier call is applied together with the next immediate one.
    let mut waiting = before.pending.clone();
    waiting.overlay(deferrable);
    drop_equal(&mut waiting, &before);
    let mut applying = if apply_immediately {
        std::mem::take(&mut waiting)
    } else {
        Changes::default()
    };
    applying.overlay(prompt);
    if at_once.manage_password == Some(true) && before.managed_secret.is_none() {
        // RDS does not take over the password there was: it makes one.
        let made = create::credentials::made(
            &mut call.world.dice,
            &format!("{resource_id}/managed at {now}"),
        );
        applying.password = Some(made);
    }

    let mut phases = phases(call.region(), &before, &applying, &at_once);
    let new_secret = (at_once.manage_password == Some(true) && before.managed_secret.is_none())
        .then(|| secret(call, &before.resource_id))
        .transpose()?;
    let region = call.region();
    let group = at_once
        .parameter_group
        .clone()
        .filter(|name| *name != before.parameter_group);
    let needs_reboot = group
        .as_ref()
        .is_some_and(|name| differs_statically(region, &before.parameter_group, name));
    if group.is_some() {
        // What waited was about the group that is left.
        region.unapplied.remove(&resource_id);
    }
    let Some(truth) = region.by_resource_mut(&resource_id) else {
        return Err(ApiError::no_instance(&before.id));
    };
    settle_at_once(truth, &at_once, new_secret);
    let mut pending = waiting.clone();
    pending.overlay(applying.clone());
    truth.pending = pending;
    let rename = applying.new_id.take();
    if let Some((status, _)) = phases.first() {
        (*status).clone_into(&mut truth.status);
    } else if rename.is_some() {
        truth.status = "modifying".to_owned();
    }
    // The answer shows the old values and what is pending.
    let shown = DbInstance {
        pending: truth.pending.clone(),
        ..before.clone()
    };
    call.world
        .lag(scope, now, &resource_id, Some(before.clone()));

    if !phases.is_empty() {
        let finish = if applying.allocated_storage.is_some() {
            "storage-optimization"
        } else {
            "available"
        };
        schedule_phases(
            call,
            &before,
            std::mem::take(&mut phases),
            Work {
                applying,
                waiting: waiting.clone(),
                group,
                needs_reboot,
                finish,
                renames: rename.is_some(),
            },
            rename,
        );
    } else if let Some(new_id) = rename {
        schedule_rename(call.world, scope, now, &resource_id, new_id);
    } else {
        let (world, settled) = (&mut *call.world, waiting.clone());
        if let Some(truth) = world.region_mut(scope).by_resource_mut(&resource_id) {
            apply(truth, applying);
            truth.pending = settled;
        }
    }
    if !waiting.is_empty() {
        schedule_window(call, &before);
    }
    instances::answer(call, &shown)
}

/// Changes that ask for what is there already are none, except for the name: renaming an instance to its
/// own name runs like any rename.
fn drop_equal(changes: &mut Changes, before: &DbInstance) {
    macro_rules! drop_if {
        ($($field:ident: $present:expr),* $(,)?) => { $(if changes.$field.as_ref() == $present { changes.$field = None; })* };
    }
    drop_if!(
        class: Some(&before.class),
        allocated_storage: Some(&before.allocated_storage),
        storage_type: Some(&before.storage_type),
        iops: before.iops.as_ref(),
        throughput: before.throughput.as_ref(),
        multi_az: Some(&before.multi_az),
        engine_version: Some(&before.engine_version),
        license_model: Some(&before.license_model),
        option_group: Some(&before.option_group),
        iam_auth: Some(&before.iam_auth),
        ca: before.ca.as_ref(),
        network_type: Some(&before.network_type),
        dedicated_log_volume: Some(&before.dedicated_log_volume),
    );
}
