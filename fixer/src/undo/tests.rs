//! Plans of rollback, cleanup and rehearsal, without RDS.
