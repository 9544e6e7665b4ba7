//! A server in a few lines: it runs account statements on a model of its tables.

use atrest_model::account::{
    Account, AccountKey, Accounts, Authentication, Credential, FailedLogin, LockTime, Name,
    PasswordLifetime, PrivilegeSet, RoutineKind, TlsRequirement,
};

use super::sql::{Token, tokens};

/// Runs one statement. Panics at what a server would refuse.
pub(crate) fn run(server: &mut Accounts, statement: &[u8]) {
    let mut reader = Reader {
        tokens: tokens(statement),
        at: 0,
        mariadb: server.server.is_mariadb(),
    };
    let before = server.accounts.len();
    match reader.word().as_str() {
        "CREATE" => create(server, &mut reader),
        "ALTER" => alter(server, &mut reader),
        "DROP" => {
            reader.word();
            let key = reader.account();
            assert!(server.accounts.remove(&key).is_some(), "{key}");
        }
        "GRANT" => grant(server, &mut reader),
        "REVOKE" => revoke(server, &mut reader),
        "SET" => set(server, &mut reader),
        other => panic!("{other}"),
    }
    assert_eq!(reader.at, reader.tokens.len(), "{:?}", reader.tokens);
    assert!(server.accounts.len().abs_diff(before) <= 1);
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    mariadb: bool,
}

impl Reader {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Token {
        self.at += 1;
        self.tokens[self.at - 1].clone()
    }

    fn word(&mut self) -> String {
        match self.next() {
            Token::Word(word) => word,
            other => panic!("{other:?} for a word in {:?}", self.tokens),
        }
    }

    /// Takes these words if they come next.
    fn take(&mut self, words: &str) -> bool {
        let count = words.split(' ').count();
        let there = self.tokens[self.at..].iter().take(count);
        let same = there.clone().count() == count
            && there
                .zip(words.split(' '))
                .all(|(token, word)| *token == Token::Word(word.to_owned()));
        self.at += if same { count } else { 0 };
        same
    }

    fn sign(&mut self, sign: u8) -> bool {
        let same = self.peek() == Some(&Token::Sign(sign));
        self.at += usize::from(same);
        same
    }

    fn text(&mut self) -> Vec<u8> {
        match self.next() {
            Token::Text(bytes) | Token::Hex(bytes) => bytes,
            other => panic!("{other:?} for a literal"),
        }
    }

    fn name(&mut self) -> Name {
        match self.next() {
            Token::Name(bytes) => Name::from(bytes),
            other => panic!("{other:?} for a name in {:?}", self.tokens),
        }
    }

    fn number<T: std::str::FromStr<Err: std::fmt::Debug>>(&mut self) -> T {
        self.word().parse().unwrap()
    }

    fn account(&mut self) -> AccountKey {
        let user = self.text();
        if self.sign(b'@') {
            return AccountKey::new(user, self.text());
        }
        assert!(self.mariadb, "an account without a host");
        AccountKey::new(user, "")
    }
}

fn create(server: &mut Accounts, reader: &mut Reader) {
    let is_role = reader.word() == "ROLE";
    let key = reader.account();
    assert_eq!(is_role, reader.mariadb && key.host().is_empty());
    let mut account = Account {
        is_role,
        ..Account::default()
    };
    if !is_role {
        account.authentication = vec![Authentication {
            plugin: "mysql_native_password".to_owned(),
            credential: Credential::new(Vec::new()),
        }];
        clauses(&mut account, reader);
    }
    assert!(
        server.accounts.insert(key.clone(), account).is_none(),
        "{key}"
    );
}

fn alter(server: &mut Accounts, reader: &mut Reader) {
    assert!(reader.take("USER"));
    let key = reader.account();
    clauses(server.accounts.get_mut(&key).unwrap(), reader);
}

fn identified(account: &mut Account, reader: &mut Reader) {
    let mut methods = Vec::new();
    if reader.take("BY PASSWORD") {
        methods.push(Authentication {
            plugin: "mysql_native_password".to_owned(),
            credential: Credential::new(reader.text()),
        });
    } else if reader.take("WITH") {
        let plugin = String::from_utf8(reader.text()).unwrap();
        let credential = if reader.take("AS") {
            reader.text()
        } else {
            Vec::new()
        };
        methods.push(Authentication {
            plugin,
            credential: Credential::new(credential),
        });
    } else {
        assert!(reader.take("VIA"));
        loop {
            let plugin = reader.name().to_string();
            let credential = if reader.take("USING") {
                reader.text()
            } else {
                Vec::new()
            };
            methods.push(Authentication {
                plugin,
                credential: Credential::new(credential),
            });
            if !reader.take("OR") {
                break;
            }
        }
    }
    if reader.take("RETAIN CURRENT PASSWORD") {
        account.retained = Some(account.authentication[0].credential.clone());
    } else if account.authentication[0].plugin != methods[0].plugin {
        // Another plugin takes the second password with it.
        account.retained = None;
    }
    account.authentication = methods;
    account.password.expired = false;
}

fn clauses(account: &mut Account, reader: &mut Reader) {
    while reader.peek().is_some() {
        if reader.take("IDENTIFIED") {
            identified(account, reader);
        } else if reader.take("DISCARD OLD PASSWORD") {
            account.retained = None;
        } else if reader.take("REQUIRE") {
            account.tls = require(reader);
        } else if reader.take("WITH") {
            limits(account, reader);
        } else if reader.take("ACCOUNT LOCK") {
            account.locked = true;
        } else if reader.take("ACCOUNT UNLOCK") {
            account.locked = false;
        } else if reader.take("PASSWORD EXPIRE") {
            if reader.take("DEFAULT") {
                account.password.lifetime = PasswordLifetime::Default;
            } else if reader.take("NEVER") {
                account.password.lifetime = PasswordLifetime::Never;
            } else if reader.take("INTERVAL") {
                account.password.lifetime = PasswordLifetime::Days(reader.number());
                assert!(reader.take("DAY"));
            } else {
                account.password.expired = true;
            }
        } else if reader.take("PASSWORD HISTORY") {
            account.password.history = (!reader.take("DEFAULT")).then(|| reader.number());
        } else if reader.take("PASSWORD REUSE INTERVAL") {
            account.password.reuse_interval = (!reader.take("DEFAULT")).then(|| {
                let days = reader.number();
                assert!(reader.take("DAY"));
                days
            });
        } else if reader.take("PASSWORD REQUIRE CURRENT") {
            account.password.require_current = if reader.take("DEFAULT") {
                None
            } else {
                Some(!reader.take("OPTIONAL"))
            };
        } else if reader.take("FAILED_LOGIN_ATTEMPTS") {
            let attempts = reader.number();
            assert!(reader.take("PASSWORD_LOCK_TIME"));
            let lock_time = if reader.take("UNBOUNDED") {
                LockTime::Unbounded
            } else {
                LockTime::Days(reader.number())
            };
            account.password.failed_login = (attempts > 0).then_some(FailedLogin {
                attempts,
                lock_time,
            });
        } else {
            assert!(reader.take("ATTRIBUTE"), "{:?}", reader.tokens);
            attribute(account, &reader.text());
            assert!(reader.peek().is_none(), "ATTRIBUTE comes last");
        }
    }
}

fn attribute(account: &mut Account, patch: &[u8]) {
    let serde_json::Value::Object(patch) = serde_json::from_slice(patch).unwrap() else {
        panic!("no object");
    };
    let mut members = match account.attribute.take() {
        Some(serde_json::Value::Object(members)) => members,
        _ => serde_json::Map::new(),
    };
    for (name, value) in patch {
        if value.is_null() {
            members.remove(&name);
        } else {
            members.insert(name, value);
        }
    }
    account.attribute = (!members.is_empty()).then_some(serde_json::Value::Object(members));
}

fn require(reader: &mut Reader) -> TlsRequirement {
    if reader.take("NONE") {
        return TlsRequirement::None;
    }
    if reader.take("SSL") {
        return TlsRequirement::Ssl;
    }
    if reader.take("X509") {
        return TlsRequirement::X509;
    }
    let mut parts = [Name::default(), Name::default(), Name::default()];
    loop {
        let position = match reader.word().as_str() {
            "SUBJECT" => 0,
            "ISSUER" => 1,
            "CIPHER" => 2,
            other => panic!("{other}"),
        };
        parts[position] = Name::from(reader.text());
        if !reader.take("AND") {
            break;
        }
    }
    let [subject, issuer, cipher] = parts;
    TlsRequirement::Specified {
        subject,
        issuer,
        cipher,
    }
}

fn limits(account: &mut Account, reader: &mut Reader) {
    let limits = &mut account.limits;
    let start = reader.at;
    loop {
        if reader.take("MAX_QUERIES_PER_HOUR") {
            limits.queries_per_hour = reader.number();
        } else if reader.take("MAX_UPDATES_PER_HOUR") {
            limits.updates_per_hour = reader.number();
        } else if reader.take("MAX_CONNECTIONS_PER_HOUR") {
            limits.connections_per_hour = reader.number();
        } else if reader.take("MAX_USER_CONNECTIONS") {
            limits.user_connections = reader.number();
        } else if reader.take("MAX_STATEMENT_TIME") {
            limits.statement_time_us = (reader.number::<f64>() * 1e6).round() as u64;
        } else {
            break;
        }
    }
    assert!(reader.at > start, "WITH and no limit");
}

/// What a `GRANT` or `REVOKE` names before `ON`.
#[derive(Default)]
struct Privileges {
    whole: PrivilegeSet,
    columns: Vec<(Name, PrivilegeSet)>,
    dynamic: Vec<String>,
}

fn privileges(reader: &mut Reader) -> Privileges {
    let mut all = Privileges::default();
    loop {
        let mut words = vec![reader.word()];
        while let Some(Token::Word(word)) = reader.peek() {
            if word == "ON" {
                break;
            }
            words.push(reader.word());
        }
        let name = words.join(" ");
        if name == "USAGE" {
        } else if let Some(one) = PrivilegeSet::named(&name) {
            if reader.sign(b'(') {
                loop {
                    all.columns.push((reader.name(), one));
                    if !reader.sign(b',') {
                        break;
                    }
                }
                assert!(reader.sign(b')'));
            } else {
                all.whole = all.whole.union(one);
            }
        } else {
            assert!(name.contains('_'), "{name}");
            all.dynamic.push(name);
        }
        if !reader.sign(b',') {
            break;
        }
    }
    assert!(reader.take("ON"));
    all
}

enum Object {
    Global,
    Database(Name),
    Table(Name, Name),
    Routine(RoutineKind, Name, Name),
}

fn object(reader: &mut Reader) -> Object {
    let kind = if reader.take("FUNCTION") {
        Some(RoutineKind::Function)
    } else {
        reader.take("PROCEDURE").then_some(RoutineKind::Procedure)
    };
    if reader.sign(b'*') {
        assert!(reader.sign(b'.') && reader.sign(b'*'));
        return Object::Global;
    }
    let database = reader.name();
    assert!(reader.sign(b'.'));
    if reader.sign(b'*') {
        return Object::Database(database);
    }
    let name = reader.name();
    match kind {
        Some(kind) => Object::Routine(kind, database, name),
        None => Object::Table(database, name),
    }
}

/// Roles and proxies have no `ON` object of their own.
fn grant(server: &mut Accounts, reader: &mut Reader) {
    if matches!(reader.peek(), Some(Token::Text(_))) {
        let role = reader.account();
        assert!(reader.take("TO"));
        let member = reader.account();
        let admin = reader.take("WITH ADMIN OPTION");
        assert!(server.accounts.contains_key(&role), "{role}");
        let roles = &mut server.accounts.get_mut(&member).unwrap().grants.roles;
        let entry = roles.entry(role).or_default();
        *entry = *entry || admin;
        return;
    }
    if reader.take("PROXY ON") {
        let proxied = reader.account();
        assert!(reader.take("TO"));
        let account = server.accounts.get_mut(&reader.account()).unwrap();
        let option = reader.take("WITH GRANT OPTION");
        let there = account.grants.proxies.get(&proxied).copied();
        // MariaDB leaves a right that is there as it is.
        let keeps = reader.mariadb && there.is_some();
        if !keeps {
            let option = option || there.unwrap_or_default();
            account.grants.proxies.insert(proxied, option);
        }
        return;
    }
    let mut given = privileges(reader);
    let on = object(reader);
    assert!(reader.take("TO"));
    let account = server.accounts.get_mut(&reader.account()).unwrap();
    if reader.take("REQUIRE") {
        account.tls = require(reader);
    }
    let option = reader.take("WITH GRANT OPTION");
    if !option && reader.take("WITH") {
        limits(account, reader);
    }
    if option && given.dynamic.is_empty() {
        given.whole = given.whole.union(PrivilegeSet::GRANT_OPTION);
    }
    let grants = &mut account.grants;
    for name in given.dynamic {
        let entry = grants.dynamic.entry(name).or_default();
        *entry = *entry || option;
    }
    match on {
        Object::Global => grants.global = grants.global.union(given.whole),
        Object::Database(database) => {
            let set = grants.databases.entry(database).or_default();
            *set = set.union(given.whole);
        }
        Object::Routine(kind, database, routine) => {
            let set = grants
                .routines
                .entry((kind, database, routine))
                .or_default();
            *set = set.union(given.whole);
        }
        Object::Table(database, table) => {
            let grant = grants.tables.entry((database, table)).or_default();
            grant.table = grant.table.union(given.whole);
            for (column, one) in given.columns {
                let set = grant.columns.entry(column).or_default();
                *set = set.union(one);
            }
        }
    }
}

fn revoke(server: &mut Accounts, reader: &mut Reader) {
    let admin_only = reader.take("ADMIN OPTION FOR");
    if matches!(reader.peek(), Some(Token::Text(_))) {
        let role = reader.account();
        assert!(reader.take("FROM"));
        let member = reader.account();
        if member == server.read_as {
            // Whoever makes a role on MariaDB is its administrator, and this login has no row here.
            assert!(reader.mariadb);
            return;
        }
        let roles = &mut server.accounts.get_mut(&member).unwrap().grants.roles;
        assert!(roles.remove(&role).is_some());
        if admin_only {
            roles.insert(role, false);
        }
        return;
    }
    if reader.take("PROXY ON") {
        let proxied = reader.account();
        assert!(reader.take("FROM"));
        let account = server.accounts.get_mut(&reader.account()).unwrap();
        assert!(account.grants.proxies.remove(&proxied).is_some());
        return;
    }
    let taken = privileges(reader);
    let on = object(reader);
    assert!(reader.take("FROM"));
    let grants = &mut server.accounts.get_mut(&reader.account()).unwrap().grants;
    for name in taken.dynamic {
        assert!(grants.dynamic.remove(&name).is_some());
    }
    let less = |set: &mut PrivilegeSet| {
        assert!(set.contains(taken.whole));
        *set = set.difference(taken.whole);
        set.is_empty()
    };
    match on {
        Object::Global => drop(less(&mut grants.global)),
        Object::Database(database) => {
            if less(grants.databases.get_mut(&database).unwrap()) {
                grants.databases.remove(&database);
            }
        }
        Object::Routine(kind, database, routine) => {
            let key = (kind, database, routine);
            if less(grants.routines.get_mut(&key).unwrap()) {
                grants.routines.remove(&key);
            }
        }
        Object::Table(database, table) => {
            let key = (database, table);
            let grant = grants.tables.get_mut(&key).unwrap();
            less(&mut grant.table);
            for (column, one) in taken.columns {
                let set = grant.columns.get_mut(&column).unwrap();
                assert!(set.contains(one));
                *set = set.difference(one);
                if set.is_empty() {
                    grant.columns.remove(&column);
                }
            }
            if grant.table.is_empty() && grant.columns.is_empty() {
                grants.tables.remove(&key);
            }
        }
    }
}

fn set(server: &mut Accounts, reader: &mut Reader) {
    if reader.take("PASSWORD FOR") {
        let account = server.accounts.get_mut(&reader.account()).unwrap();
        assert!(reader.sign(b'='));
        account.authentication[0].credential = Credential::new(reader.text());
        account.password.expired = false;
        return;
    }
    assert!(reader.take("DEFAULT ROLE"));
    let mut roles = std::collections::BTreeSet::new();
    if !reader.take("NONE") {
        loop {
            roles.insert(reader.account());
            if !reader.sign(b',') {
                break;
            }
        }
    }
    assert!(reader.take(if reader.mariadb { "FOR" } else { "TO" }));
    let account = server.accounts.get_mut(&reader.account()).unwrap();
    assert!(
        roles
            .iter()
            .all(|role| account.grants.roles.contains_key(role))
    );
    account.default_roles = roles;
}
