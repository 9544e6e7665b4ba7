//! Runs the migration's steps as workflows of a Restate server.
