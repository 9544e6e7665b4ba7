//! How the accounts of two servers differ.

mod changes;
mod found;

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use super::name::{AccountKey, Name};
use super::privilege::{Level, PrivilegeSet};
use super::reserved::{Reservation, reservation};
use super::types::{Account, Accounts, Part, Settings};

pub(super) use changes::attribute_changes;
use changes::changes;
pub use found::{
    AccountChange, AccountsDiff, Attribute, DiffWarning, SettingDifference, Side, SidedOrphan,
    SidedUnread,
};

/// What the comparison takes for granted.
#[derive(Debug, Clone, Default)]
pub struct DiffOptions {
    /// The master user's name. Its password is managed through the RDS API: its credential is not compared
    /// and it is never created or dropped; its grants are compared like any other's.
    pub master_username: Option<Name>,
}

impl DiffOptions {
    pub(super) fn is_master(&self, key: &AccountKey) -> bool {
        self.master_username.as_ref() == Some(key.user())
    }
}

/// Compares the accounts of a new server with those of an old one. Pure, linear in the number of rows.
pub fn diff(old: &Accounts, new: &Accounts, options: &DiffOptions) -> AccountsDiff {
    let parts = Parts::readable(old, new);
    let mut result = AccountsDiff {
        settings: setting_differences(&old.settings, &new.settings),
        missing: Vec::new(),
        extra: Vec::new(),
        changed: Vec::new(),
        orphans: Vec::new(),
        reserved: Vec::new(),
        unread: Vec::new(),
        warnings: Vec::new(),
    };
    let nobody = Account::default();
    let public = Account {
        is_role: true,
        ..Account::default()
    };
    for (key, in_old, in_new) in joined(&old.accounts, &new.accounts) {
        let reserved = reservation(key, &old.server).or_else(|| reservation(key, &new.server));
        match reserved {
            Some(Reservation::LooksLikeRds) => {
                result.warnings.push(DiffWarning::LooksReserved {
                    account: key.clone(),
                });
                result.reserved.push(key.clone());
                continue;
            }
            Some(Reservation::Known) => {
                result.reserved.push(key.clone());
                continue;
            }
            // PUBLIC is always there, in the tables or not.
            Some(Reservation::PublicRole) => {
                let changes = changes(
                    in_old.unwrap_or(&public),
                    in_new.unwrap_or(&public),
                    false,
                    &parts,
                );
                if !changes.is_empty() {
                    result.changed.push((key.clone(), changes));
                }
                continue;
            }
            None => {}
        }
        if key.user().is_empty() && !in_old.or(in_new).unwrap_or(&nobody).is_role {
            let sides = [(Side::Old, in_old.is_some()), (Side::New, in_new.is_some())];
            for (side, _) in sides.into_iter().filter(|(_, there)| *there) {
                result.warnings.push(DiffWarning::Anonymous {
                    side,
                    account: key.clone(),
                });
            }
        }
        for (side, account) in [(Side::Old, in_old), (Side::New, in_new)] {
            result.warnings.extend(
                account
                    .into_iter()
                    .flat_map(|it| gone_after_restart(side, key, it)),
            );
        }
        match (in_old, in_new) {
            _ if !parts.has(Part::Accounts) => {}
            (Some(in_old), Some(in_new)) => {
                let changes = changes(in_old, in_new, options.is_master(key), &parts);
                if !changes.is_empty() {
                    result.changed.push((key.clone(), changes));
                }
            }
            (Some(_), None) => result.missing.push(key.clone()),
            (None, Some(_)) => result.extra.push(key.clone()),
            (None, None) => {}
        }
    }
    for (side, accounts) in [(Side::Old, old), (Side::New, new)] {
        result
            .orphans
            .extend(accounts.orphans.iter().map(|orphan| SidedOrphan {
                side,
                orphan: orphan.clone(),
            }));
        result
            .unread
            .extend(accounts.unread.iter().map(|unread| SidedUnread {
                side,
                unread: unread.clone(),
            }));
    }
    result
}

/// Routine grants that the server itself forgets.
fn gone_after_restart(
    side: Side,
    key: &AccountKey,
    account: &Account,
) -> impl Iterator<Item = DiffWarning> {
    account
        .grants
        .routines
        .keys()
        .filter(|(_, database, routine)| {
            let names = [key.user(), database, routine];
            names.iter().any(|name| !name.as_bytes().is_ascii())
        })
        .map(
            move |(kind, database, routine)| DiffWarning::GoneAfterRestart {
                side,
                account: key.clone(),
                on: Level::Routine {
                    kind: *kind,
                    database: database.clone(),
                    routine: routine.clone(),
                },
            },
        )
}

/// Which parts were read on both servers. A part that one server did not show is not compared.
pub(super) struct Parts {
    unread: BTreeSet<Part>,
}

impl Parts {
    pub(super) fn readable(old: &Accounts, new: &Accounts) -> Self {
        let unread = old
            .unread
            .iter()
            .chain(&new.unread)
            .filter(|unread| unread.account.is_none());
        Self {
            unread: unread.map(|unread| unread.part).collect(),
        }
    }

    pub(super) fn has(&self, part: Part) -> bool {
        !self.unread.contains(&part)
    }
}

/// The settings that make equal grants mean different things.
pub(super) fn setting_differences(old: &Settings, new: &Settings) -> Vec<SettingDifference> {
    let on = |value: Option<bool>| value.map(|on| if on { "ON" } else { "OFF" }.to_owned());
    let rows = [
        (
            "lower_case_table_names",
            Some(old.lower_case_table_names.to_string()),
            Some(new.lower_case_table_names.to_string()),
        ),
        // A server without the setting behaves as one that has it off.
        (
            "partial_revokes",
            on(Some(old.partial_revokes.unwrap_or(false))),
            on(Some(new.partial_revokes.unwrap_or(false))),
        ),
        (
            "mandatory_roles",
            Some(old.mandatory_roles.clone().unwrap_or_default()),
            Some(new.mandatory_roles.clone().unwrap_or_default()),
        ),
        (
            "activate_all_roles_on_login",
            on(Some(old.activate_all_roles_on_login.unwrap_or(false))),
            on(Some(new.activate_all_roles_on_login.unwrap_or(false))),
        ),
    ];
    rows.into_iter()
        .filter(|(_, old, new)| old != new)
        .map(|(setting, old, new)| SettingDifference {
            setting: setting.to_owned(),
            old,
            new,
        })
        .collect()
}

/// A set that may not be there, as a set.
pub(super) fn copied(set: Option<&PrivilegeSet>) -> PrivilegeSet {
    set.copied().unwrap_or_default()
}

/// Walks two ordered maps side by side: every key of either, with what each map holds for it.
pub(super) fn joined<'a, K: Ord, V>(
    old: &'a BTreeMap<K, V>,
    new: &'a BTreeMap<K, V>,
) -> impl Iterator<Item = (&'a K, Option<&'a V>, Option<&'a V>)> {
    let mut old = old.iter().peekable();
    let mut new = new.iter().peekable();
    std::iter::from_fn(move || {
        let order = match (old.peek(), new.peek()) {
            (Some((a, _)), Some((b, _))) => a.cmp(b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        match order {
            Ordering::Less => old.next().map(|(key, value)| (key, Some(value), None)),
            Ordering::Greater => new.next().map(|(key, value)| (key, None, Some(value))),
            Ordering::Equal => {
                let in_new = new.next().map(|(_, value)| value);
                old.next().map(|(key, value)| (key, Some(value), in_new))
            }
        }
    })
}
