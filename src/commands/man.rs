//! `atrest man`: the manual pages, for packages.

use std::path::Path;

use clap::CommandFactory as _;

use super::common;
use crate::cli::Cli;
use crate::exit::{Exit, ExpectedError};

/// What the pages are part of.
const MANUAL: &str = "atrest manual";

pub(crate) fn run(dir: &Path) -> anyhow::Result<Exit> {
    std::fs::create_dir_all(dir).map_err(|error| {
        ExpectedError::usage(
            format!("cannot make {}: {error}", dir.display()),
            "name a folder that can be written to",
        )
    })?;
    for (name, page) in pages()? {
        common::deliver(Some(&dir.join(name)), &page)?;
    }
    Ok(Exit::Ok)
}

/// Every page with the name of its file, `atrest.1`, `atrest-accounts-clone.1`. No date is in them: the same program
/// makes the same pages.
fn pages() -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let mut pages = Vec::new();
    add(&root, "", &mut pages)?;
    Ok(pages)
}

fn add(
    command: &clap::Command,
    above: &str,
    pages: &mut Vec<(String, Vec<u8>)>,
) -> anyhow::Result<()> {
    if command.is_hide_set() {
        return Ok(());
    }
    let name = match above {
        "" => command.get_name().to_owned(),
        above => format!("{above}-{}", command.get_name()),
    };
    for verb in command.get_subcommands() {
        add(verb, &name, pages)?;
    }
    let man = clap_mangen::Man::new(command.clone())
        .title(name.to_uppercase())
        .date("")
        .source(format!("atrest {}", env!("CARGO_PKG_VERSION")))
        .manual(MANUAL);
    let mut page = Vec::new();
    man.render(&mut page)?;
    pages.push((format!("{name}.1"), page));
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;

    /// The verbs as the command line has them, by another way than the pages.
    fn verbs(command: &clap::Command, path: &[&str], all: &mut BTreeSet<String>) {
        let path = [path, &[command.get_name()]].concat();
        all.insert(path.join(" "));
        for verb in command.get_subcommands().filter(|v| !v.is_hide_set()) {
            verbs(verb, &path, all);
        }
    }

    #[test]
    fn every_verb_has_a_page_with_each_of_its_options() {
        let pages = pages().unwrap();
        let root = Cli::command();
        let mut all = BTreeSet::new();
        verbs(&root, &[], &mut all);
        let names: BTreeSet<String> = pages.iter().map(|(name, _)| name.clone()).collect();
        let expected = all.iter().map(|verb| verb.replace(' ', "-") + ".1");
        assert_eq!(names, expected.collect());
        assert!(names.contains("atrest-accounts-clone.1") && !names.contains("atrest-man.1"));
        let text = |name: &str| {
            let page = pages.iter().find(|(page, _)| page == name).unwrap();
            String::from_utf8(page.1.clone()).unwrap().replace('\\', "")
        };
        for verb in root.get_subcommands().filter(|verb| !verb.is_hide_set()) {
            let page = text(&format!("atrest-{}.1", verb.get_name()));
            for option in verb.get_arguments().filter(|arg| !arg.is_hide_set()) {
                let Some(long) = option.get_long() else {
                    continue;
                };
                assert!(
                    page.contains(&format!("--{long}")),
                    "{}: {long}",
                    verb.get_name()
                );
            }
        }
    }

    #[test]
    fn groff_finds_nothing_to_complain_about() {
        for (name, page) in pages().unwrap() {
            let groff = Command::new("groff")
                .args(["-man", "-Tutf8", "-ww", "-z"])
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn();
            let Ok(mut groff) = groff else {
                println!("groff is not installed: {name} and the others were not checked");
                return;
            };
            groff.stdin.take().unwrap().write_all(&page).unwrap();
            let said = groff.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&said.stderr).into_owned();
            assert!(said.is_empty(), "{name}: {said}");
        }
    }
}
