//! One file a policy.

pub(crate) mod storage_unencrypted;
