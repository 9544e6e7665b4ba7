//! Every command in the documentation is run, page by page, against a sandbox.
//!
//! Blocks marked `sh` and `console` are commands. What a page runs shares a directory, in the order of the page; a block
//! marked `file=NAME` is put there first. A command is expected to end with 0 unless its comment says `exit N`. Below
//! `$ COMMAND` in a `console` block stand lines of its output, in their order; `…` stands for any others.
//!
//! A block that cannot be run here says so with its reason: `sh not-run: needs systemd`. Its commands are still read by
//! the command line's own parser.
//!
//! The sandbox has no servers and its hours are milliseconds, so `plan`, `fix`, `rollback`, `cleanup` and `diff` get the
//! options that say so where the page does not.

use std::path::Path;

use crate::harness::{Sandbox, Start};
use crate::pages::{self, Block};

const BINARY: &str = env!("CARGO_BIN_EXE_atrest");

/// What stands between a page and the binary.
const ADAPTER: &str = r#"#!/bin/sh
has() { want=$1; shift; for word in "$@"; do case $word in "$want"|"$want"=*) return 0;; esac; done; return 1; }
verb=$1
add() { has "$1" $given || more="$more $*"; }
given=$*
more=
case $verb in
    plan) add --mysql off; add --quiesce-window 1s ;;
    fix | rollback | cleanup) add --poll-interval 20ms; add --consistency-window 1s ;;
    diff) add --mysql off ;;
esac
case " $given " in *" --help "*) more= ;; esac
# The options go right behind the verb, where they belong to it.
[ $# -eq 0 ] || shift
exec "$ATREST_BINARY" $verb $more "$@"
"#;

/// The pages that have commands, each a test of its own: one that fails names its page.
macro_rules! pages {
    ($($name:ident: $page:literal),+ $(,)?) => {
        const PAGES: &[&str] = &[$($page),+];
        $(#[test]
        fn $name() {
            run_page($page);
        })+
    };
}

pages! {
    readme: "README.md",
    accounts: "docs/accounts.md",
    config: "docs/config.md",
    custom_policies: "docs/custom-policies.md",
    cutover: "docs/cutover.md",
    evidence: "docs/evidence.md",
    formats: "docs/formats.md",
    hooks: "docs/hooks.md",
    iam: "docs/iam.md",
    nightly: "docs/nightly.md",
    offline: "docs/offline.md",
    operations: "docs/operations.md",
    replica_method: "docs/replica-method.md",
    rollback: "docs/rollback.md",
    runbook: "docs/runbook.md",
    sandbox: "docs/sandbox.md",
    shards: "docs/shards.md",
    shared_state: "docs/shared-state.md",
    tick: "docs/tick.md",
    tutorial: "docs/tutorial.md",
    waivers: "docs/waivers.md",
    adding_a_policy: "docs/howto/add-a-policy.md",
    first_migration: "docs/howto/first-migration.md",
    nightly_audit: "docs/howto/nightly-audit.md",
    organization: "docs/howto/organization.md",
    rolling_back: "docs/howto/roll-back.md",
    sunday: "docs/howto/sunday.md",
}

/// Pages whose commands are those of other tests, or of people.
const OTHERS: &[&str] = &[
    // Decisions: what was thought of then.
    "docs/design/",
    // Made from the code, and compared by another test.
    "docs/reference/",
    // Pages about programs that are not on this machine.
    "docs/restate.md",
    "docs/security.md",
    "docs/step-functions.md",
    "docs/supply-chain.md",
];

#[test]
fn every_page_with_commands_is_run_and_what_is_not_run_says_why() {
    let mut not_run = Vec::new();
    for page in pages::all() {
        if OTHERS.iter().any(|other| page.starts_with(other)) {
            continue;
        }
        for block in pages::blocks(&page) {
            let place = format!("{page}:{}", block.line);
            if block.is_commands() {
                assert!(
                    PAGES.contains(&page.as_str()),
                    "{place}: no test runs this page"
                );
            }
            if let Some(reason) = block.not_run() {
                assert!(block.is_commands(), "{place}: only commands can be not run");
                assert!(
                    reason.split(' ').count() >= 2,
                    "{place}: {reason:?} is no reason"
                );
                not_run.push(format!("{place}: {reason}"));
            }
            // A block without a language would not be run by anybody.
            let is_command =
                |line: &str| line.trim_start().starts_with("atrest ") || line.starts_with("$ ");
            assert!(
                !block.info.is_empty() || !block.text.lines().any(is_command),
                "{place}: commands stand in a block that is not marked sh or console"
            );
        }
    }
    println!(
        "{} blocks are not run:\n{}",
        not_run.len(),
        not_run.join("\n")
    );
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut lost = Vec::new();
    for page in pages::all() {
        let text = std::fs::read_to_string(pages::root().join(&page)).unwrap();
        let folder = Path::new(&page).parent().unwrap();
        for target in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let file = target.split('#').next().unwrap();
            if file.is_empty() || file.contains("://") || file.contains(' ') {
                continue;
            }
            if !pages::root().join(folder).join(file).exists() {
                lost.push(format!("{page}: {target}"));
            }
        }
    }
    assert!(lost.is_empty(), "{lost:#?}");
}

fn run_page(page: &str) {
    let blocks = pages::blocks(page);
    let runs = blocks
        .iter()
        .any(|block| block.is_commands() && block.not_run().is_none());
    let sandbox = Sandbox::start(&Start {
        scenario: "seed-story",
        engines: "none",
        speed: "20000",
    });
    let bin = sandbox.path("bin");
    std::fs::create_dir(&bin).unwrap();
    let adapter = bin.join("atrest");
    std::fs::write(&adapter, ADAPTER).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&adapter, executable).unwrap();
    for block in blocks.iter().filter(|block| block.file().is_some()) {
        let file = sandbox.path(block.file().unwrap());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, &block.text).unwrap();
    }
    for block in blocks.iter().filter(|block| block.is_commands()) {
        match block.not_run() {
            Some(_) => parse(&sandbox, page, block),
            None => run(&sandbox, &bin, page, block),
        }
    }
    // A page that only shows what others run has nothing that could have failed.
    assert!(
        runs || blocks.iter().any(Block::is_commands),
        "{page} has no commands"
    );
}

fn run(sandbox: &Sandbox, bin: &Path, page: &str, block: &Block) {
    let mut exports = String::new();
    for (command, shown) in block.commands() {
        let expected = expected_exit(&command);
        if command.starts_with("export ") {
            exports.push_str(&command);
            exports.push('\n');
            continue;
        }
        let line = format!("export ATREST_BINARY='{BINARY}'\n{exports}{command}");
        let ended = pages::shell(sandbox, &line, Some(bin));
        let place = format!("{page}:{} `{command}`", block.line);
        assert_eq!(
            ended.code, expected,
            "{place}\nstdout:\n{}\nstderr:\n{}",
            ended.stdout, ended.stderr
        );
        // What people see on a terminal is both.
        let output = format!("{}{}", ended.stdout, ended.stderr);
        let mut lines = output.lines().map(str::trim_end);
        for line in shown.iter().map(|line| line.trim_end()) {
            if line == "…" || line.is_empty() {
                continue;
            }
            assert!(
                lines.any(|real| is_like(real, line)),
                "{place} does not print, or not in this order:\n{line}\nbut:\n{output}"
            );
        }
    }
}

/// Whether a line is as the page shows it; `…` stands for anything.
fn is_like(real: &str, shown: &str) -> bool {
    let mut parts = shown.split('…');
    let Some(mut rest) = parts.next().and_then(|first| real.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    true
}

#[test]
fn a_shown_line_may_leave_something_out() {
    for (real, shown, alike) in [
        ("took 3 s in all", "took … s in all", true),
        ("took 3 s in all", "took …", true),
        ("took 3 s in all", "took 3 s", false),
        ("took 3 s in all", "…in all", true),
        ("took 3 s in all", "took … m in all", false),
        ("", "a", false),
    ] {
        assert_eq!(is_like(real, shown), alike, "{real} {shown}");
    }
}

/// Has each `atrest` in the block read by its own parser: asked for help last, it reads the words before.
fn parse(sandbox: &Sandbox, page: &str, block: &Block) {
    for (command, _) in block.commands() {
        let command = command.split(" # ").next().unwrap();
        let command = command.split("  #").next().unwrap();
        let Some(words) = shlex::split(command) else {
            panic!("{page}:{}: {command}", block.line);
        };
        let Some(start) = words.iter().position(|word| word == "atrest") else {
            continue;
        };
        let mut words: Vec<&str> = words[start + 1..].iter().map(String::as_str).collect();
        let end = words
            .iter()
            .position(|word| ["|", "||", "&&", ";", "&", ">", ">>"].contains(word));
        words.truncate(end.unwrap_or(words.len()));
        words.push("--help");
        let ended = sandbox.run(&words);
        assert_eq!(
            ended.code, 0,
            "{page}:{} `{command}` is not read: {}",
            block.line, ended.stderr
        );
    }
}

/// The number behind `exit` in a command's comment.
fn expected_exit(command: &str) -> i32 {
    let Some((_, comment)) = command.split_once(" # ") else {
        return 0;
    };
    let Some((_, after)) = comment.split_once("exit ") else {
        return 0;
    };
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or(0)
}
