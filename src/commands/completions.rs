//! `atrest completions`.

use clap::CommandFactory as _;

use crate::cli::Cli;
use crate::exit::Exit;

pub(crate) fn run(shell: clap_complete::Shell) -> anyhow::Result<Exit> {
    use std::io::Write as _;
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "atrest", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Exit::Ok)
}
