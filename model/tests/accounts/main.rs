//! Properties of the account model: whatever the names and the order, statements say what is meant and nothing else.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed, helpers included"
)]

mod generate;
mod server;
mod sql;

use std::collections::BTreeSet;

use atrest_model::account::{
    AccountChange, Accounts, AccountsDiff, DiffOptions, Scope, Statement, Subject, diff,
    quote_identifier, quote_literal, render,
};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use sql::{Token, tokens};

const VERSIONS: [&str; 4] = ["5.6.51", "5.7.44", "9.7.4", "10.11.9-MariaDB"];

fn config(cases: u32) -> Config {
    Config {
        cases,
        rng_seed: RngSeed::Fixed(20_261_124),
        failure_persistence: None,
        ..Config::default()
    }
}

fn pair() -> BoxedStrategy<(Accounts, Accounts)> {
    proptest::sample::select(VERSIONS.to_vec())
        .prop_flat_map(|version| (generate::accounts(version), generate::accounts(version)))
        .boxed()
}

fn statements(old: &Accounts, new: &Accounts, scope: Scope) -> Vec<Statement> {
    let rendering = render(old, new, scope, &DiffOptions::default()).unwrap();
    for entry in &rendering.not_transferable {
        // 5.6 cannot change a plugin; a name may be too long.
        let explained = match &entry.subject {
            Subject::Unseen { .. } | Subject::Account => true,
            Subject::Attribute { .. } => !old.server.is_mysql_from(5, 7, 0),
            Subject::Privilege { .. } => false,
        };
        assert!(explained, "{entry:?}");
    }
    rendering.statements
}

/// What differs and is nowhere said to stay so.
fn unexplained(old: &Accounts, new: &Accounts) -> AccountsDiff {
    let options = DiffOptions::default();
    let left = render(old, new, Scope::SyncAndDrop, &options).unwrap();
    diff(old, new, &options).unexplained(&left.not_transferable)
}

fn run_all(server: &mut Accounts, statements: &[Statement]) {
    for statement in statements {
        server::run(server, statement.expose());
    }
}

proptest! {
    #![proptest_config(config(256))]

    #[test]
    fn no_bytes_escape_from_a_literal_or_an_identifier(bytes in proptest::collection::vec(any::<u8>(), 0..24), nasty in generate::name()) {
        for bytes in [bytes.as_slice(), nasty.as_bytes()] {
            let mut text = quote_literal(bytes);
            text.extend_from_slice(b", ");
            text.extend(quote_identifier(bytes));
            text.extend_from_slice(b" END");
            prop_assert_eq!(tokens(&text), [
                Token::Text(bytes.to_vec()),
                Token::Sign(b','),
                Token::Name(bytes.to_vec()),
                Token::Word("END".to_owned()),
            ]);
        }
    }

    #[test]
    fn what_is_equal_has_no_difference_and_no_statement((accounts, _) in pair()) {
        prop_assert!(diff(&accounts, &accounts, &DiffOptions::default()).is_empty());
        prop_assert_eq!(statements(&accounts, &accounts.clone(), Scope::SyncAndDrop), []);
    }

    #[test]
    fn a_difference_seen_from_the_other_side_is_the_same_difference((old, new) in pair()) {
        let options = DiffOptions::default();
        let (there, back) = (diff(&old, &new, &options), diff(&new, &old, &options));
        prop_assert_eq!(&there.missing, &back.extra);
        prop_assert_eq!(&there.extra, &back.missing);
        let turned: Vec<_> = back.changed.into_iter().map(|(key, changes)| {
            let changes: Vec<_> = changes.into_iter().map(|change| match change {
                AccountChange::Attribute { attribute, old, new } => AccountChange::Attribute { attribute, old: new, new: old },
                AccountChange::Privileges { on, missing, extra } => AccountChange::Privileges { on, missing: extra, extra: missing },
            }).collect();
            (key, changes)
        }).collect();
        prop_assert_eq!(there.changed, turned);
    }

    #[test]
    fn statements_run_on_a_server_leave_no_difference((old, new) in pair()) {
        let mut server = new.clone();
        run_all(&mut server, &statements(&old, &new, Scope::SyncAndDrop));
        let left = unexplained(&old, &server);
        prop_assert!(left.is_empty(), "{:#?}", left);
        prop_assert_eq!(statements(&old, &server, Scope::SyncAndDrop), []);
    }

    #[test]
    fn adding_what_is_missing_takes_nothing_away((old, new) in pair()) {
        let mut server = new.clone();
        run_all(&mut server, &statements(&old, &new, Scope::Missing));
        let left = diff(&old, &server, &DiffOptions::default());
        for (key, changes) in &left.changed {
            for change in changes {
                if let AccountChange::Privileges { missing, .. } = change {
                    prop_assert!(missing.is_empty(), "{}: {}", key, change);
                }
            }
        }
        for (key, before) in &new.accounts {
            let after = &server.accounts[key];
            prop_assert_eq!(&before.authentication, &after.authentication);
            prop_assert_eq!(&before.tls, &after.tls);
            prop_assert!(after.grants.global.contains(before.grants.global));
        }
    }

    #[test]
    fn within_a_step_the_accounts_may_come_in_any_order((old, new) in pair()) {
        let all = statements(&old, &new, Scope::SyncAndDrop);
        let mut forward = new.clone();
        run_all(&mut forward, &all);
        let mut other = all.clone();
        other.sort_by(|a, b| (a.step(), b.account()).cmp(&(b.step(), a.account())));
        let mut backward = new.clone();
        run_all(&mut backward, &other);
        prop_assert_eq!(forward.accounts, backward.accounts);
    }

    #[test]
    fn a_divided_grant_gives_what_the_whole_gives((old, new) in pair()) {
        let mut whole = new.clone();
        let mut parts = new.clone();
        for statement in statements(&old, &new, Scope::SyncAndDrop) {
            server::run(&mut whole, statement.expose());
            let divided = statement.divided();
            let given: BTreeSet<_> = divided.iter().flat_map(Statement::gives).collect();
            if divided.is_empty() {
                server::run(&mut parts, statement.expose());
            } else {
                prop_assert_eq!(given, statement.gives().into_iter().collect());
                run_all(&mut parts, &divided);
            }
        }
        prop_assert_eq!(whole.accounts, parts.accounts);
    }

    #[test]
    fn no_output_shows_a_credential((old, _) in pair()) {
        let empty = generate::server_with(old.server, Default::default());
        for statement in statements(&old, &empty, Scope::Missing) {
            for output in [statement.masked().to_owned(), format!("{statement:?}"), serde_json::to_string(&statement).unwrap()] {
                for account in old.accounts.values() {
                    for method in &account.authentication {
                        let secret = method.credential.expose();
                        let hex: String = secret.iter().map(|byte| format!("{byte:02X}")).collect();
                        let raw = output.as_bytes().windows(secret.len()).any(|part| part == secret);
                        let shown = secret.len() >= 6 && (raw || output.to_uppercase().contains(&hex));
                        prop_assert!(!shown, "{}", output);
                    }
                }
            }
        }
        prop_assert!(generate::users(&old).len() <= old.accounts.len());
    }
}
