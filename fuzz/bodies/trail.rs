//! The audit trail of a run, which somebody may have changed.

use super::chain::verify;

/// A trail is whole, or the line is named at which it is not.
pub(crate) fn trail(data: &[u8]) {
    match verify(data) {
        Ok(_whole) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
