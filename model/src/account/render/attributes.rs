//! Accounts themselves: `CREATE USER`, `ALTER USER`, and what MySQL 5.6 has in their place.

use serde_json::Value;

use super::super::diff::{AccountChange, Attribute, attribute_changes};
use super::super::name::AccountKey;
use super::super::server::ServerVersion;
use super::super::sql::{StatementStep, Writer};
use super::super::types::{Account, Authentication, LockTime, PasswordLifetime, TlsRequirement};
use super::{IS_LOGIN, Renderer, Subject};

impl Renderer<'_> {
    /// An account or role that is not there.
    pub(super) fn create(&mut self, key: &AccountKey, account: &Account) {
        if account.is_role {
            self.write(StatementStep::CreateRole, key, "CREATE ROLE ", |w| {
                w.account(key);
            });
            return;
        }
        self.unsupported_attributes(key, account);
        if self.is_old_mysql() {
            self.create_on_old_mysql(key, account);
        } else {
            let server = *self.server();
            // Of two passwords the older one comes first; the second statement puts the newer one before it.
            let first = match &account.retained {
                Some(retained) if server.has_second_passwords() => account
                    .authentication
                    .iter()
                    .take(1)
                    .map(|method| Authentication {
                        plugin: method.plugin.clone(),
                        credential: retained.clone(),
                    })
                    .collect(),
                _ => account.authentication.clone(),
            };
            self.write(StatementStep::CreateAccount, key, "CREATE USER ", |w| {
                w.account(key);
                identified(w, &server, &first);
                clauses(w, &server, account, None);
            });
            self.retain(key, account);
        }
        self.expire(key, account);
    }

    fn retain(&mut self, key: &AccountKey, account: &Account) {
        let server = *self.server();
        if account.retained.is_some() && server.has_second_passwords() {
            self.write(StatementStep::AlterAccount, key, "ALTER USER ", |w| {
                w.account(key);
                identified(w, &server, &account.authentication);
                w.sql(" RETAIN CURRENT PASSWORD");
            });
        }
    }

    fn expire(&mut self, key: &AccountKey, account: &Account) {
        if account.password.expired {
            self.write(StatementStep::ExpirePassword, key, "ALTER USER ", |w| {
                w.account(key);
                w.sql(" PASSWORD EXPIRE");
            });
        }
    }

    fn unsupported_attributes(&mut self, key: &AccountKey, account: &Account) {
        let server = *self.server();
        let rows = [
            (
                Attribute::RetainedCredential,
                account.retained.is_some(),
                server.has_second_passwords(),
            ),
            (
                Attribute::Attribute,
                account.attribute.is_some(),
                server.is_mysql_from(8, 0, 21),
            ),
            (
                Attribute::PasswordHistory,
                account.password.history.is_some(),
                server.is_mysql_from(8, 0, 3),
            ),
            (
                Attribute::PasswordReuseInterval,
                account.password.reuse_interval.is_some(),
                server.is_mysql_from(8, 0, 3),
            ),
            (
                Attribute::PasswordRequireCurrent,
                account.password.require_current.is_some(),
                server.is_mysql_from(8, 0, 13),
            ),
            (
                Attribute::FailedLogin,
                account.password.failed_login.is_some(),
                server.is_mysql_from(8, 0, 19),
            ),
            (
                Attribute::Locked,
                account.locked,
                server.is_mariadb() || server.is_mysql_from(5, 7, 6),
            ),
            (
                Attribute::PasswordLifetime,
                account.password.lifetime != PasswordLifetime::Default,
                server.is_mariadb() || server.is_mysql_from(5, 7, 6),
            ),
            (
                Attribute::MaxStatementTime,
                account.limits.statement_time_us != 0,
                server.is_mariadb(),
            ),
        ];
        for (attribute, wanted, supported) in rows {
            if wanted && !supported {
                let subject = Subject::Attribute { attribute };
                self.cannot(key, subject, "the new server has no such attribute");
            }
        }
    }

    /// MySQL 5.6: `CREATE USER` takes the password only; everything else is a clause of `GRANT`.
    fn create_on_old_mysql(&mut self, key: &AccountKey, account: &Account) {
        let Some(method) = account.authentication.first() else {
            return;
        };
        self.write(StatementStep::CreateAccount, key, "CREATE USER ", |w| {
            w.account(key);
            match method.plugin.as_str() {
                "mysql_native_password" if method.credential.is_empty() => {}
                "mysql_native_password" => {
                    w.sql(" IDENTIFIED BY PASSWORD ");
                    w.secret_literal(&method.credential);
                }
                plugin => {
                    w.sql(" IDENTIFIED WITH ");
                    w.literal(plugin.as_bytes());
                    // A pre-4.1 hash is refused here (1827) and set below.
                    if !method.credential.is_empty() && plugin != "mysql_old_password" {
                        w.sql(" AS ");
                        w.secret_literal(&method.credential);
                    }
                }
            }
        });
        if method.plugin == "mysql_old_password" && !method.credential.is_empty() {
            self.write(
                StatementStep::CreateAccount,
                key,
                "SET SESSION old_passwords = 1",
                |_| {},
            );
            self.set_password(StatementStep::CreateAccount, key, method);
            self.write(
                StatementStep::CreateAccount,
                key,
                "SET SESSION old_passwords = 0",
                |_| {},
            );
        }
        if account.tls != TlsRequirement::None
            || account.limits != super::super::types::Limits::default()
        {
            self.grant_usage_clauses(key, account, None);
        }
    }

    fn set_password(&mut self, step: StatementStep, key: &AccountKey, method: &Authentication) {
        self.write(step, key, "SET PASSWORD FOR ", |w| {
            w.account(key);
            w.sql(" = ");
            w.secret_literal(&method.credential);
        });
    }

    /// MySQL 5.6 takes clauses in a `GRANT`; of an account that is there, which has `present`, only what differs.
    fn grant_usage_clauses(
        &mut self,
        key: &AccountKey,
        account: &Account,
        present: Option<&Account>,
    ) {
        let server = *self.server();
        self.write(
            StatementStep::AlterAccount,
            key,
            "GRANT USAGE ON *.* TO ",
            |w| {
                w.account(key);
                if present.is_none_or(|present| present.tls != account.tls) {
                    require(w, &account.tls);
                }
                limits(w, &server, account, present);
            },
        );
    }

    /// An account that exists on both servers. The master user's password is left to RDS.
    pub(super) fn alter(&mut self, key: &AccountKey, old: &Account, new: &Account) {
        if old.is_role {
            return;
        }
        let is_master = self.options.is_master(key);
        let changed: Vec<Attribute> = attribute_changes(old, new, is_master, &self.parts)
            .into_iter()
            .filter_map(|change| match change {
                AccountChange::Attribute { attribute, .. } => Some(attribute),
                AccountChange::Privileges { .. } => None,
            })
            .collect();
        if *key == self.target.read_as {
            // A lock, an expired password or a demand for a certificate would end the run, and the next login.
            for attribute in changed
                .into_iter()
                .filter(|it| *it != Attribute::DefaultRoles)
            {
                self.cannot(key, Subject::Attribute { attribute }, IS_LOGIN);
            }
            return;
        }
        if changed.contains(&Attribute::NotModelled) {
            self.not_modelled(
                key,
                old.not_modelled.symmetric_difference(&new.not_modelled),
            );
        }
        // Only setting a password takes expiry away.
        let unexpire = new.password.expired && !old.password.expired;
        let password = changed.iter().any(|attribute| match attribute {
            Attribute::Plugin | Attribute::Credential => true,
            Attribute::RetainedCredential => self.server().has_second_passwords(),
            _ => false,
        }) || (unexpire && !is_master);
        let clauses_changed = changed.iter().any(|attribute| match attribute {
            Attribute::TlsRequirement
            | Attribute::MaxQueriesPerHour
            | Attribute::MaxUpdatesPerHour
            | Attribute::MaxConnectionsPerHour
            | Attribute::MaxUserConnections
            | Attribute::MaxStatementTime
            | Attribute::PasswordLifetime
            | Attribute::PasswordHistory
            | Attribute::PasswordReuseInterval
            | Attribute::PasswordRequireCurrent
            | Attribute::FailedLogin
            | Attribute::Locked
            | Attribute::Attribute => true,
            Attribute::Kind
            | Attribute::Plugin
            | Attribute::Credential
            | Attribute::RetainedCredential
            | Attribute::PasswordExpired
            | Attribute::DefaultRoles
            | Attribute::NotModelled => false,
        });
        if password || clauses_changed {
            self.unsupported_attributes(key, old);
        }
        let is_set = if self.is_old_mysql() {
            self.alter_on_old_mysql(key, old, new, password, clauses_changed)
        } else {
            self.alter_in_place(key, old, new, password, clauses_changed);
            password
        };
        if old.password.expired && (is_set || !new.password.expired) {
            self.expire(key, old);
        }
    }

    fn alter_in_place(
        &mut self,
        key: &AccountKey,
        old: &Account,
        new: &Account,
        password: bool,
        clauses_changed: bool,
    ) {
        let server = *self.server();
        let dual = server.has_second_passwords();
        if password {
            let first = match &old.retained {
                Some(retained) if dual => old
                    .authentication
                    .iter()
                    .take(1)
                    .map(|method| Authentication {
                        plugin: method.plugin.clone(),
                        credential: retained.clone(),
                    })
                    .collect(),
                _ => old.authentication.clone(),
            };
            self.write(StatementStep::AlterAccount, key, "ALTER USER ", |w| {
                w.account(key);
                identified(w, &server, &first);
                clauses(w, &server, old, Some(new));
            });
            self.retain(key, old);
            if dual && old.retained.is_none() && new.retained.is_some() {
                self.write(StatementStep::AlterAccount, key, "ALTER USER ", |w| {
                    w.account(key);
                    w.sql(" DISCARD OLD PASSWORD");
                });
            }
        } else if clauses_changed {
            let mut w = Writer::new(&server, "ALTER USER ");
            w.account(key);
            let start = w.len();
            clauses(&mut w, &server, old, Some(new));
            // Nothing is left when this version has none of the attributes that differ.
            if w.len() > start {
                self.statements
                    .push(w.finish(StatementStep::AlterAccount, key));
            }
        }
    }

    /// Whether a password was set, which takes expiry away.
    fn alter_on_old_mysql(
        &mut self,
        key: &AccountKey,
        old: &Account,
        new: &Account,
        password: bool,
        clauses: bool,
    ) -> bool {
        let mut is_set = false;
        if password {
            match (old.authentication.first(), new.authentication.first()) {
                (Some(method), Some(present)) if method.plugin == present.plugin => {
                    let other_format = method.plugin == "mysql_old_password";
                    if other_format {
                        self.write(
                            StatementStep::AlterAccount,
                            key,
                            "SET SESSION old_passwords = 1",
                            |_| {},
                        );
                    }
                    self.set_password(StatementStep::AlterAccount, key, method);
                    is_set = true;
                    if other_format {
                        self.write(
                            StatementStep::AlterAccount,
                            key,
                            "SET SESSION old_passwords = 0",
                            |_| {},
                        );
                    }
                }
                _ => {
                    // The hash belongs to its plugin, and only a new password takes expiry away.
                    let stays = [
                        (Attribute::Plugin, true),
                        (Attribute::Credential, true),
                        (
                            Attribute::PasswordExpired,
                            new.password.expired && !old.password.expired,
                        ),
                    ];
                    for (attribute, _) in stays.into_iter().filter(|(_, stays)| *stays) {
                        self.cannot(
                            key,
                            Subject::Attribute { attribute },
                            "this version cannot change the plugin of an account",
                        );
                    }
                }
            }
        }
        if clauses && (old.tls != new.tls || old.limits != new.limits) {
            self.grant_usage_clauses(key, old, Some(new));
        }
        is_set
    }
}

/// ` IDENTIFIED …`, from MySQL 5.7 and MariaDB 10.4 on.
fn identified(w: &mut Writer<'_>, server: &ServerVersion, methods: &[Authentication]) {
    if methods.is_empty() {
        return;
    }
    if server.is_mariadb() {
        w.sql(" IDENTIFIED VIA ");
        for (index, method) in methods.iter().enumerate() {
            if index > 0 {
                w.sql(" OR ");
            }
            w.identifier(&method.plugin.as_str().into());
            if !method.credential.is_empty() || method.plugin.ends_with("_password") {
                w.sql(" USING ");
                w.secret_literal(&method.credential);
            }
        }
        return;
    }
    if let [method, ..] = methods {
        w.sql(" IDENTIFIED WITH ");
        w.literal(method.plugin.as_bytes());
        if method.credential.is_empty() {
            return;
        }
        w.sql(" AS ");
        if server.is_mysql_from(8, 0, 17) {
            // Salts are random bytes; the hexadecimal form needs no character set.
            w.secret_hex(&method.credential);
        } else {
            w.secret_literal(&method.credential);
        }
    }
}

/// Everything after the credential; of an altered account, which has `present` now, only what differs.
fn clauses(
    w: &mut Writer<'_>,
    server: &ServerVersion,
    account: &Account,
    present: Option<&Account>,
) {
    fn differs<T: PartialEq>(
        account: &Account,
        present: Option<&Account>,
        read: impl Fn(&Account) -> T,
    ) -> bool {
        present.is_none_or(|present| read(present) != read(account))
    }
    if differs(account, present, |it| it.tls.clone()) {
        require(w, &account.tls);
    }
    limits(w, server, account, present);
    if differs(account, present, |it| it.password.lifetime) {
        match account.password.lifetime {
            PasswordLifetime::Default => w.sql(" PASSWORD EXPIRE DEFAULT"),
            PasswordLifetime::Never => w.sql(" PASSWORD EXPIRE NEVER"),
            PasswordLifetime::Days(days) => w.sql(&format!(" PASSWORD EXPIRE INTERVAL {days} DAY")),
        }
    }
    if differs(account, present, |it| it.locked) {
        w.sql(if account.locked {
            " ACCOUNT LOCK"
        } else {
            " ACCOUNT UNLOCK"
        });
    }
    if server.is_mysql_from(8, 0, 3) {
        if differs(account, present, |it| it.password.history) {
            match account.password.history {
                None => w.sql(" PASSWORD HISTORY DEFAULT"),
                Some(count) => w.sql(&format!(" PASSWORD HISTORY {count}")),
            }
        }
        if differs(account, present, |it| it.password.reuse_interval) {
            match account.password.reuse_interval {
                None => w.sql(" PASSWORD REUSE INTERVAL DEFAULT"),
                Some(days) => w.sql(&format!(" PASSWORD REUSE INTERVAL {days} DAY")),
            }
        }
    }
    if server.is_mysql_from(8, 0, 13) && differs(account, present, |it| it.password.require_current)
    {
        w.sql(match account.password.require_current {
            None => " PASSWORD REQUIRE CURRENT DEFAULT",
            Some(true) => " PASSWORD REQUIRE CURRENT",
            Some(false) => " PASSWORD REQUIRE CURRENT OPTIONAL",
        });
    }
    if server.is_mysql_from(8, 0, 19) && differs(account, present, |it| it.password.failed_login) {
        failed_login(w, account, present);
    }
    if server.is_mysql_from(8, 0, 21)
        && let Some(attribute) = attribute_patch(account, present)
    {
        w.sql(" ATTRIBUTE ");
        w.literal(attribute.to_string().as_bytes());
    }
}

fn failed_login(w: &mut Writer<'_>, account: &Account, present: Option<&Account>) {
    match account.password.failed_login {
        Some(failed) => {
            w.sql(&format!(
                " FAILED_LOGIN_ATTEMPTS {} PASSWORD_LOCK_TIME ",
                failed.attempts
            ));
            match failed.lock_time {
                LockTime::Days(days) => w.sql(&days.to_string()),
                LockTime::Unbounded => w.sql("UNBOUNDED"),
            }
        }
        None if present.is_some() => w.sql(" FAILED_LOGIN_ATTEMPTS 0 PASSWORD_LOCK_TIME 0"),
        None => {}
    }
}

/// `ATTRIBUTE` is merged into what is there, so a member that has to go is written as null.
fn attribute_patch(account: &Account, present: Option<&Account>) -> Option<Value> {
    let present = present.and_then(|present| present.attribute.as_ref());
    if account.attribute.as_ref() == present {
        return None;
    }
    let mut patch = match account.attribute.as_ref() {
        Some(Value::Object(members)) => members.clone(),
        _ => serde_json::Map::new(),
    };
    if let Some(Value::Object(members)) = present {
        for name in members.keys() {
            patch.entry(name).or_insert(Value::Null);
        }
    }
    Some(Value::Object(patch))
}

fn require(w: &mut Writer<'_>, tls: &TlsRequirement) {
    match tls {
        TlsRequirement::None => w.sql(" REQUIRE NONE"),
        TlsRequirement::Ssl => w.sql(" REQUIRE SSL"),
        TlsRequirement::X509 => w.sql(" REQUIRE X509"),
        TlsRequirement::Specified {
            subject,
            issuer,
            cipher,
        } => {
            let parts = [
                ("SUBJECT ", subject),
                ("ISSUER ", issuer),
                ("CIPHER ", cipher),
            ];
            let mut before = " REQUIRE ";
            for (word, value) in parts.into_iter().filter(|(_, value)| !value.is_empty()) {
                w.sql(before);
                w.sql(word);
                w.literal(value.as_bytes());
                before = " AND ";
            }
        }
    }
}

/// `WITH MAX_…`; of an altered account only the limits that differ.
fn limits(
    w: &mut Writer<'_>,
    server: &ServerVersion,
    account: &Account,
    present: Option<&Account>,
) {
    let values = |account: &Account| {
        let limits = &account.limits;
        let (seconds, micros) = (
            limits.statement_time_us / 1_000_000,
            limits.statement_time_us % 1_000_000,
        );
        [
            ("MAX_QUERIES_PER_HOUR", limits.queries_per_hour.to_string()),
            ("MAX_UPDATES_PER_HOUR", limits.updates_per_hour.to_string()),
            (
                "MAX_CONNECTIONS_PER_HOUR",
                limits.connections_per_hour.to_string(),
            ),
            ("MAX_USER_CONNECTIONS", limits.user_connections.to_string()),
            ("MAX_STATEMENT_TIME", format!("{seconds}.{micros:06}")),
        ]
    };
    let there = present.map(values);
    let mut before = " WITH ";
    for (position, (name, value)) in values(account).into_iter().enumerate() {
        let same = there
            .as_ref()
            .and_then(|there| there.get(position))
            .is_some_and(|(_, there)| *there == value);
        if same || (name == "MAX_STATEMENT_TIME" && !server.is_mariadb()) {
            continue;
        }
        w.sql(before);
        w.sql(&format!("{name} {value}"));
        before = " ";
    }
}
