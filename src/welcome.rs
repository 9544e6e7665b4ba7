//! What `atrest` says without arguments: what it is, and three ways to begin.

use anstream::eprint;

const WELCOME: &str = "\
atrest finds RDS databases that are not encrypted at rest, migrates them, and
proves that nothing else changed.

To begin:
  atrest demo            the whole loop on an RDS of your own; needs no AWS
  atrest scan            what is not encrypted in your account; only reads
  atrest help tutorial   from zero to a migrated fleet, step by step

All commands: atrest --help. Nothing is changed without --execute.
";

pub(crate) fn say() {
    eprint!("{WELCOME}");
}
