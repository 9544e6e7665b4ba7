//! Plans and runs the migration to encrypted storage.

pub mod accounts;
