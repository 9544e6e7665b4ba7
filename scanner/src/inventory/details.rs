//! What resources name and policies ask about: KMS keys and parameter groups, each read once, and asked for as soon as a
//! page names it: the pages of a large region are a long chain, and nothing else need wait for its end.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use atrest_model::key::{KeyState, Rotation, region_of};
use atrest_model::resource::{DescribedRef, GroupKind, ParameterGroup};
use atrest_model::scan::ResourceKind;
use futures::channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use futures::stream::StreamExt as _;
use serde_json::Value;

use super::{Inventory, Surface};
use crate::aws::Aws;
use crate::keys::Kms;
use crate::rds::Rds;

/// Calls under way at the same time.
const AT_ONCE: usize = 32;

/// Region, kind and name.
type Group = (String, GroupKind, String);

/// Something that a described thing names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Named {
    /// ARN of a key.
    Key(String),
    Group(Group),
}

/// Takes note of what described things name. Cheap to clone; the reading of details ends with the last clone.
#[derive(Debug, Clone)]
pub(crate) struct Noting {
    account: Arc<str>,
    keys: bool,
    parameter_groups: bool,
    seen: Arc<Mutex<HashSet<Named>>>,
    to: UnboundedSender<Named>,
}

impl Noting {
    /// And where it goes.
    pub(super) fn new(account: &str, surface: &Surface) -> (Self, UnboundedReceiver<Named>) {
        let (to, named) = mpsc::unbounded();
        let noting = Self {
            account: Arc::from(account),
            keys: surface.keys,
            parameter_groups: surface.parameter_groups,
            seen: Arc::default(),
            to,
        };
        (noting, named)
    }

    /// Items of a page.
    pub(crate) fn items(&self, kind: ResourceKind, region: &str, items: &[Value]) {
        for document in items {
            let found = DescribedRef {
                kind,
                account: &self.account,
                region,
                document,
            };
            if self.keys {
                for (_, key) in found.kms_keys() {
                    self.note(Named::Key(found.key_arn(key).into_owned()));
                }
            }
            if self.parameter_groups {
                for (kind, name) in found.parameter_groups() {
                    self.note(Named::Group((region.to_owned(), kind, name.to_owned())));
                }
            }
        }
    }

    fn note(&self, named: Named) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.insert(named.clone()) {
            // Nobody listens any more when the scan is to end.
            let _sent = self.to.unbounded_send(named);
        }
    }
}

/// What became of keys and groups.
#[derive(Debug, Default)]
pub(super) struct Details {
    keys: Vec<(String, KeyState, usize)>,
    groups: Vec<(Group, ParameterGroup)>,
}

impl Details {
    /// Reads every key and group that is named, once, while names come in. What fails is kept as unreadable, with the
    /// reason: it says nothing of the scan as a whole, only of the policies that need it.
    pub(super) async fn read(&mut self, aws: &Aws, named: UnboundedReceiver<Named>) {
        let clients = Clients::new(aws);
        let mut answers = named
            .map(|named| clients.ask(named))
            .buffer_unordered(AT_ONCE);
        while let Some(answer) = answers.next().await {
            match answer {
                Answer::Key(arn, state, calls) => self.keys.push((arn, state, calls)),
                Answer::Group(group, read) => self.groups.push((group, read)),
            }
        }
    }

    pub(super) fn add_to(self, inventory: &mut Inventory) {
        for (arn, state, calls) in self.keys {
            inventory.calls += calls;
            inventory.keys.insert(arn, state);
        }
        for ((region, kind, name), group) in self.groups {
            inventory.calls += 1;
            inventory.groups.insert(&region, kind, &name, group);
        }
    }
}

enum Answer {
    Key(String, KeyState, usize),
    Group(Group, ParameterGroup),
}

/// One client a service and region.
struct Clients<'a> {
    aws: &'a Aws,
    kms: Mutex<HashMap<String, Kms>>,
    rds: Mutex<HashMap<String, Rds>>,
}

impl<'a> Clients<'a> {
    fn new(aws: &'a Aws) -> Self {
        Self {
            aws,
            kms: Mutex::default(),
            rds: Mutex::default(),
        }
    }

    async fn ask(&self, named: Named) -> Answer {
        match named {
            Named::Key(arn) => {
                let (state, calls) = Box::pin(self.key(&arn)).await;
                Answer::Key(arn, state, calls)
            }
            Named::Group(group) => {
                let read = Box::pin(self.group(&group)).await;
                Answer::Group(group, read)
            }
        }
    }

    async fn key(&self, arn: &str) -> (KeyState, usize) {
        let Some(region) = region_of(arn) else {
            return (KeyState::Unreadable(format!("{arn:?} names no region")), 0);
        };
        let client = of_region(&self.kms, region, |region| self.aws.kms(region));
        let mut facts = match client.describe(arn).await {
            Ok(facts) => facts,
            Err(error) => return (KeyState::Unreadable(error.to_string()), 1),
        };
        let mut calls = 1;
        if facts.rotation == Rotation::Unknown {
            calls += 1;
            facts.rotation = client.rotation(&facts.arn).await;
        }
        (KeyState::Known(facts), calls)
    }

    async fn group(&self, (region, kind, name): &Group) -> ParameterGroup {
        let client = of_region(&self.rds, region, |region| self.aws.rds(region));
        match Box::pin(client.asked_parameters(*kind, name)).await {
            Ok(listing) => ParameterGroup::Read(listing.items),
            Err(error) => ParameterGroup::Unreadable(error.to_string()),
        }
    }
}

fn of_region<C: Clone>(
    clients: &Mutex<HashMap<String, C>>,
    region: &str,
    make: impl FnOnce(&str) -> C,
) -> C {
    let mut clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
    clients
        .entry(region.to_owned())
        .or_insert_with(|| make(region))
        .clone()
}
