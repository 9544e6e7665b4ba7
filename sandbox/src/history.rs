//! What regions looked like a while ago, for answers from the past. Kept only while a fault asks for it.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;

use crate::clock::plus;
use crate::rds::state::{Region, Scope};

/// Views per region at most: a busy region is then shown less exactly, not further back.
const MOST: usize = 256;

/// Earlier states by region.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// How far back anybody may look, in virtual seconds.
    memory: Option<u64>,
    views: BTreeMap<Scope, VecDeque<(Timestamp, Region)>>,
}

impl History {
    /// Sets how far back to remember; `None` forgets everything. What is first remembered is the present.
    pub(crate) fn keep(
        &mut self,
        memory: Option<u64>,
        regions: &BTreeMap<Scope, Region>,
        now: Timestamp,
    ) {
        let began = self.memory.is_none();
        self.memory = memory;
        if memory.is_none() {
            self.views.clear();
        } else if began {
            for (scope, region) in regions {
                self.remember(scope, region, now);
            }
        }
    }

    /// Adds the present state of a region.
    pub(crate) fn remember(&mut self, scope: &Scope, region: &Region, now: Timestamp) {
        let Some(memory) = self.memory else { return };
        let views = self.views.entry(scope.clone()).or_default();
        // One view per virtual second, the last; the first of all stays, for there is none before it.
        if views.len() > 1
            && views
                .back()
                .is_some_and(|(at, _)| at.as_second() == now.as_second())
        {
            views.pop_back();
        }
        let mut view = region.clone();
        view.listing = None;
        views.push_back((now, view));
        let oldest = plus(now, -i64::try_from(memory).unwrap_or(0));
        // The last view before the oldest moment still says what was to be seen at that moment.
        while views.get(1).is_some_and(|(at, _)| *at <= oldest) {
            views.pop_front();
        }
        if views.len() > MOST {
            // Thin out the middle: neither the oldest nor the newest.
            views.remove(views.len() / 2);
        }
    }

    /// What a region looked like at a moment, or at the first that is remembered.
    pub(crate) fn at(&self, scope: &Scope, moment: Timestamp) -> Option<&Region> {
        let views = self.views.get(scope)?;
        views
            .iter()
            .rev()
            .find(|(at, _)| *at <= moment)
            .or_else(|| views.front())
            .map(|(_, region)| region)
    }
}
