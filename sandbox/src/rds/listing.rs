//! The list behind `DescribeDBInstances`, kept until something changes: who is shown, who replicates from whom,
//! and the XML of those that were asked for.
//!
//! A scanner reads a fleet of thousands page by page, over and over, and between two pages hardly anything
//! happens. What a list rests on is the state of the world (its `version`) and the time: the views of
//! the past run out, the latest restorable time moves in steps of five minutes, and a certificate is renewed.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::instances;
use super::state::{DbInstance, Region, Scope};
use super::xml::Xml;

/// Who is shown, and how.
#[derive(Debug, Clone)]
pub(crate) struct Listing {
    version: u64,
    from: Timestamp,
    until: Timestamp,
    /// Positions in `Region::instances` of those that are shown, in order.
    shown: Vec<usize>,
    /// Resource id of a source to the names of its replicas, sorted.
    replicas: BTreeMap<String, Vec<String>>,
    /// By position in `Region::instances`.
    written: Vec<Option<Box<str>>>,
}

impl Listing {
    /// The list as it is kept, if it still holds, or a new one.
    pub(crate) fn current(region: &mut Region, version: u64, now: Timestamp) -> Self {
        region
            .listing
            .take()
            .filter(|kept| kept.version == version && kept.from <= now && now < kept.until)
            .unwrap_or_else(|| Self::new(region, version, now))
    }

    fn new(region: &Region, version: u64, now: Timestamp) -> Self {
        let mut until = instances::next_step(now);
        let mut shown = Vec::with_capacity(region.instances.len());
        let mut replicas: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (position, instance) in region.instances.iter().enumerate() {
            if let Some(stale) = instance.stale.as_ref().filter(|stale| now < stale.until) {
                until = until.min(stale.until);
            }
            if let Some(view) = instance.shown(now) {
                shown.push(position);
                until = until.min(instances::certificate_end(view, now).unwrap_or(until));
            }
            // The truth about whose replica it is, under the name by which it is known.
            if let Some(source) = &instance.replica_of
                && instance.shown(now).is_some()
            {
                replicas
                    .entry(source.clone())
                    .or_default()
                    .push(instance.id.clone());
            }
        }
        replicas
            .values_mut()
            .for_each(|names| names.sort_unstable());
        Self {
            version,
            from: now,
            until,
            written: vec![None; region.instances.len()],
            shown,
            replicas,
        }
    }

    /// Positions of those that are shown.
    pub(crate) fn shown(&self) -> &[usize] {
        &self.shown
    }

    /// How the instance at a position is shown.
    pub(crate) fn view<'a>(&self, region: &'a Region, position: usize) -> Option<&'a DbInstance> {
        region.instances.get(position)?.shown(self.from)
    }

    /// Appends the XML of the instance at a position, which is written once.
    pub(crate) fn write(&mut self, xml: &mut Xml, scope: &Scope, region: &Region, position: usize) {
        let (view, from) = (self.view(region, position), self.from);
        let (Some(view), Some(kept)) = (view, self.written.get_mut(position)) else {
            return;
        };
        let text = kept.get_or_insert_with(|| {
            let replicas = self
                .replicas
                .get(&view.resource_id)
                .map_or::<&[String], _>(&[], Vec::as_slice);
            let mut inner = Xml::new();
            instances::write_with(&mut inner, scope, region, view, replicas, from);
            inner.into_string().into_boxed_str()
        });
        xml.raw(text);
    }
}
