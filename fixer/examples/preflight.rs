//! Prints docs/preflight.md.

use std::io::Write as _;

fn main() -> std::io::Result<()> {
    std::io::stdout().write_all(atrest_fixer::preflight::page().as_bytes())
}
