//! The rules of the control plane over HTTP, on a clock that stands still until it is told to go on.
#![expect(
    clippy::format_push_string,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

mod admin;
mod backups;
mod blue_green;
mod client;
mod clusters;
mod create;
mod faults;
mod group_writes;
mod keys;
mod offers;
mod outages;
mod protocol;
mod proxies;
mod raw;
mod regions;
mod rename;
mod restore;
mod rules;
mod saved_state;
mod servers;
mod services;
mod sharing;
mod subscriptions;

use client::Bench;

/// Knobs without which Describe shows the truth at once.
const NO_LAG: &str = "\n[knobs]\ndescribe_lag = [0, 0]\n";

/// What a request adds to one that would be taken, and the code and status that it is refused with.
type Refusal<'a> = (&'a [(&'a str, &'a str)], &'a str, u16);
