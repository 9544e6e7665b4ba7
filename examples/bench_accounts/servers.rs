//! Two servers full of accounts.

use std::fmt::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use atrest_sandbox::EngineMode;
use atrest_sandbox::engine::{Engines, ServerId, ServerSpec, default_install_dir};

/// Accounts that differ between the two servers.
pub(crate) const DIFFERING: usize = 25;

pub(crate) const MASTER: &str = "admin";
pub(crate) const PASSWORD: &str = "bench-password";

/// Rows of one INSERT.
const BATCH: usize = 2_000;

/// Two running servers.
pub(crate) struct Pair {
    engines: Engines,
    old: ServerId,
    new: ServerId,
    is_mariadb: bool,
    found: String,
    dir: tempfile::TempDir,
}

impl Pair {
    pub(crate) async fn start(engine: &str) -> anyhow::Result<Self> {
        let version = match engine {
            "mariadb" => "10.11.9",
            "mysql" => "5.7.44",
            other => anyhow::bail!("{other:?} is neither mariadb nor mysql"),
        };
        let dir = tempfile::tempdir()?;
        let install = default_install_dir().context("no home folder")?;
        let engines = Engines::open(EngineMode::Required, install, dir.path().join("work"))
            .await?
            .context("no engines")?;
        anyhow::ensure!(
            engines.can_run(engine, version),
            "sandbox/install-engines.sh mariadb1011 mysql57 installs the servers"
        );
        let found = engines
            .found()
            .into_iter()
            .find(|found| {
                let family = version
                    .rsplit_once('.')
                    .map_or(version, |(family, _)| family);
                found.starts_with(&format!("{engine} {family}"))
            })
            .unwrap_or_else(|| engine.to_owned());
        let spec = ServerSpec {
            engine: engine.to_owned(),
            engine_version: version.to_owned(),
            master_username: MASTER.to_owned(),
            master_password: PASSWORD.to_owned(),
            parameters: [].into(),
            log_bin: false,
        };
        let (old, new) = tokio::try_join!(engines.create(spec.clone()), engines.create(spec))?;
        engines.open_endpoint(&old, "old", 3306).await?;
        engines.open_endpoint(&new, "new", 3306).await?;
        let pair = Self {
            engines,
            old,
            new,
            is_mariadb: engine == "mariadb",
            found,
            dir,
        };
        pair.write_client_options()?;
        Ok(pair)
    }

    /// The password, for clients of other makers: not on their command line.
    fn write_client_options(&self) -> anyhow::Result<()> {
        use std::io::Write as _;
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.client_options())?;
        writeln!(file, "[client]\nuser={MASTER}\npassword={PASSWORD}")?;
        Ok(())
    }

    pub(crate) fn client_options(&self) -> PathBuf {
        self.dir.path().join("client.cnf")
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn found(&self) -> &str {
        &self.found
    }

    pub(crate) fn is_mariadb(&self) -> bool {
        self.is_mariadb
    }

    /// Loopback addresses of the two, port 3306.
    pub(crate) fn addresses(&self) -> anyhow::Result<[String; 2]> {
        Ok([
            self.engines.address_of("old")?.to_string(),
            self.engines.address_of("new")?.to_string(),
        ])
    }

    /// Writes the accounts straight into the privilege tables: only a benchmark may, and only this fills them in seconds.
    pub(crate) async fn fill(&self, accounts: usize) -> anyhow::Result<()> {
        anyhow::ensure!(accounts >= DIFFERING, "at least {DIFFERING} accounts");
        let (old, new) = (
            script(accounts, self.is_mariadb, false),
            script(accounts, self.is_mariadb, true),
        );
        tokio::try_join!(
            self.engines.run_sql(&self.old, &old),
            self.engines.run_sql(&self.new, &new),
        )?;
        Ok(())
    }

    pub(crate) async fn shutdown(&self) -> anyhow::Result<()> {
        Ok(self.engines.shutdown().await?)
    }
}

/// The INSERTs for one side. The accounts that differ are spread over all: ten have another hash, ten have a grant less, five
/// are not there.
fn script(accounts: usize, is_mariadb: bool, is_new: bool) -> String {
    let stride = accounts / DIFFERING;
    let mut users = Vec::new();
    let mut grants = Vec::new();
    for n in 0..accounts {
        let differing = (n % stride == 0 && n / stride < DIFFERING).then_some(n / stride);
        let oddity = differing.filter(|_| is_new);
        if matches!(oddity, Some(20..)) {
            continue;
        }
        let (word, host) = match n % 4 {
            0 => ("orders", "%"),
            1 => ("billing", "10.0.%"),
            2 => ("reports", "10.1.2.%"),
            _ => ("search", "localhost"),
        };
        let user = format!("app_{n:06}_{word}");
        let salt = usize::from(matches!(oddity, Some(0..10)));
        let hash = hash(n + salt * 1_000_003);
        users.push(if is_mariadb {
            format!(
                r#"('{host}','{user}','{{"access":0,"version_id":101109,"plugin":"mysql_native_password","authentication_string":"{hash}","password_last_changed":1700000000}}')"#
            )
        } else {
            format!("('{host}','{user}','mysql_native_password','{hash}','','','')")
        });
        let databases = 1 + n % 3 - usize::from(matches!(oddity, Some(10..20)));
        for database in 0..databases {
            grants.push(format!(
                "('{host}','schema\\\\_{:04}','{user}','Y','Y','Y','Y')",
                (n + database * 7) % 997
            ));
        }
    }
    let (table, into) = if is_mariadb {
        ("mysql.global_priv (Host, User, Priv)", users)
    } else {
        (
            "mysql.user (Host, User, plugin, authentication_string, ssl_cipher, x509_issuer, x509_subject)",
            users,
        )
    };
    let mut script = String::new();
    insert(&mut script, table, &into);
    insert(
        &mut script,
        "mysql.db (Host, Db, User, Select_priv, Insert_priv, Update_priv, Delete_priv)",
        &grants,
    );
    script.push_str("FLUSH PRIVILEGES;\n");
    script
}

fn insert(script: &mut String, table: &str, rows: &[String]) {
    for batch in rows.chunks(BATCH) {
        // Writing to a string cannot fail.
        let _ok = writeln!(script, "INSERT INTO {table} VALUES {};", batch.join(","));
    }
}

/// Looks like the hash of `mysql_native_password`, belongs to no password.
fn hash(n: usize) -> String {
    let mut state = n as u64 ^ 0x9e37_79b9_7f4a_7c15;
    let mut text = "*".to_owned();
    for _ in 0..5 {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let _ok = write!(text, "{:08X}", state >> 32);
    }
    text
}
