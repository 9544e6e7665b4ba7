//! Passwords and keys are in the memory of this process while it runs: nobody else gets to see it.

use rustix::process::{Resource, getrlimit, setrlimit};

/// No core file is written if the process dies, and no other process of the same user may look into it. What it starts may
/// have core files again: the hard limit stays.
pub(crate) fn keep() {
    let limit = getrlimit(Resource::Core);
    let none = rustix::process::Rlimit {
        current: Some(0),
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::debug!("core files could not be switched off: {error}");
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::debug!("the memory of the process stays open to its user: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_closed() {
        keep();
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        #[cfg(target_os = "linux")]
        assert_eq!(
            rustix::process::dumpable_behavior().unwrap(),
            rustix::process::DumpableBehavior::NotDumpable
        );
    }
}
