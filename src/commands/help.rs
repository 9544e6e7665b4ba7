//! `atrest help`: verbs as clap knows them, and pages of the documentation.

use std::fmt::Write as _;

use clap::CommandFactory as _;

use super::common;
use crate::cli::Cli;
use crate::config::keys::nearest;
use crate::exit::{Exit, ExpectedError};
use crate::terminal;

macro_rules! topics {
    ($($topic:literal: $what:literal),+ $(,)?) => {
        &[$(($topic, $what, include_str!(concat!("../../docs/", $topic, ".md")))),+]
    };
}

/// Topic, what it is about, its page. None is called as a verb is.
const TOPICS: &[(&str, &str, &str)] = topics![
    "tutorial": "from zero to a migrated fleet, on the sandbox",
    "runbook": "the page for who is on call: each stop, and what to do",
    "exit-codes": "what each exit code means",
    "fine-print": "what atrest cannot know",
    "cutover": "nobody connected, nothing written; who depends on a source",
    "custom-policies": "policies of your own",
    "evidence": "the evidence pack for an auditor",
    "formats": "every format of every report",
    "hooks": "your commands around a migration",
    "iam": "the IAM policy of each verb",
    "nightly": "timers and pipelines for the audit",
    "offline": "an audit without AWS",
    "operations": "metrics, signed events, chat messages, manual pages",
    "preflight": "what a plan has checked",
    "replica-method": "minutes of downtime for MySQL and MariaDB",
    "shards": "a scan in many processes",
    "shared-state": "several operators and machines",
    "waivers": "violations that somebody accepted",
];

pub(crate) fn run(words: &[String]) -> anyhow::Result<Exit> {
    let text = match words {
        [topic] if topic == "topics" => list(),
        [topic] => match page(topic) {
            Some(page) => page.to_owned(),
            None => of_verb(words)?,
        },
        _ => of_verb(words)?,
    };
    common::deliver(None, text.as_bytes())?;
    Ok(Exit::Ok)
}

fn page(topic: &str) -> Option<&'static str> {
    let found = TOPICS.iter().find(|(known, _, _)| *known == topic);
    found.map(|(_, _, page)| *page)
}

fn list() -> String {
    let width = TOPICS.iter().map(|(topic, _, _)| topic.len()).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    for (topic, what, _) in TOPICS {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{topic:width$}  {what}");
    }
    text
}

/// The long help of a verb, with its parents' names in the usage.
fn of_verb(words: &[String]) -> anyhow::Result<String> {
    let mut command = Cli::command();
    command.build();
    let mut found = &mut command;
    for word in words {
        let known: Vec<String> = found
            .get_subcommands()
            .filter(|verb| !verb.is_hide_set())
            .map(|verb| verb.get_name().to_owned())
            .collect();
        let Some(next) = found.find_subcommand_mut(word) else {
            let topics = TOPICS.iter().map(|(topic, _, _)| *topic);
            let known = known.iter().map(String::as_str).chain(topics);
            return Err(ExpectedError::usage(
                format!("there is no verb and no topic {word:?}"),
                match nearest(word, known) {
                    Some(near) => {
                        format!("did you mean {near}? `atrest help topics` lists the topics")
                    }
                    None => "`atrest --help` lists the verbs, `atrest help topics` the topics"
                        .to_owned(),
                },
            ));
        };
        found = next;
    }
    let help = found.render_long_help();
    Ok(if terminal::stdout_color() {
        help.ansi().to_string()
    } else {
        help.to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_topic_hides_a_verb_and_each_has_a_page() {
        let command = Cli::command();
        for (topic, _, page) in TOPICS {
            assert!(command.find_subcommand(topic).is_none(), "{topic}");
            assert!(page.starts_with("# "), "{topic}");
        }
    }

    #[test]
    fn below_the_heading_of_aws_stands_only_the_way_to_aws() {
        fn look(command: &clap::Command, seen: &mut usize) {
            for arg in command.get_arguments() {
                if arg.get_help_heading() == Some("AWS") {
                    let known = [
                        "profile",
                        "region",
                        "all_regions",
                        "endpoint_url",
                        "allow_plain_http",
                    ];
                    let id = arg.get_id().as_str();
                    // clap gives the heading of a group of options to all that follow it.
                    assert!(known.contains(&id), "{id} of {}", command.get_name());
                    *seen += 1;
                }
            }
            command.get_subcommands().for_each(|verb| look(verb, seen));
        }
        let mut seen = 0;
        look(&Cli::command(), &mut seen);
        assert!(seen > 20, "{seen}");
    }

    #[test]
    fn a_verb_within_a_verb_is_found_and_a_typo_suggests() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let help = of_verb(&words("accounts diff")).unwrap();
        assert!(help.contains("Usage: atrest accounts diff"), "{help}");
        let typo = of_verb(&words("exit-code")).unwrap_err();
        let typo = typo.downcast_ref::<ExpectedError>().unwrap();
        assert!(
            typo.hint.contains("did you mean exit-codes?"),
            "{}",
            typo.hint
        );
    }
}
