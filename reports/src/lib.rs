//! Renders what the other crates found: tables, JSON, unified diffs.
