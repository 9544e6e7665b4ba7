//! The list behind `DescribeDBInstances`, kept until something changes: who is shown, who replicates from whom,
//! and the XML of those that were asked for.
//!
//! A scanner reads a fleet of thousands page by page, over and over, and between two pages hardly anything
//! happens. What a list rests on is the state of the world (its `version`) and the time: the views of
//! the past run out, the latest restorable time moves in steps of five minutes, and a certificate is renewed.

use jiff::Timestamp;

use super::instances;
use super::links::Links;
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
    /// Sources and replicas, those in other regions included.
    links: Links,
    /// By position in `Region::instances`.
    written: Vec<Option<Box<str>>>,
}

impl Listing {
    /// Whether the list still holds.
    pub(crate) fn holds(&self, version: u64, now: Timestamp) -> bool {
        self.version == version && self.from <= now && now < self.until
    }

    pub(crate) fn new(region: &Region, links: Links, version: u64, now: Timestamp) -> Self {
        let mut until = instances::next_step(now);
        until = until.min(links.until().unwrap_or(until));
        let mut shown = Vec::with_capacity(region.instances.len());
        for (position, instance) in region.instances.iter().enumerate() {
            if let Some(stale) = instance.stale.as_ref().filter(|stale| now < stale.until) {
                until = until.min(stale.until);
            }
            if let Some(view) = instance.shown(now) {
                shown.push(position);
                until = until.min(instances::certificate_end(view, now).unwrap_or(until));
            }
        }
        Self {
            version,
            from: now,
            until,
            written: vec![None; region.instances.len()],
            shown,
            links,
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
            let mut inner = Xml::new();
            instances::write(&mut inner, scope, region, &self.links, view, from);
            inner.into_string().into_boxed_str()
        });
        xml.raw(text);
    }
}
