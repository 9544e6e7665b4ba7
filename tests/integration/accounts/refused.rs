//! One refused privilege does not take the others of its statement with it.

use std::collections::BTreeSet;

use atrest_fixer::accounts::{ApplyReport, OnGrantError, apply, bring_over};
use atrest_model::account::{
    AccountKey, Accounts, Level, NotTransferable, PrivilegeSet, Scope, Subject, diff, render,
};
use atrest_sandbox::engine::ServerId;
use atrest_scanner::mysql::Connection;

use super::fixtures::{Kind, MARIADB1011, MYSQL57, MYSQL97, SCHEMAS};
use super::lab::{Lab, block_on, options, read};

/// Two servers with the same schemas; the first has the accounts of a script.
async fn pair(lab: &Lab, kind: &Kind, script: &str) -> (ServerId, ServerId) {
    let (old, new) = (lab.server(kind, &[]).await, lab.server(kind, &[]).await);
    for server in [&old, &new] {
        lab.run(server, SCHEMAS).await;
    }
    lab.run(&old, script).await;
    (old, new)
}

/// Without foreknowledge: as if nothing were known of what the login may grant.
async fn apply_blindly(
    to: &mut Connection,
    theirs: &Accounts,
    on_error: OnGrantError,
) -> ApplyReport {
    let mut ours = read(to).await;
    ours.read_as = AccountKey::new("nobody known", "%");
    let rendering = render(theirs, &ours, Scope::Missing, &options()).unwrap();
    assert_eq!(rendering.not_transferable, []);
    apply(to, &rendering.statements, on_error).await.unwrap()
}

fn privileges(entries: &[NotTransferable]) -> BTreeSet<String> {
    entries
        .iter()
        .map(|entry| match &entry.subject {
            Subject::Privilege { on, privilege } => format!(
                "{} {privilege} {on}",
                entry.account.as_ref().unwrap().user()
            ),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn set(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|&item| item.to_owned()).collect()
}

const MARIADB: &str = r"
CREATE USER owner@'%' IDENTIFIED BY 'pw'; GRANT ALL PRIVILEGES ON shop.* TO owner@'%' WITH GRANT OPTION;
CREATE USER ops@'%' IDENTIFIED BY 'pw'; GRANT SELECT, SUPER, PROCESS, FILE ON *.* TO ops@'%';
GRANT SELECT, DELETE HISTORY, INSERT ON shop.t TO ops@'%' WITH GRANT OPTION; GRANT PROXY ON owner@'%' TO ops@'%' WITH GRANT OPTION;
";

/// Proxies go into the tables, since the administrator of the test has no right to grant them.
const PROXY: &str = "GRANT PROXY ON owner@'%' TO ops@'%' WITH GRANT OPTION;";

#[test]
fn on_mariadb_a_master_user_gives_all_but_delete_history() {
    block_on(async {
        let lab = Lab::open(&[&MARIADB1011]).await.unwrap();
        let script = MARIADB.replace(PROXY, "");
        let (old, new) = pair(&lab, &MARIADB1011, &script).await;
        let theirs = read(&mut lab.master(&old).await).await;
        let mut to = lab.master(&new).await;
        let report = apply_blindly(&mut to, &theirs, OnGrantError::Report).await;
        assert_eq!(report.failed, []);
        let lost = set(&[
            "owner DELETE HISTORY `shop`.*",
            "ops SUPER *.*",
            "ops FILE *.*",
            "ops DELETE HISTORY `shop`.`t`",
        ]);
        assert_eq!(privileges(&report.refused), lost);
        let remaining = diff(&theirs, &read(&mut to).await, &options());
        let unexplained = remaining.unexplained(&report.refused);
        assert!(
            !remaining.is_empty() && unexplained.is_empty(),
            "{unexplained:#?}"
        );

        // Known before, it is the same set, and the server refuses nothing.
        let (_, third) = pair(&lab, &MARIADB1011, "").await;
        let mut to = lab.master(&third).await;
        let brought = bring_over(
            &mut to,
            &theirs,
            Scope::Missing,
            &options(),
            OnGrantError::Report,
        )
        .await
        .unwrap();
        assert_eq!(privileges(&brought.not_transferable), lost);
        assert_eq!(
            (brought.report.refused.len(), brought.report.failed.len()),
            (0, 0)
        );
        assert!(brought.unexplained().is_empty());
        lab.close().await;
    });
}

const MYSQL: &str = r"
CREATE USER owner@'%' IDENTIFIED BY 'pw'; GRANT ALL PRIVILEGES ON shop.* TO owner@'%' WITH GRANT OPTION;
CREATE USER ops@'%' IDENTIFIED BY 'pw'; GRANT SELECT, SUPER, PROCESS, FILE ON *.* TO ops@'%' WITH GRANT OPTION;
GRANT XA_RECOVER_ADMIN, BACKUP_ADMIN, ROLE_ADMIN ON *.* TO ops@'%'; GRANT SHOW_ROUTINE, CONNECTION_ADMIN ON *.* TO ops@'%' WITH GRANT OPTION;
CREATE USER protected@'%' IDENTIFIED BY 'pw'; GRANT SYSTEM_USER ON *.* TO protected@'%'; GRANT SELECT ON shop.* TO protected@'%';
";

#[test]
fn on_mysql_a_master_user_gives_the_dynamic_privileges_it_has() {
    block_on(async {
        let Some(lab) = Lab::open(&[&MYSQL97]).await else {
            return;
        };
        let (old, new) = pair(&lab, &MYSQL97, MYSQL).await;
        let theirs = read(&mut lab.master(&old).await).await;
        let mut to = lab.master(&new).await;
        let report = apply_blindly(&mut to, &theirs, OnGrantError::Report).await;
        assert_eq!(report.failed, []);
        // A stock server takes the grant of any dynamic privilege from whoever has the static grant option.
        // SYSTEM_USER comes last: the account would be closed to this login afterwards.
        let refused = set(&["ops SUPER *.*", "ops FILE *.*"]);
        assert_eq!(privileges(&report.refused), refused);
        let ours = read(&mut to).await;
        let unexplained = diff(&theirs, &ours, &options()).unexplained(&report.refused);
        assert!(unexplained.is_empty(), "{unexplained:#?}");
        assert!(
            ours.accounts[&AccountKey::new("ops", "%")]
                .grants
                .global
                .contains(PrivilegeSet::GRANT_OPTION)
        );
        let again = bring_over(
            &mut to,
            &theirs,
            Scope::Missing,
            &options(),
            OnGrantError::Report,
        )
        .await
        .unwrap();
        assert_eq!(again.report, ApplyReport::default());
        assert_eq!(privileges(&again.not_transferable), refused);

        // RDS takes the grant of those only that its master user has.
        let (_, third) = pair(&lab, &MYSQL97, "").await;
        let mut to = lab.master(&third).await;
        let brought = bring_over(
            &mut to,
            &theirs,
            Scope::Missing,
            &options(),
            OnGrantError::Report,
        )
        .await
        .unwrap();
        assert_eq!(
            (brought.report.refused.len(), brought.report.failed.len()),
            (0, 0)
        );
        let lost = set(&[
            "ops SUPER *.*",
            "ops FILE *.*",
            "ops BACKUP_ADMIN *.*",
            "ops CONNECTION_ADMIN WITH GRANT OPTION *.*",
            "protected SYSTEM_USER *.*",
        ]);
        assert_eq!(privileges(&brought.not_transferable), lost);
        assert!(brought.unexplained().is_empty());
        lab.close().await;
    });
}

#[test]
fn abort_stops_at_the_first_refusal_and_drop_account_takes_the_account_back() {
    block_on(async {
        let lab = Lab::open(&[&MYSQL57]).await.unwrap();
        let script = "CREATE USER ops@'%' IDENTIFIED BY 'pw'; GRANT SELECT, SUPER ON *.* TO ops@'%'; GRANT SELECT ON shop.* TO ops@'%';
            CREATE USER zz@'%' IDENTIFIED BY 'pw'; GRANT SELECT ON shop.* TO zz@'%';";
        let (old, new) = pair(&lab, &MYSQL57, script).await;
        let theirs = read(&mut lab.master(&old).await).await;
        let mut to = lab.master(&new).await;
        let report = apply_blindly(&mut to, &theirs, OnGrantError::DropAccount).await;
        assert_eq!(report.dropped, [AccountKey::new("ops", "%")]);
        assert_eq!(
            (report.failed.len(), report.skipped.len()),
            (1, 1),
            "{report:?}"
        );
        let ours = read(&mut to).await;
        assert!(ours.accounts.contains_key(&AccountKey::new("zz", "%")));
        assert!(!ours.accounts.contains_key(&AccountKey::new("ops", "%")));

        let mut unknown = ours.clone();
        unknown.read_as = AccountKey::new("nobody known", "%");
        let rendering = render(&theirs, &unknown, Scope::Missing, &options()).unwrap();
        let error = apply(&mut to, &rendering.statements, OnGrantError::Abort)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("ops"), "{error}");
        lab.close().await;
    });
}

/// A column that is gone takes a whole `GRANT` with it (1054).
#[test]
fn a_dropped_column_or_routine_costs_its_own_grant_only() {
    block_on(async {
        for kind in [&MYSQL57, &MARIADB1011] {
            let lab = Lab::open(&[kind]).await.unwrap();
            let script = "CREATE USER app@'%' IDENTIFIED BY 'pw'; GRANT SELECT (id, secret), UPDATE (secret), INSERT ON shop.t TO app@'%';
                GRANT EXECUTE ON PROCEDURE shop.p TO app@'%'; GRANT EXECUTE ON FUNCTION shop.p TO app@'%';";
            let (old, new) = pair(&lab, kind, script).await;
            lab.run(
                &new,
                "ALTER TABLE shop.t DROP COLUMN secret; DROP FUNCTION shop.p;",
            )
            .await;
            let theirs = read(&mut lab.master(&old).await).await;
            let mut to = lab.master(&new).await;
            let brought = bring_over(
                &mut to,
                &theirs,
                Scope::Missing,
                &options(),
                OnGrantError::Report,
            )
            .await
            .unwrap();
            assert_eq!(
                (brought.report.refused.len(), brought.report.failed.len()),
                (0, 0)
            );
            let lost = set(&[
                "app SELECT `shop`.`t` (`secret`)",
                "app UPDATE `shop`.`t` (`secret`)",
                "app EXECUTE function `shop`.`p`",
            ]);
            assert_eq!(privileges(&brought.not_transferable), lost, "{}", kind.name);
            assert!(brought.unexplained().is_empty());

            // And when nobody looks first, the server's refusal is met the same way for the columns.
            let (_, third) = pair(&lab, kind, "ALTER TABLE shop.t DROP COLUMN secret;").await;
            lab.run(&third, "ALTER TABLE shop.t DROP COLUMN secret;")
                .await;
            let mut to = lab.master(&third).await;
            let report = apply_blindly(&mut to, &theirs, OnGrantError::Report).await;
            assert_eq!(report.failed, []);
            assert_eq!(report.refused.len(), 2, "{:#?}", report.refused);
            lab.close().await;
        }
    });
}

/// On MariaDB a role is handed on by its administrators only, and those are not the master user when someone else
/// made the role.
#[test]
fn a_role_made_by_someone_else_on_mariadb_is_reported() {
    block_on(async {
        let lab = Lab::open(&[&MARIADB1011]).await.unwrap();
        let script = "CREATE ROLE reader; GRANT SELECT ON shop.* TO reader; CREATE USER app@'%' IDENTIFIED BY 'pw'; GRANT reader TO app@'%';";
        let (old, new) = pair(&lab, &MARIADB1011, script).await;
        lab.run(
            &new,
            "CREATE ROLE reader; GRANT SELECT ON shop.* TO reader;",
        )
        .await;
        let theirs = read(&mut lab.master(&old).await).await;
        let mut to = lab.master(&new).await;
        let report = apply_blindly(&mut to, &theirs, OnGrantError::Report).await;
        assert_eq!(report.failed, []);
        let lost = set(&["app MEMBERSHIP role 'reader'@''"]);
        assert_eq!(privileges(&report.refused), lost);
        let brought = bring_over(
            &mut to,
            &theirs,
            Scope::Missing,
            &options(),
            OnGrantError::Report,
        )
        .await
        .unwrap();
        assert_eq!(brought.report, ApplyReport::default());
        assert_eq!(privileges(&brought.not_transferable), lost);
        assert!(brought.not_transferable.iter().all(|entry| matches!(
            &entry.subject,
            Subject::Privilege {
                on: Level::Role { .. },
                ..
            }
        )));
        lab.close().await;
    });
}
