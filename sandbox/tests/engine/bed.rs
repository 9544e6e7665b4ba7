//! A sandbox of its own for each case, and the words the cases are written in.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use atrest_sandbox::engine::{
    EngineMode, Engines, ReplicationState, ServerId, ServerSpec, default_install_dir,
};
use mysql_async::prelude::{FromRow, Queryable as _};
use mysql_async::{Conn, Opts, OptsBuilder};

pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A kind of server and an RDS version it stands for.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) engine: &'static str,
    version: &'static str,
    /// How `found` names it.
    found: &'static str,
    required: bool,
}

pub(crate) const MARIADB1011: Kind = Kind {
    name: "mariadb1011",
    engine: "mariadb",
    version: "10.11.9",
    found: "mariadb 10.11.",
    required: true,
};
pub(crate) const MARIADB118: Kind = Kind {
    name: "mariadb118",
    engine: "mariadb",
    version: "11.8.3",
    found: "mariadb 11.8.",
    required: false,
};
pub(crate) const MYSQL56: Kind = Kind {
    name: "mysql56",
    engine: "mysql",
    version: "5.6.51",
    found: "mysql 5.6.",
    required: false,
};
pub(crate) const MYSQL57: Kind = Kind {
    name: "mysql57",
    engine: "mysql",
    version: "5.7.44",
    found: "mysql 5.7.",
    required: true,
};
pub(crate) const MYSQL97: Kind = Kind {
    name: "mysql97",
    engine: "mysql",
    version: "8.4.5",
    found: "mysql 9.7.",
    required: false,
};

/// Runs `case` on a sandbox of its own, if `kind` is installed.
pub(crate) async fn with(kind: Kind, case: impl AsyncFnOnce(Bed)) {
    let dir = tempfile::tempdir().unwrap();
    let engines = Engines::open(EngineMode::Auto, install_dir(), dir.path().join("work"))
        .await
        .unwrap();
    let engines = engines.filter(|engines| {
        engines
            .found()
            .iter()
            .any(|found| found.starts_with(kind.found))
    });
    let Some(engines) = engines else {
        assert!(
            !kind.required,
            "{} is not installed in {}: run sandbox/install-engines.sh {}",
            kind.name,
            install_dir().display(),
            kind.name
        );
        // Not `println!`, which the harness keeps to itself when a test passes.
        let line = format!(
            "\nNOT RUN: {} is not installed in {} (sandbox/install-engines.sh {} brings it)\n",
            kind.name,
            install_dir().display(),
            kind.name
        );
        std::io::stderr().write_all(line.as_bytes()).unwrap();
        return;
    };
    let bed = Bed {
        engines: engines.clone(),
        kind,
        work: dir.path().canonicalize().unwrap().join("work"),
    };
    let work = bed.work.clone();
    case(bed).await;
    engines.shutdown().await.unwrap();
    assert_eq!(
        servers_in(&work),
        Vec::<u32>::new(),
        "shutdown ends every server"
    );
    assert!(
        !dir.path().join("work").exists(),
        "shutdown leaves nothing behind"
    );
}

pub(crate) fn install_dir() -> PathBuf {
    default_install_dir().unwrap()
}

/// A sandbox with its shorthands.
pub(crate) struct Bed {
    pub(crate) engines: Engines,
    pub(crate) kind: Kind,
    pub(crate) work: PathBuf,
}

/// Process ids of the servers whose data is in this work folder.
pub(crate) fn servers_in(work: &std::path::Path) -> Vec<u32> {
    let wanted = format!("--datadir={}/", work.display());
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let line = std::fs::read(entry.path().join("cmdline")).ok()?;
            String::from_utf8_lossy(&line)
                .contains(&wanted)
                .then_some(pid)
        })
        .collect()
}

pub(crate) const PASSWORD: &str = "correct-horse'battery\\staple";

impl Bed {
    pub(crate) fn spec(&self) -> ServerSpec {
        ServerSpec {
            engine: self.kind.engine.to_owned(),
            engine_version: self.kind.version.to_owned(),
            master_username: "admin".to_owned(),
            master_password: PASSWORD.to_owned(),
            parameters: BTreeMap::from([(
                "log_bin_trust_function_creators".to_owned(),
                "1".to_owned(),
            )]),
            log_bin: true,
        }
    }

    pub(crate) fn read_only(&self, value: &str) -> ServerSpec {
        let mut spec = self.spec();
        spec.parameters
            .insert("read_only".to_owned(), value.to_owned());
        spec
    }

    pub(crate) async fn create(&self, name: &str) -> ServerId {
        let server = self.engines.create(self.spec()).await.unwrap();
        self.engines
            .open_endpoint(&server, name, 3306)
            .await
            .unwrap();
        server
    }

    /// The master user, through the endpoint.
    pub(crate) async fn client(&self, name: &str) -> Conn {
        Conn::new(login(
            self.engines.address_of(name).unwrap(),
            "admin",
            PASSWORD,
        ))
        .await
        .unwrap()
    }

    pub(crate) fn slave(&self, words: &str) -> String {
        let text = words.to_owned();
        if self.kind.name == "mysql97" {
            text.replace("SLAVE", "REPLICA").replace("MASTER", "SOURCE")
        } else {
            text
        }
    }

    /// RDS's word in procedure names at this version.
    pub(crate) fn source_word(&self) -> &'static str {
        if self.kind.name == "mysql97" {
            "source"
        } else {
            "master"
        }
    }
}

pub(crate) fn login(address: IpAddr, user: &str, password: &str) -> Opts {
    OptsBuilder::default()
        .ip_or_hostname(address.to_string())
        .tcp_port(3306)
        .user(Some(user))
        .pass(Some(password))
        .prefer_socket(false)
        .into()
}

pub(crate) async fn value<T: FromRow + Send + 'static>(conn: &mut Conn, sql: &str) -> T {
    conn.query_first::<T, _>(sql).await.unwrap().unwrap()
}

/// The server's error number.
pub(crate) fn code<T: std::fmt::Debug>(result: Result<T, mysql_async::Error>) -> u16 {
    match result.unwrap_err() {
        mysql_async::Error::Server(error) => error.code,
        other => panic!("not an answer of the server: {other}"),
    }
}

/// Asks until `sql` gives `wanted`.
pub(crate) async fn becomes(conn: &mut Conn, sql: &str, wanted: u64) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let seen = conn.query_first::<Option<u64>, _>(sql).await;
        if matches!(seen, Ok(Some(Some(seen))) if seen == wanted) {
            return;
        }
        assert!(Instant::now() < deadline, "{sql}: {seen:?}, not {wanted}");
        tokio::task::yield_now().await;
    }
}

pub(crate) async fn replicates(engines: &Engines, replica: &ServerId) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let state = engines.replication(replica).await.unwrap();
        if state == ReplicationState::Replicating {
            return;
        }
        assert!(Instant::now() < deadline, "{state:?}");
    }
}
