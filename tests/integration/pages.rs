//! Pages of the documentation and the blocks of code in them.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::harness::{Finished, Sandbox, finish};

/// The folder of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A fenced block.
#[derive(Debug, Clone)]
pub(crate) struct Block {
    /// Line of its fence in the page, from 1.
    pub(crate) line: usize,
    /// The last heading of the second level before it.
    pub(crate) heading: String,
    /// What stands behind the fence: `sh`, `sh not-run: needs systemd`, `toml file=atrest.toml`.
    pub(crate) info: String,
    /// Its lines, without the indent of the fence.
    pub(crate) text: String,
}

impl Block {
    /// The first word behind the fence.
    pub(crate) fn language(&self) -> &str {
        self.info.split(' ').next().unwrap_or_default()
    }

    /// Why its commands are not run, if they are not.
    pub(crate) fn not_run(&self) -> Option<&str> {
        let (_, reason) = self.info.split_once("not-run:")?;
        Some(reason.trim())
    }

    /// The file that it is the text of.
    pub(crate) fn file(&self) -> Option<&str> {
        let mut words = self.info.split(' ');
        words.find_map(|word| word.strip_prefix("file="))
    }

    pub(crate) fn is_commands(&self) -> bool {
        matches!(self.language(), "sh" | "console")
    }

    /// Its command lines, each with what is shown below it: in `console` what follows `$ `, in `sh` every line that is no
    /// comment. A backslash at the end goes on in the next line.
    pub(crate) fn commands(&self) -> Vec<(String, Vec<String>)> {
        let mut all: Vec<(String, Vec<String>)> = Vec::new();
        let mut goes_on = false;
        for line in self.text.lines() {
            if goes_on {
                let (command, _) = all.last_mut().unwrap();
                command.push(' ');
                command.push_str(line.trim());
            } else if self.language() == "console" {
                match line.strip_prefix("$ ") {
                    Some(command) => all.push((command.to_owned(), Vec::new())),
                    None => match all.last_mut() {
                        Some((_, shown)) => shown.push(line.to_owned()),
                        None => panic!("output before a command: {self:?}"),
                    },
                }
            } else if !line.trim().is_empty() && !line.trim_start().starts_with('#') {
                all.push((line.trim().to_owned(), Vec::new()));
            } else {
                continue;
            }
            let Some((command, shown)) = all.last_mut() else {
                continue;
            };
            goes_on = shown.is_empty() && command.ends_with('\\');
            if goes_on {
                command.pop();
                command.truncate(command.trim_end().len());
            }
        }
        all
    }
}

/// The blocks of a page, in order. `page` is its path from the root.
pub(crate) fn blocks(page: &str) -> Vec<Block> {
    let text = std::fs::read_to_string(root().join(page)).unwrap_or_else(|e| panic!("{page}: {e}"));
    let mut found: Vec<Block> = Vec::new();
    let mut heading = String::new();
    let mut open: Option<usize> = None;
    for (line, number) in text.lines().zip(1..) {
        let indent = line.len() - line.trim_start().len();
        match (line.trim_start().strip_prefix("```"), open) {
            (Some(info), None) => {
                open = Some(indent);
                found.push(Block {
                    line: number,
                    heading: heading.clone(),
                    info: info.trim().to_owned(),
                    text: String::new(),
                });
            }
            (Some(_), Some(_)) => open = None,
            (None, Some(indent)) => {
                let block = found.last_mut().unwrap();
                block.text.push_str(line.get(indent..).unwrap_or_default());
                block.text.push('\n');
            }
            (None, None) => {
                if let Some(title) = line.strip_prefix("## ") {
                    title.clone_into(&mut heading);
                }
            }
        }
    }
    assert_eq!(open, None, "{page} ends within a block");
    found
}

/// Every page below `docs`, and the README; paths from the root, sorted.
pub(crate) fn all() -> Vec<String> {
    let mut pages = vec!["README.md".to_owned()];
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    pages.sort();
    pages
}

/// Runs a shell line against a sandbox, in its folder. `path` goes before the directories of `PATH`.
pub(crate) fn shell(sandbox: &Sandbox, line: &str, path: Option<&Path>) -> Finished {
    let like = sandbox.command(&[]);
    let mut command = Command::new("/bin/sh");
    command.args(["-c", line]).env_clear();
    let mut directories = path.map(Path::to_owned).into_iter().collect::<Vec<_>>();
    directories.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap()));
    command.env("PATH", std::env::join_paths(directories).unwrap());
    for (name, value) in like.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command.current_dir(sandbox.dir.path());
    finish(command, Duration::from_secs(240))
}

#[test]
fn a_command_goes_on_behind_a_backslash_and_has_its_output() {
    let block = |info: &str, text: &str| Block {
        line: 1,
        heading: String::new(),
        info: info.to_owned(),
        text: text.to_owned(),
    };
    let console = block("console", "$ a \\\n    -b\nout 1\nout 2\n$ c\n");
    let expected = vec![
        (
            "a -b".to_owned(),
            vec!["out 1".to_owned(), "out 2".to_owned()],
        ),
        ("c".to_owned(), vec![]),
    ];
    assert_eq!(console.commands(), expected);
    let script = block(
        "sh not-run: needs two servers",
        "# why\na   # exit 10\n\nb \\\n  c\n",
    );
    let commands: Vec<String> = script.commands().into_iter().map(|(c, _)| c).collect();
    assert_eq!(commands, ["a   # exit 10", "b c"]);
    assert_eq!(script.not_run(), Some("needs two servers"));
    assert_eq!(
        block("toml file=atrest.toml", "").file(),
        Some("atrest.toml")
    );
}
