//! Plans and runs the migration to encrypted storage.
