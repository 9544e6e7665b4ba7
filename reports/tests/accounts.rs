//! Accounts as a person gets them: at 80 columns, in a pipe, and with names that would steer the terminal.
#![expect(clippy::unwrap_used, reason = "a helper of a test may panic")]

use std::collections::BTreeMap;

use atrest_model::Tool;
use atrest_model::account::{
    Account, AccountChange, AccountKey, Accounts, Attribute, Authentication, Credential,
    DiffWarning, Level, Name, NotTransferable, PrivilegeSet, Scope, ServerVersion,
    SettingDifference, Settings, Side, StatementStep, Subject,
};
use atrest_reports::{
    AccountDifferences, AccountServer, AccountStatement, AccountsCloneReport, AccountsDiffReport,
    AccountsExport, AccountsFormat, AccountsNotCompared, ChangedAccount, CloneOutcome,
    ConfigurationDifference, RefusedStatement, Style, accounts_clone, accounts_diff,
    accounts_export,
};

#[path = "formats/closed.rs"]
mod closed;

const TERMINAL: Style = Style {
    width: Some(80),
    color: false,
    unicode: true,
};

const HOSTILE: &str = "evil\u{1b}[2J\u{202e}\n'@'%";

fn key(user: &str, host: &str) -> AccountKey {
    AccountKey::new(user, host)
}

fn server(name: &str) -> AccountServer {
    AccountServer {
        name: name.to_owned(),
        endpoint: format!("{name}.cabcdefghijk.eu-central-1.rds.amazonaws.com:3306"),
        server: "8.0.36".parse::<ServerVersion>().unwrap(),
        read_as: key("admin", "%"),
        read_only: false,
    }
}

fn tool() -> Tool {
    Tool {
        name: "atrest".to_owned(),
        version: "0.0.0".to_owned(),
    }
}

fn differences(user: &str) -> AccountDifferences {
    let privileges = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    AccountDifferences {
        settings: vec![SettingDifference {
            setting: "mandatory_roles".to_owned(),
            old: Some("'auditor'@'%'".to_owned()),
            new: None,
        }],
        missing: vec![key(user, "10.0.%"), key("reporting", "%")],
        extra: vec![key("later", "%")],
        changed: vec![ChangedAccount {
            account: key(user, "%"),
            changes: vec![
                AccountChange::Attribute {
                    attribute: Attribute::Credential,
                    old: "1a2b3c4d".to_owned(),
                    new: "5e6f7a8b".to_owned(),
                },
                AccountChange::Privileges {
                    on: Level::Database {
                        database: Name::from(user),
                    },
                    missing: privileges(&["SELECT", "INSERT", "UPDATE", "CREATE TEMPORARY TABLES"]),
                    extra: privileges(&["DELETE"]),
                },
            ],
        }],
        configuration: vec![ConfigurationDifference {
            name: "binlog retention hours".to_owned(),
            old: Some("168".to_owned()),
            new: None,
        }],
    }
}

fn diff(user: &str) -> String {
    let mut out = Vec::new();
    accounts_diff(
        &diff_report(user),
        AccountsFormat::Text,
        &TERMINAL,
        &mut out,
    )
    .unwrap();
    String::from_utf8(out).unwrap()
}

fn diff_report(user: &str) -> AccountsDiffReport {
    AccountsDiffReport {
        schema_version: 1,
        tool: tool(),
        created: "2026-11-24T08:30:00Z".to_owned(),
        old: server("old-prod-one"),
        new: server("prod-one"),
        compared: 17,
        differences: differences(user),
        reserved: vec![key("rdsadmin", "localhost"), key("mysql.sys", "localhost")],
        orphans: Vec::new(),
        not_compared: vec![AccountsNotCompared {
            side: Some(Side::New),
            part: "table grants".to_owned(),
            account: Some(key(user, "%")),
            failed: true,
            reason: "SELECT command denied to user for table 'tables_priv' (1142)".to_owned(),
        }],
        warnings: vec![DiffWarning::Anonymous {
            side: Side::Old,
            account: key("", "localhost"),
        }],
    }
}

fn clone_report(user: &str, outcome: Option<CloneOutcome>) -> AccountsCloneReport {
    let statement = |step, statement: String| AccountStatement {
        step,
        account: key(user, "%"),
        statement,
    };
    AccountsCloneReport {
        schema_version: 1,
        tool: tool(),
        created: "2026-11-24T08:30:00Z".to_owned(),
        old: server("old-prod-one"),
        new: server("prod-one"),
        scope: Scope::Missing,
        statements: vec![
            statement(
                StatementStep::CreateAccount,
                format!(
                    "CREATE USER '{user}'@'%' IDENTIFIED WITH 'caching_sha2_password' AS <credential 1a2b3c4d> REQUIRE SSL"
                ),
            ),
            statement(
                StatementStep::Grant,
                format!("GRANT SELECT ON `{user}`.* TO '{user}'@'%'"),
            ),
            statement(
                StatementStep::Revoke,
                format!("REVOKE DELETE ON `shop`.* FROM '{user}'@'%'"),
            ),
        ],
        configuration: differences(user).configuration,
        not_transferable: vec![NotTransferable {
            account: Some(key(user, "%")),
            subject: Subject::Unseen {
                what: "age of the password".to_owned(),
            },
            what: "age of the password".to_owned(),
            reason: "no statement sets it; the interval starts again".to_owned(),
        }],
        reserved: vec![key("rdsadmin", "localhost")],
        notes: vec![format!(
            "{user} is named like an account of RDS and is left alone"
        )],
        is_whole: true,
        left: AccountDifferences {
            extra: vec![key("later", "%")],
            ..AccountDifferences::default()
        },
        outcome,
    }
}

fn outcome(user: &str) -> CloneOutcome {
    CloneOutcome {
        applied: vec!["CREATE USER".to_owned()],
        refused: vec![RefusedStatement {
            account: key(user, "%"),
            statement: format!("GRANT SELECT ON `{user}`.t TO 'x'@'%'"),
            message: format!("db:3306: Table '{user}.t' doesn't exist (1146, SQLSTATE 42S02)"),
            hint: Some("the table of this grant does not exist here".to_owned()),
        }],
        warnings: vec![format!("odd name (1300): {user}")],
        dropped: vec![key(user, "%")],
        skipped: vec![format!("GRANT PROCESS ON *.* TO '{user}'@'%'")],
        configured: vec!["binlog retention hours".to_owned()],
        verified: true,
        remaining: AccountDifferences {
            missing: vec![key(user, "%")],
            ..AccountDifferences::default()
        },
    }
}

fn clone(user: &str, outcome: Option<CloneOutcome>) -> String {
    let mut out = Vec::new();
    let report = clone_report(user, outcome);
    accounts_clone(&report, AccountsFormat::Text, &TERMINAL, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn export(user: &str) -> AccountsExport {
    let mut account = Account {
        authentication: vec![Authentication {
            plugin: "caching_sha2_password".to_owned(),
            credential: Credential::new(b"$A$005$secret-hash".to_vec()),
        }],
        locked: true,
        ..Account::default()
    };
    account.grants.global = PrivilegeSet::named("PROCESS").unwrap();
    account.grants.databases.insert(
        Name::from(user),
        PrivilegeSet::named("SELECT")
            .unwrap()
            .union(PrivilegeSet::GRANT_OPTION),
    );
    account.grants.roles.insert(key("auditor", "%"), true);
    account.default_roles.insert(key("auditor", "%"));
    account.password.expired = true;
    account.limits.user_connections = 3;
    let rdsadmin = key("rdsadmin", "localhost");
    AccountsExport {
        schema_version: 1,
        tool: tool(),
        created: "2026-11-24T08:30:00Z".to_owned(),
        server: server("prod-one"),
        reserved: vec![rdsadmin.clone()],
        accounts: Accounts {
            server: "8.0.36".parse().unwrap(),
            read_as: key("admin", "%"),
            settings: Settings {
                lower_case_table_names: 0,
                partial_revokes: Some(false),
                mandatory_roles: Some(String::new()),
                activate_all_roles_on_login: Some(false),
                read_only: false,
            },
            grantable: PrivilegeSet::EMPTY,
            accounts: [(key(user, "%"), account), (rdsadmin, Account::default())].into(),
            orphans: Vec::new(),
            unread: Vec::new(),
        },
        configuration: Some(BTreeMap::from([(
            "binlog retention hours".to_owned(),
            None,
        )])),
        not_read: Vec::new(),
    }
}

fn exported(user: &str) -> String {
    let mut out = Vec::new();
    accounts_export(&export(user), &TERMINAL, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn accounts_read_well_at_80_columns() {
    insta::assert_snapshot!("accounts-diff-80", diff("app"));
    insta::assert_snapshot!("accounts-clone-80", clone("app", None));
    insta::assert_snapshot!("accounts-cloned-80", clone("app", Some(outcome("app"))));
    insta::assert_snapshot!("accounts-export-80", exported("app"));
    for text in [
        diff("app"),
        clone("app", None),
        clone("app", Some(outcome("app"))),
        exported("app"),
    ] {
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(80), "{text}");
    }
}

#[test]
fn a_name_that_steers_terminals_is_made_visible() {
    for text in [
        diff(HOSTILE),
        clone(HOSTILE, Some(outcome(HOSTILE))),
        exported(HOSTILE),
    ] {
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{9b}']), "{text:?}");
        assert!(text.contains("evil"), "{text}");
        // A line end in a name does not begin a line of its own.
        assert!(!text.lines().any(|line| line.starts_with("'@'%")), "{text}");
    }
}

#[test]
fn documents_hold_no_hash() {
    let json = serde_json::to_string(&export("app")).unwrap();
    assert!(!json.contains("secret-hash"), "{json}");
    let mut out = Vec::new();
    let report = clone_report("app", Some(outcome("app")));
    accounts_clone(&report, AccountsFormat::Json, &TERMINAL, &mut out).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(json["schema_version"], 1);
    assert_eq!(json["statements"][0]["account"]["user"], "app");
    assert_eq!(json["outcome"]["remaining"]["missing"][0]["host"], "%");
}

#[test]
fn every_document_is_valid_against_its_schema() {
    let valid = |name: &str, document: serde_json::Value| {
        let schema = jsonschema::options()
            .should_validate_formats(true)
            .build(&closed::schema(name))
            .unwrap();
        let errors: Vec<String> = schema
            .iter_errors(&document)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
        schema
    };
    let value = |document: &dyn Fn() -> serde_json::Result<serde_json::Value>| document().unwrap();
    for user in ["app", HOSTILE] {
        let exported = value(&|| serde_json::to_value(export(user)));
        let schema = valid("accounts-export", exported.clone());
        let mut bad = exported;
        bad["accounts"]["accounts"][0][1]["authentication"][0]["credential"] =
            "$A$005$secret-hash".into();
        assert!(!schema.is_valid(&bad), "a hash is no fingerprint");
        let schema = valid(
            "accounts-diff",
            value(&|| serde_json::to_value(diff_report(user))),
        );
        let mut bad = value(&|| serde_json::to_value(diff_report(user)));
        bad["old"]["server"]["flavor"] = "oracle".into();
        assert!(!schema.is_valid(&bad));
        for outcome in [None, Some(outcome(user))] {
            let cloned = value(&|| serde_json::to_value(clone_report(user, outcome.clone())));
            let schema = valid("accounts-clone", cloned.clone());
            let mut bad = cloned;
            bad["statements"][0]["step"] = "drop-everything".into();
            assert!(!schema.is_valid(&bad));
        }
    }
}
