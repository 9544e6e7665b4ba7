use atrest_model::run::{Outcome, RunReport};
use atrest_reports::{RunContext, RunFormat, run_as};

use crate::samples;

fn message(report: &RunReport) -> String {
    let mut out = Vec::new();
    let context = RunContext::default();
    run_as(report, &context, RunFormat::Chat, &super::STYLE, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_message_says_what_needs_somebody_and_what_to_type() {
    assert_eq!(
        message(&samples::run_report()),
        "run sunday: 1 of 4 migrations migrated, 1 stopped, 1 failed validation, 1 need an operator, longest downtime 1h23m\n\
         - eu-central-1/prod-three (27/31 steps): validation found 2 drifts; nothing was renamed, clients are still away\n  \
         do: read validation-eu-central-1-prod-three.json in the run folder, mend the drift, resume the run\n\
         - eu-central-1/prod-two (18/31 steps): stopped before replica:prod-two-replica-1 was done: a signal\n  \
         do: nothing is lost: resume the run\n\
         - eu-central-1/legacy-billing (9/31 steps): needs an operator at encrypted-copy: CopyDBSnapshot: KMSKeyNotAccessibleFault: the key is disabled\n  \
         do: enable the key 7d1b0f0e-5d0c-4a55-8f57-0b6f0d6f9a10, then resume\n\
         left to do: 1 thing (atrest status sunday --format markdown)\n\
         next: atrest fix --resume sunday\n"
    );
    let whole = message(&samples::migrated_run());
    assert_eq!(whole.lines().count(), 2, "{whole}");
    assert!(!whole.contains("next:"), "{whole}");
}

#[test]
fn it_fits_a_message_and_calls_nobody() {
    let mut report = samples::run_report();
    let last = report.migrations.last().unwrap().clone();
    for number in 0..60 {
        let mut one = last.clone();
        one.migration = format!("eu-central-1/<!channel>-{number}");
        one.outcome = Outcome::NeedsOperator {
            step: "restore".to_owned(),
            reason: "@everyone & 'app'@'%' ".repeat(40),
            hint: "line\nline".to_owned(),
        };
        report.migrations.push(one);
    }
    let text = message(&report);
    assert!(text.chars().count() <= 2_000, "{}", text.chars().count());
    assert!(text.contains("\n- and ") && text.ends_with("next: atrest fix --resume sunday\n"));
    let hostile = message(&samples::hostile_run());
    for text in [text, hostile] {
        for mark in ['<', '>', '@', '&', '\u{1b}', '\u{202e}'] {
            assert!(!text.contains(mark), "{mark:?}: {text}");
        }
    }
}
