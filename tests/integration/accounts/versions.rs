//! From one version to another: what both can hold arrives, the rest is said.

use std::collections::BTreeSet;

use atrest_fixer::accounts::{BringOver, OnGrantError, bring_over};
use atrest_model::account::{Accounts, Attribute, RenderRefusal, Scope, Subject, render};

use super::fixtures::{
    ED25519_PLUGIN, EVERYWHERE_LOGINS, Kind, MARIADB118, MARIADB1011, MYSQL56, MYSQL57, MYSQL97,
    SCHEMAS,
};
use super::lab::{Lab, block_on, options, read};

struct Brought {
    lab: Lab,
    old: atrest_sandbox::engine::ServerId,
    new: atrest_sandbox::engine::ServerId,
    theirs: Accounts,
    brought: BringOver,
}

/// Everything the old kind can have, brought to an empty server of the new kind by someone with every privilege.
async fn across(from: &Kind, to: &Kind) -> Option<Brought> {
    let lab = Lab::open(&[from, to]).await?;
    let (old, new) = (lab.server(from, &[]).await, lab.server(to, &[]).await);
    for (server, kind) in [(&old, from), (&new, to)] {
        lab.run(server, SCHEMAS).await;
        if kind.engine == "mariadb" {
            lab.run(server, ED25519_PLUGIN).await;
        }
        lab.unrestrict(server).await;
    }
    lab.run(&old, &from.script()).await;
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
    let report = &brought.report;
    assert!(report.failed.is_empty(), "{:#?}", report.failed);
    assert!(report.refused.is_empty(), "{:#?}", report.refused);
    // The master user differs: each version gives it what it has.
    let mut unexplained = brought.unexplained();
    unexplained
        .changed
        .retain(|(key, _)| key.user().as_bytes() != b"admin");
    let found = (&unexplained.missing, &unexplained.changed);
    assert_eq!(found, (&vec![], &vec![]), "{unexplained:#?}");
    let again = bring_over(
        &mut to,
        &theirs,
        Scope::Sync,
        &options(),
        OnGrantError::Report,
    )
    .await
    .unwrap();
    assert!(
        again.report.applied.is_empty(),
        "{:#?}",
        again.report.applied
    );
    assert!(again.report.failed.is_empty(), "{:#?}", again.report.failed);
    to.close().await;
    Some(Brought {
        lab,
        old,
        new,
        theirs,
        brought,
    })
}

impl Brought {
    /// Users of the accounts that do not arrive at all.
    fn lost_accounts(&self) -> BTreeSet<String> {
        let entries = self.brought.not_transferable.iter();
        entries
            .filter(|entry| entry.subject == Subject::Account)
            .map(|entry| entry.account.as_ref().unwrap().user().to_string())
            .collect()
    }

    fn lost_attributes(&self) -> BTreeSet<(String, Attribute)> {
        let entries = self.brought.not_transferable.iter();
        entries
            .filter_map(|entry| match entry.subject {
                Subject::Attribute { attribute } => {
                    Some((entry.account.as_ref()?.user().to_string(), attribute))
                }
                _ => None,
            })
            .collect()
    }

    async fn passwords_work(&self, kept_out: &[&str]) {
        for (user, password) in EVERYWHERE_LOGINS {
            if kept_out.contains(user) {
                continue;
            }
            let (there, here) = (
                self.lab.outcome(&self.old, user, password).await,
                self.lab.outcome(&self.new, user, password).await,
            );
            assert_eq!((there.as_str(), here.as_str()), ("in", "in"), "{user}");
        }
    }
}

/// Everything but the pre-4.1 password, whose plugin 5.7 took away.
#[test]
fn from_mysql_5_6_to_5_7() {
    block_on(async {
        let Some(brought) = across(&MYSQL56, &MYSQL57).await else {
            return;
        };
        assert_eq!(brought.lost_accounts(), BTreeSet::from(["old".to_owned()]));
        assert_eq!(brought.lost_attributes(), BTreeSet::new());
        brought.passwords_work(&[]).await;
        brought.lab.close().await;
    });
}

/// MySQL 9 has no `mysql_native_password`: those accounts cannot be made, and no hash is turned into another.
#[test]
fn from_mysql_5_7_to_9_7() {
    block_on(async {
        let Some(brought) = across(&MYSQL57, &MYSQL97).await else {
            return;
        };
        let native: BTreeSet<String> = brought
            .theirs
            .accounts
            .iter()
            .filter(|(key, account)| {
                account.authentication[0].plugin == "mysql_native_password"
                    && atrest_model::account::reservation(key, &brought.theirs.server).is_none()
                    && key.user().to_string() != "admin"
            })
            .map(|(key, _)| key.user().to_string())
            .collect();
        assert!(
            native.contains("o'brien") && native.len() > 30,
            "{native:?}"
        );
        assert_eq!(brought.lost_accounts(), native);
        for entry in &brought.brought.not_transferable {
            if entry.subject == Subject::Account {
                assert_eq!(
                    entry.reason,
                    "the new server has no authentication plugin mysql_native_password"
                );
            }
        }
        let ours = read(&mut brought.lab.master(&brought.new).await).await;
        let sha = atrest_model::account::AccountKey::new("sha1", "%");
        assert_eq!(
            ours.accounts[&sha].authentication,
            brought.theirs.accounts[&sha].authentication
        );
        brought.lab.close().await;
    });
}

#[test]
fn from_mariadb_10_11_to_11_8() {
    block_on(async {
        let Some(brought) = across(&MARIADB1011, &MARIADB118).await else {
            return;
        };
        assert_eq!(brought.lost_accounts(), BTreeSet::new());
        assert_eq!(brought.lost_attributes(), BTreeSet::new());
        brought.passwords_work(&[]).await;
        brought.lab.close().await;
    });
}

/// Back again, as a rollback would: 5.6 has no lock and no lifetime.
#[test]
fn from_mysql_5_7_to_5_6() {
    block_on(async {
        let Some(brought) = across(&MYSQL57, &MYSQL56).await else {
            return;
        };
        let too_long = [
            "abcdefghijklmnopqrstuvwxyz012345",
            "u'@'%' WITH GRANT OPTION#",
        ];
        assert_eq!(brought.lost_accounts(), too_long.map(str::to_owned).into());
        let lost = [
            ("all of it", Attribute::PasswordLifetime),
            ("all of it", Attribute::Locked),
            ("days", Attribute::PasswordLifetime),
            ("locked", Attribute::Locked),
            ("never", Attribute::PasswordLifetime),
        ];
        assert_eq!(
            brought.lost_attributes(),
            lost.map(|(user, attribute)| (user.to_owned(), attribute))
                .into()
        );
        brought.passwords_work(&[]).await;
        brought.lab.close().await;
    });
}

/// What only MySQL 8 and later have: roles, dynamic privileges, second passwords, history.
#[test]
fn from_mysql_9_7_to_5_7() {
    block_on(async {
        let Some(brought) = across(&MYSQL97, &MYSQL57).await else {
            return;
        };
        let lost = brought.lost_attributes();
        assert!(
            lost.contains(&("dual sha".to_owned(), Attribute::RetainedCredential)),
            "{lost:?}"
        );
        brought.lab.close().await;
    });
}

#[test]
fn accounts_of_mysql_are_not_written_for_mariadb() {
    block_on(async {
        let lab = Lab::open(&[&MYSQL57, &MARIADB1011]).await.unwrap();
        let (old, new) = (
            lab.server(&MYSQL57, &[]).await,
            lab.server(&MARIADB1011, &[]).await,
        );
        let theirs = read(&mut lab.master(&old).await).await;
        let ours = read(&mut lab.master(&new).await).await;
        let refusal = render(&theirs, &ours, Scope::Missing, &options()).unwrap_err();
        assert!(matches!(refusal, RenderRefusal::Flavor { .. }), "{refusal}");
        lab.close().await;
    });
}
