//! The whole loop on real servers with everything said aloud: no password, no hash and no key of the scenario is in a file,
//! an output, a command line or an environment, but in the file that was asked to hold them.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder};

use crate::harness::{Finished, Sandbox, Start, finish};

const REGION: &str = "eu-central-1";
const WRONG: &str = "not-the-password-of-anybody";
const SECRET_KEY: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYOFTHETEST";
const SESSION_TOKEN: &str = "FwoGZXIvYXdzSESSIONTOKENOFTHETEST==";
/// A way to the servers that names no password.
const WAY: [&str; 4] = [
    "--mysql-tls",
    "off",
    "--mysql-password-file",
    "password.txt",
];
const PACE: [&str; 4] = ["--poll-interval", "20ms", "--consistency-window", "2s"];
/// The one file that was asked to hold hashes, and what the test itself has written.
const HOLD_SECRETS: [&str; 2] = ["accounts.sql", "password.txt"];

struct Loud {
    sandbox: Sandbox,
    secrets: BTreeSet<(String, Vec<u8>)>,
}

impl Loud {
    fn start() -> Self {
        let scenario = include_str!("../../sandbox/scenarios/seed-story.toml");
        let sandbox = Sandbox::start(&Start {
            scenario: "seed-story",
            engines: "required",
            speed: "1000",
        });
        let mut passwords: BTreeSet<String> = scenario
            .split("IDENTIFIED BY '")
            .skip(1)
            .filter_map(|rest| rest.split_once('\''))
            .map(|(password, _)| password.to_owned())
            .collect();
        assert!(passwords.len() > 5, "{passwords:?}");
        passwords.insert(sandbox.password().to_owned());
        let mut secrets: BTreeSet<(String, Vec<u8>)> = BTreeSet::new();
        for (password, hash) in hashes(&sandbox, &passwords) {
            let digits = hash.strip_prefix('*').unwrap();
            let raw: Vec<u8> = (0..20)
                .map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).unwrap())
                .collect();
            let of = |what: &str| format!("{what} of {password}");
            secrets.insert((of("hash"), digits.as_bytes().to_vec()));
            secrets.insert((of("small hash"), digits.to_ascii_lowercase().into_bytes()));
            secrets.insert((of("raw hash"), raw));
            secrets.insert((of("text"), password.clone().into_bytes()));
        }
        for secret in [WRONG, SECRET_KEY, SESSION_TOKEN] {
            secrets.insert((secret.to_owned(), secret.as_bytes().to_vec()));
        }
        let file = sandbox.path("password.txt");
        std::fs::write(&file, sandbox.password()).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        Self { sandbox, secrets }
    }

    fn command(&self, args: &[&str]) -> Command {
        let loud = ["-vvv", "--log-format", "json"];
        let mut command = self.sandbox.command(&[args, &loud].concat());
        command
            .env("ATREST_LOG", "trace")
            .env("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
            .env("AWS_SESSION_TOKEN", SESSION_TOKEN)
            .env("RUST_BACKTRACE", "full")
            // It is not used where a file is named; it must not go anywhere either.
            .env("ATREST_MYSQL_PASSWORD", WRONG);
        command
    }

    fn run(&self, args: &[&str]) -> Finished {
        let ended = finish(self.command(args), Duration::from_secs(240));
        self.check(&format!("stdout of {args:?}"), ended.stdout.as_bytes());
        self.check(&format!("stderr of {args:?}"), ended.stderr.as_bytes());
        ended
    }

    fn check(&self, place: &str, bytes: &[u8]) {
        for (what, secret) in &self.secrets {
            let found = bytes
                .windows(secret.len())
                .any(|window| window == secret.as_slice());
            assert!(!found, "{what} is in {place}");
        }
    }

    fn check_files(&self) -> usize {
        let files = files(self.sandbox.dir.path());
        for path in &files {
            let name = path.file_name().unwrap().to_str().unwrap();
            if !HOLD_SECRETS.contains(&name) {
                self.check(&path.display().to_string(), &std::fs::read(path).unwrap());
            }
        }
        files.len()
    }
}

fn files(root: &Path) -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = path.symlink_metadata().unwrap();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                files.push(path);
            }
        }
    }
    files
}

/// What a server stores for each password.
fn hashes(sandbox: &Sandbox, passwords: &BTreeSet<String>) -> Vec<(String, String)> {
    let instances = sandbox.instances(REGION);
    let (host, port) = instances["prod-three"].endpoint().unwrap();
    let options = OptsBuilder::default()
        .ip_or_hostname(host)
        .tcp_port(port)
        .user(Some("admin"))
        .pass(Some(sandbox.password()));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let mut conn = Conn::new(options).await.unwrap();
        let mut found = Vec::new();
        for password in passwords {
            let hash: Option<String> = conn
                .exec_first("SELECT PASSWORD(?)", (password,))
                .await
                .unwrap();
            found.push((password.clone(), hash.unwrap()));
        }
        conn.disconnect().await.unwrap();
        found
    })
}

#[test]
fn no_secret_is_anywhere_after_a_whole_loop_that_says_everything() {
    let loud = Loud::start();
    let sandbox = &loud.sandbox;
    // A hook that tells all it can see: its environment, its command line, that of the process that has started it.
    let dump = "(env; cat /proc/self/environ /proc/$$/cmdline /proc/$PPID/cmdline) > dump.$ATREST_STAGE 2>&1; env";
    let hooks: String = ["before-quiesce", "after-cutover", "after-run"]
        .iter()
        .map(|stage| format!("[[hooks]]\nat = \"{stage}\"\ncommand = [\"sh\", \"-c\", '{dump}']\n"))
        .collect();
    std::fs::write(sandbox.path("atrest.toml"), hooks).unwrap();

    let run = |args: &[&str], codes: &[i32]| {
        let ended = loud.run(args);
        assert!(
            codes.contains(&ended.code),
            "{args:?}: {}: {}{}",
            ended.code,
            ended.stdout,
            ended.stderr
        );
        ended
    };
    let with = |args: &[&'static str], more: &[&'static str]| [args, &WAY, more].concat();
    run(
        &[
            "scan",
            "--region",
            REGION,
            "--save",
            "scan.json",
            "--stream",
            "stream.jsonl",
        ],
        &[4, 10],
    );
    let plan = with(
        &[
            "plan",
            "--instance",
            "prod-three",
            "--region",
            REGION,
            "--run",
            "loud",
        ],
        &[
            "--kms-key",
            "alias/rds-migration",
            "--data-check",
            "checksums",
        ],
    );
    run(&plan, &[0]);
    let fixed = run(
        &with(&["fix", "atrest-plan.json", "--execute"], &PACE),
        &[0],
    );
    // It did say everything.
    assert!(
        fixed.stderr.contains("\"level\":\"TRACE\""),
        "{}",
        fixed.stderr.len()
    );
    for stage in ["before-quiesce", "after-cutover", "after-run"] {
        let dump = std::fs::read_to_string(sandbox.path(&format!("dump.{stage}"))).unwrap();
        assert!(
            dump.contains("ATREST_STAGE") && dump.contains("atrest-plan.json"),
            "{dump}"
        );
    }

    let export = |more: &[&'static str]| with(&["accounts", "export", "prod-three"], more);
    run(&export(&["--format", "json=accounts.json"]), &[0]);
    run(&export(&["--format", "text"]), &[0]);
    run(&export(&["--format", "sql=accounts.sql"]), &[0]);
    // The file that was asked for them has them, and nobody else can read it.
    let sql = std::fs::read_to_string(sandbox.path("accounts.sql")).unwrap();
    assert!(
        loud.secrets
            .iter()
            .any(|(what, secret)| what.starts_with("hash")
                && sql.contains(std::str::from_utf8(secret).unwrap())),
        "accounts.sql holds no hash"
    );
    let mode = sandbox
        .path("accounts.sql")
        .metadata()
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    run(
        &with(&["accounts", "diff", "old-prod-three", "prod-three"], &[]),
        &[0, 11],
    );
    run(&with(&["diff", "--run", "loud", "--data"], &[]), &[0, 11]);
    run(&["status", "loud"], &[0]);
    for format in ["text", "html", "markdown"] {
        let file = format!("{format}=report.{format}");
        run(&["report", "loud", "scan.json", "--format", &file], &[0]);
    }
    for document in ["loud", "scan.json"] {
        let file = format!("json=report-{document}.json");
        run(&["report", document, "--format", &file], &[0]);
    }
    run(&["report", "loud", "--evidence", "pack.zip"], &[0]);
    let unpacked = Command::new("python3")
        .args(["-m", "zipfile", "-e"])
        .args([&sandbox.path("pack.zip"), &sandbox.path("unpacked")])
        .status()
        .unwrap();
    assert!(unpacked.success());

    // Wrong passwords, and files that are none.
    let wrong = ["accounts", "export", "prod-three", "--mysql-tls", "off"];
    run(&wrong, &[2]);
    run(
        &with(
            &[
                "rollback",
                "loud",
                "--execute",
                "--accept-data-loss",
                "prod-three",
            ],
            &PACE,
        ),
        &[23],
    );
    // What the rollback has left is in the way of another plan, which says so and names no secret.
    let again = with(
        &["plan", "--instance", "prod-three", "--region", REGION],
        &["--kms-key", "alias/rds-migration", "--out", "again.json"],
    );
    run(&again, &[2]);

    let files = loud.check_files();
    assert!(files > 20, "{files} files");
    // What a run leaves is for its owner.
    let runs = sandbox.path(".atrest");
    for path in self::files(&runs) {
        let mode = path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
        let folder = path.parent().unwrap().metadata().unwrap();
        let mode = folder.permissions().mode() & 0o777;
        assert_eq!(mode & 0o077, 0, "folder of {}: {mode:o}", path.display());
    }
}

/// A process that dies leaves no memory behind. The sandbox is the same program, and stays as long as it is looked at.
#[test]
fn a_process_writes_no_core() {
    let sandbox = Sandbox::start(&Start {
        scenario: "seed-story",
        engines: "none",
        speed: "1000",
    });
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", sandbox.pid())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .unwrap();
    assert_eq!(core.split_whitespace().nth(4), Some("0"), "{core}");
}
