//! The rules of the control plane over HTTP, on a clock that stands still until it is told to go on.
#![expect(clippy::format_push_string, reason = "tests")]

mod backups;
mod blue_green;
mod client;
mod clusters;
mod create;
mod group_writes;
mod offers;
mod protocol;
mod proxies;
mod regions;
mod rename;
mod restore;
mod rules;
mod servers;
mod sharing;
mod subscriptions;

use client::Bench;

/// Knobs without which Describe shows the truth at once.
const NO_LAG: &str = "\n[knobs]\ndescribe_lag = [0, 0]\n";

/// What a request adds to one that would be taken, and the code and status that it is refused with.
type Refusal<'a> = (&'a [(&'a str, &'a str)], &'a str, u16);
