//! `atrest config`: a file to begin with, and what holds.

use std::path::Path;

use atrest_fixer::fleet::Waves;
use atrest_policies::registry;
use atrest_reports::{CONFIG_SCHEMA_VERSION, ConfigShown, Origin, Setting};

use super::{common, policy};
use crate::cli::{ConfigCommand, ConfigInitArgs, ConfigShowArgs, TextOrJson};
use crate::config::Config;
use crate::config::keys::{self, Table};
use crate::exit::{Exit, ExpectedError};

pub(crate) fn run(command: &ConfigCommand, named: Option<&Path>) -> anyhow::Result<Exit> {
    match command {
        ConfigCommand::Init(args) => init(args),
        ConfigCommand::Show(args) => {
            let config = Config::load(named)?;
            let shown = ConfigShown {
                schema_version: CONFIG_SCHEMA_VERSION,
                file: config.file().map(|file| file.display().to_string()),
                settings: settings(args, &config, &Environment)?,
            };
            let bytes = match args.format {
                TextOrJson::Json => common::json(&shown)?,
                TextOrJson::Text => atrest_reports::config_text(&shown).into_bytes(),
            };
            common::deliver(None, &bytes)?;
            Ok(Exit::Ok)
        }
    }
}

fn init(args: &ConfigInitArgs) -> anyhow::Result<Exit> {
    use std::io::Write as _;
    let file = args.file.display();
    // Not written whole and renamed: that would replace a file that came into being meanwhile.
    let written = std::fs::File::create_new(&args.file)
        .and_then(|mut out| out.write_all(keys::template().as_bytes()));
    match written {
        Ok(()) => {
            use anstream::eprintln;
            eprintln!(
                "{file} is written; every key in it is a comment, so nothing has changed yet"
            );
            Ok(Exit::Ok)
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            Err(ExpectedError::usage(
                format!("{file} is there already, and is left as it is"),
                "name another file, or move it away; `atrest config show` tells what it comes to",
            ))
        }
        Err(error) => Err(ExpectedError::usage(
            format!("cannot write {file}: {error}"),
            "check the folder and the disk",
        )),
    }
}

/// The variables of a process; a value of its own for the tests.
trait Variables {
    fn get(&self, name: &str) -> Option<String>;
}

struct Environment;

impl Variables for Environment {
    fn get(&self, name: &str) -> Option<String> {
        let value = std::env::var_os(name)?;
        let value = value.to_string_lossy().into_owned();
        (!value.is_empty()).then_some(value)
    }
}

fn settings(
    args: &ConfigShowArgs,
    config: &Config,
    environment: &impl Variables,
) -> anyhow::Result<Vec<Setting>> {
    let mut all = Vec::new();
    of_aws(args, environment, &mut all);
    of_fleet(args, config, &mut all)?;
    of_policies(args, config, &mut all)?;
    of_hooks(config, &mut all)?;
    all.push(if args.state.state_dir == Path::new(".atrest") {
        plain("state_dir", Some(".atrest".to_owned()))
    } else {
        given("state_dir", args.state.state_dir.display(), "--state-dir")
    });
    for (key, names) in [
        ("mysql_password", &["ATREST_MYSQL_PASSWORD"][..]),
        ("mysql_password_a", &["ATREST_MYSQL_PASSWORD_A"]),
        ("mysql_password_b", &["ATREST_MYSQL_PASSWORD_B"]),
        // A URL often holds a token.
        ("events_url", &["ATREST_EVENTS_URL"]),
        ("events_secret", &["ATREST_EVENTS_SECRET"]),
    ] {
        all.push(secret(environment, key, names));
    }
    all.push(variable(environment, "log_filter", &["ATREST_LOG"]));
    all.push(variable(environment, "engines_dir", &["ATREST_ENGINES"]));
    Ok(all)
}

/// What the SDK reads from the environment; what else there is stands in the files of AWS, which are not read here.
fn of_aws(args: &ConfigShowArgs, environment: &impl Variables, all: &mut Vec<Setting>) {
    let aws = &args.aws;
    all.push(match &aws.profile {
        Some(profile) => given("aws.profile", profile, "--profile"),
        None => variable(environment, "aws.profile", &["AWS_PROFILE"]),
    });
    all.push(if aws.region.is_empty() {
        variable(
            environment,
            "aws.region",
            &["AWS_REGION", "AWS_DEFAULT_REGION"],
        )
    } else {
        given("aws.region", aws.region.join(","), "--region")
    });
    let mut endpoint = match &aws.endpoint_url {
        Some(url) => given("aws.endpoint_url", url, "--endpoint-url"),
        None => variable(
            environment,
            "aws.endpoint_url",
            &["AWS_ENDPOINT_URL_RDS", "AWS_ENDPOINT_URL"],
        ),
    };
    endpoint.value = endpoint.value.map(|url| without_password(&url));
    all.push(endpoint);
    for (key, name) in [
        ("aws.access_key_id", "AWS_ACCESS_KEY_ID"),
        ("aws.secret_access_key", "AWS_SECRET_ACCESS_KEY"),
        ("aws.session_token", "AWS_SESSION_TOKEN"),
    ] {
        all.push(secret(environment, key, &[name]));
    }
}

fn of_fleet(args: &ConfigShowArgs, config: &Config, all: &mut Vec<Setting>) -> anyhow::Result<()> {
    let fleet = config.fleet()?;
    for key in Table::Fleet.keys() {
        let text = |number: Option<usize>| number.map(|number| number.to_string());
        let percent = |share: Option<f64>| share.map(|share| share.to_string());
        let (option, file, flag) = match key.name {
            "waves" => (
                args.waves.as_ref().map(sizes),
                fleet.waves.as_ref().map(sizes),
                "--waves",
            ),
            "max_failures" => (
                text(args.max_failures),
                text(fleet.max_failures),
                "--max-failures",
            ),
            "max_instances" => (
                text(args.radius.max_instances),
                text(fleet.max_instances),
                "--max-instances",
            ),
            "max_percent" => (
                percent(args.radius.max_percent),
                percent(fleet.max_percent),
                "--max-percent",
            ),
            _ => (None, text(fleet.copies_in_flight), ""),
        };
        let name = format!("fleet.{}", key.name);
        all.push(match (option, file) {
            (Some(value), _) => given(&name, value, flag),
            (None, Some(value)) => in_file(config, &name, value, &["fleet", key.name]),
            (None, None) => plain(&name, Some(key.default.to_owned())),
        });
    }
    Ok(())
}

/// Waves in the words of the option: after the canary come all others.
fn sizes(waves: &Waves) -> String {
    match waves.to_string().as_str() {
        "1,0" => "canary".to_owned(),
        other => other.to_owned(),
    }
}

fn of_policies(
    args: &ConfigShowArgs,
    config: &Config,
    all: &mut Vec<Setting>,
) -> anyhow::Result<()> {
    let custom = args
        .policies
        .as_deref()
        .map(policy::read_custom)
        .transpose()?;
    // An id that nobody knows is an error here as it is in a scan.
    let checked = config.settings(|id| policy::is_known(id, custom.as_ref()))?;
    let written = config.policies()?;
    for policy in registry() {
        let meta = policy.meta();
        let severity = checked.severity(meta.id, meta.severity).as_str();
        for (key, value) in [
            ("severity", severity.to_owned()),
            ("enabled", checked.asks(meta.id).to_string()),
        ] {
            let name = format!("policies.{}.{key}", meta.id);
            let is_written = written
                .iter()
                .any(|(id, known, _)| id == meta.id && known == key);
            all.push(if is_written {
                in_file(config, &name, value, &["policies", meta.id, key])
            } else {
                plain(&name, Some(value))
            });
        }
    }
    // What the built-in policies do not have: lists of keys, and policies of the operator.
    for (id, key, value) in written {
        let name = format!("policies.{id}.{key}");
        if !all.iter().any(|setting| setting.key == name) {
            all.push(in_file(config, &name, value, &["policies", &id, &key]));
        }
    }
    Ok(())
}

fn of_hooks(config: &Config, all: &mut Vec<Setting>) -> anyhow::Result<()> {
    for (hook, number) in config.hooks()?.into_iter().zip(1..) {
        // Arguments may hold what is nobody's business; the plan has them.
        let program = hook.command.first().cloned().unwrap_or_default();
        let more = match hook.command.len().saturating_sub(1) {
            0 => String::new(),
            1 => " and 1 argument".to_owned(),
            more => format!(" and {more} arguments"),
        };
        let value = format!(
            "{}: {program}{more}, {}s",
            hook.at.as_str(),
            hook.timeout_seconds
        );
        all.push(in_file(
            config,
            &format!("hooks.{number}"),
            value,
            &["hooks"],
        ));
    }
    Ok(())
}

/// What nothing sets.
fn plain(key: &str, value: Option<String>) -> Setting {
    Setting {
        key: key.to_owned(),
        value,
        hidden: false,
        from: Origin::Default,
        place: None,
    }
}

fn given(key: &str, value: impl std::fmt::Display, option: &str) -> Setting {
    Setting {
        from: Origin::Option,
        place: Some(option.to_owned()),
        ..plain(key, Some(value.to_string()))
    }
}

fn in_file(config: &Config, key: &str, value: String, path: &[&str]) -> Setting {
    let file = config.file().map(|file| file.display().to_string());
    let place = match (file, config.line(path)) {
        (Some(file), Some(line)) => Some(format!("{file}:{line}")),
        (file, _) => file,
    };
    Setting {
        from: Origin::File,
        place,
        ..plain(key, Some(value))
    }
}

/// The first of these variables that is set.
fn variable(environment: &impl Variables, key: &str, names: &[&str]) -> Setting {
    let found = names
        .iter()
        .find_map(|name| environment.get(name).map(|value| (name, value)));
    match found {
        Some((name, value)) => Setting {
            from: Origin::Environment,
            place: Some((*name).to_owned()),
            ..plain(key, Some(value))
        },
        None => plain(key, None),
    }
}

/// The same of one whose value nobody is shown.
fn secret(environment: &impl Variables, key: &str, names: &[&str]) -> Setting {
    let found = variable(environment, key, names);
    Setting {
        hidden: found.value.is_some(),
        value: None,
        ..found
    }
}

/// A URL may carry user and password before its host.
fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    match authority.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}://***@{host}{path}"),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    struct Set(&'static [(&'static str, &'static str)]);

    impl Variables for Set {
        fn get(&self, name: &str) -> Option<String> {
            let found = self.0.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        }
    }

    fn shown(file: &str, options: &[&str], variables: Set) -> anyhow::Result<Vec<Setting>> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("own.toml");
        std::fs::write(&path, file).unwrap();
        let words = [&["atrest", "config", "show"], options].concat();
        let Command::Config(args) = Cli::try_parse_from(words).unwrap().command else {
            panic!("not config");
        };
        let ConfigCommand::Show(args) = args.command else {
            panic!("not show");
        };
        settings(&args, &Config::load(Some(&path))?, &variables)
    }

    fn find<'a>(all: &'a [Setting], key: &str) -> &'a Setting {
        let found = all.iter().find(|setting| setting.key == key);
        found.unwrap_or_else(|| panic!("{key}: {all:?}"))
    }

    #[test]
    fn each_value_says_where_it_comes_from_and_the_nearest_to_the_user_wins() {
        let file =
            "[fleet]\nwaves = 5\nmax_failures = 2\n\n[policies.key-unusable]\nseverity = \"low\"\n";
        let all = shown(
            file,
            &["--waves", "canary,10", "--region", "eu-west-1"],
            Set(&[("AWS_REGION", "us-east-1"), ("AWS_PROFILE", "night")]),
        )
        .unwrap();
        let of = |key: &str| {
            let setting = find(&all, key);
            let place = setting.place.clone().unwrap_or_default();
            let place = place
                .rsplit_once('/')
                .map_or(place.clone(), |(_, end)| end.to_owned());
            (
                setting.value.clone().unwrap_or_default(),
                setting.from,
                place,
            )
        };
        let is = |value: &str, from, place: &str| (value.to_owned(), from, place.to_owned());
        assert_eq!(of("fleet.waves"), is("1,10", Origin::Option, "--waves"));
        assert_eq!(
            of("fleet.max_failures"),
            is("2", Origin::File, "own.toml:3")
        );
        assert_eq!(of("fleet.max_percent"), is("no limit", Origin::Default, ""));
        assert_eq!(
            of("aws.region"),
            is("eu-west-1", Origin::Option, "--region")
        );
        assert_eq!(
            of("aws.profile"),
            is("night", Origin::Environment, "AWS_PROFILE")
        );
        assert_eq!(
            of("policies.key-unusable.severity"),
            is("low", Origin::File, "own.toml:6")
        );
        assert_eq!(
            of("policies.storage-unencrypted.severity"),
            is("high", Origin::Default, "")
        );
        assert_eq!(
            of("policies.key-not-expected.enabled"),
            is("false", Origin::Default, "")
        );
        for key in Table::Fleet.keys() {
            find(&all, &format!("fleet.{}", key.name));
        }
    }

    #[test]
    fn no_secret_is_shown() {
        let all = shown(
            "[[hooks]]\nat = \"after-run\"\ncommand = [\"curl\", \"hush-1\"]\n",
            &[],
            Set(&[
                ("AWS_ACCESS_KEY_ID", "hush-2"),
                ("AWS_SECRET_ACCESS_KEY", "hush-3"),
                ("AWS_SESSION_TOKEN", "hush-4"),
                ("ATREST_MYSQL_PASSWORD", "hush-5"),
                ("ATREST_MYSQL_PASSWORD_A", "hush-6"),
                ("AWS_ENDPOINT_URL", "http://me:hush-7@host:1/path"),
            ]),
        )
        .unwrap();
        let text = format!("{all:?}");
        assert!(!text.contains("hush"), "{text}");
        assert!(find(&all, "mysql_password").hidden);
        let endpoint = find(&all, "aws.endpoint_url").value.as_deref();
        assert_eq!(endpoint, Some("http://***@host:1/path"));
        let hook = find(&all, "hooks.1").value.as_deref();
        assert_eq!(hook, Some("after-run: curl and 1 argument, 300s"));
    }

    #[test]
    fn a_policy_that_nobody_knows_is_an_error_as_in_a_scan() {
        let wrong = shown("[policies.nope]\nseverity = \"low\"\n", &[], Set(&[]));
        assert!(
            wrong
                .unwrap_err()
                .to_string()
                .contains("there is no policy \"nope\"")
        );
    }
}
