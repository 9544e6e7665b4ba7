//! Real servers for one test, and logins to them.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Mutex;

use atrest_model::account::{Accounts, DiffOptions, Name};
use atrest_sandbox::EngineMode;
use atrest_sandbox::engine::{Engines, ServerId, ServerSpec};
use atrest_scanner::mysql::{self, Connection, MysqlError, Target, Tls};
use secrecy::SecretString;

use super::fixtures::Kind;

const MASTER: &str = "admin";
const PASSWORD: &str = "master-password-of-the-test";

/// Gives the master user all there is, which RDS never does.
const UNRESTRICTED: &str = "
SET SESSION sql_mode = '';
GRANT ALL PRIVILEGES ON *.* TO 'admin'@'%' WITH GRANT OPTION;
INSERT INTO mysql.proxies_priv (Host, User, Proxied_host, Proxied_user, With_grant, Grantor) VALUES ('%', 'admin', '', '', 1, '');
FLUSH PRIVILEGES;
";

/// The servers of one test. End it with [`Lab::close`].
pub(super) struct Lab {
    engines: Engines,
    /// Where each server listens. Asked for once: opening an endpoint again breaks what is connected.
    addresses: Mutex<BTreeMap<ServerId, IpAddr>>,
    _dir: tempfile::TempDir,
}

impl Lab {
    /// `None`, with a line in the output, when a server of these kinds is not installed and need not be.
    pub(super) async fn open(kinds: &[&Kind]) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let engines = Engines::open(
            EngineMode::Required,
            atrest_sandbox::engine::default_install_dir().unwrap(),
            dir.path().to_owned(),
        )
        .await
        .unwrap()
        .unwrap();
        let found = engines.found();
        for kind in kinds {
            if found.iter().any(|title| title.starts_with(kind.answers)) {
                continue;
            }
            assert!(
                !kind.required,
                "install it: sandbox/install-engines.sh {}",
                kind.name
            );
            println!(
                "NOT RUN: {} is not installed (sandbox/install-engines.sh {})",
                kind.name, kind.name
            );
            return None;
        }
        Some(Self {
            engines,
            addresses: Mutex::default(),
            _dir: dir,
        })
    }

    /// A new server with the master user RDS would make.
    pub(super) async fn server(&self, kind: &Kind, parameters: &[(&str, &str)]) -> ServerId {
        let server = self.engines.create(spec(kind, parameters)).await.unwrap();
        self.listen(server).await
    }

    /// A server on a copy of another one's data.
    pub(super) async fn copy(&self, kind: &Kind, of: &ServerId) -> ServerId {
        let copy = self.engines.snapshot(of).await.unwrap();
        let server = self.engines.restore(&copy, spec(kind, &[])).await.unwrap();
        self.listen(server).await
    }

    async fn listen(&self, server: ServerId) -> ServerId {
        let name = format!("test/{}", server.0);
        let address = self
            .engines
            .open_endpoint(&server, &name, 3306)
            .await
            .unwrap();
        self.addresses
            .lock()
            .unwrap()
            .insert(server.clone(), address);
        server
    }

    /// Runs a script as the server's administrator.
    pub(super) async fn run(&self, server: &ServerId, script: &str) {
        self.engines.run_sql(server, script).await.unwrap();
    }

    /// Makes the master user one that RDS does not offer.
    pub(super) async fn unrestrict(&self, server: &ServerId) {
        self.run(server, UNRESTRICTED).await;
    }

    /// The master user's connection.
    pub(super) async fn master(&self, server: &ServerId) -> Connection {
        self.login(server, MASTER, PASSWORD).await.unwrap()
    }

    pub(super) async fn login(
        &self,
        server: &ServerId,
        user: &str,
        password: &str,
    ) -> Result<Connection, MysqlError> {
        let address = self.addresses.lock().unwrap()[server];
        let mut target = Target::new(
            address.to_string(),
            3306,
            user,
            SecretString::from(password),
        );
        target.tls = Tls::Off;
        mysql::connect(&target).await
    }

    /// What the server says to a login, without the address: `in`, or its refusal.
    pub(super) async fn outcome(&self, server: &ServerId, user: &str, password: &str) -> String {
        match self.login(server, user, password).await {
            Ok(connection) => {
                connection.close().await;
                "in".to_owned()
            }
            Err(MysqlError::LoginRefused { reason, .. }) => format!("refused: {reason}"),
            // A password that has expired lets the account in, to change it and nothing else.
            Err(error) => format!("refused later: {:?}", error.code()),
        }
    }

    pub(super) async fn close(self) {
        self.engines.shutdown().await.unwrap();
    }
}

fn spec(kind: &Kind, parameters: &[(&str, &str)]) -> ServerSpec {
    let mut all: BTreeMap<String, String> =
        [("log_bin_trust_function_creators".to_owned(), "1".to_owned())].into();
    all.extend(
        kind.parameters
            .iter()
            .chain(parameters)
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    );
    ServerSpec {
        engine: kind.engine.to_owned(),
        engine_version: kind.version.to_owned(),
        master_username: MASTER.to_owned(),
        master_password: PASSWORD.to_owned(),
        parameters: all,
        log_bin: false,
    }
}

pub(super) fn options() -> DiffOptions {
    DiffOptions {
        master_username: Some(Name::from(MASTER)),
    }
}

pub(super) async fn read(connection: &mut Connection) -> Accounts {
    mysql::read_accounts(connection).await.unwrap()
}

pub(super) fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(future);
}
