//! What the examples with a sandbox under virtual time share.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};

use atrest_fixer::planner::{self, Facts};
use atrest_model::id::RunId;
use atrest_model::plan::{DataCheck, MysqlAccess, Plan};
use atrest_sandbox::engine::EngineMode;
use atrest_sandbox::{SandboxOptions, Scenario};
use atrest_scanner::aws::Aws;
use atrest_scanner::inventory;
use jiff::Timestamp;

pub(crate) type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

pub(crate) const REGION: &str = "eu-central-1";
pub(crate) const ACCOUNT: &str = "111122223333";
pub(crate) const KEY: &str = "AKIACLOCK";

/// Sources of all sizes, every second one with a replica. With twice the durations of a small instance they are about as
/// far apart as those of a fleet: a snapshot 4 to 10 minutes, its copy 7 to 40, a restore 8 to 20, a replica 16 to 30.
pub(crate) fn scenario(migrations: usize) -> String {
    let mut text = format!(
        "[[accounts]]\nid = \"{ACCOUNT}\"\naccess_key_id = \"{KEY}\"\n\
         [[keys]]\nalias = \"alias/mine\"\nregions = [\"{REGION}\"]\n\
         [knobs]\npace = 2.0\n\
         [quotas]\ninstances = 100000\nmanual_snapshots = 100000\nstorage_gib = 1000000000\ncopies_in_flight = 100000\n\
         [[parameter_groups]]\nname = \"tuned\"\nfamily = \"mariadb10.11\"\ndescription = \"Not the default\"\n"
    );
    for number in 0..migrations {
        // Spread without order: 100 to 1,000 GiB.
        let gib = 100 + number * 379 % 901;
        let _written = write!(
            text,
            "[[instances]]\nid = \"db{number:03}\"\nengine = \"mariadb\"\nengine_version = \"10.11.9\"\nclass = \"db.m5.large\"\n\
             allocated_storage = {gib}\nmax_allocated_storage = 2000\nparameter_group = \"tuned\"\nbackup_retention = 3\nserver = false\n\
             tags = [{{ key = \"owner\", value = \"dbre@example.com\" }}]\n"
        );
        if number % 2 == 1 {
            let _written = write!(
                text,
                "[[instances]]\nid = \"db{number:03}-r\"\nreplica_of = \"db{number:03}\"\nclass = \"db.m5.large\"\nserver = false\n"
            );
        }
    }
    text
}

/// A control plane with that scenario.
pub(crate) fn options(
    scenario: &str,
    speed: f64,
    seed: u64,
    request_log: Option<PathBuf>,
) -> Result<SandboxOptions> {
    Ok(SandboxOptions {
        scenario: Scenario::parse("virtual", scenario)?,
        port: 0,
        speed,
        engines: EngineMode::None,
        install_dir: PathBuf::new(),
        work_dir: PathBuf::new(),
        request_log,
        seed,
    })
}

/// A plan for everything there is.
pub(crate) async fn plan(aws: &Aws, run: &str) -> Result<Plan> {
    let fleet = inventory::read(aws, ACCOUNT, &[REGION.to_owned()]).await;
    let key = aws.describe_key(REGION, "alias/mine").await?;
    let facts = Facts {
        run: RunId::try_from(run.to_owned())?,
        created: Timestamp::now(),
        account: ACCOUNT.to_owned(),
        instances: fleet
            .regions
            .into_iter()
            .flat_map(|r| r.instances)
            .collect(),
        clusters: Vec::new(),
        keys: BTreeMap::from([(REGION.to_owned(), Ok(key))]),
        mysql: MysqlAccess::Off {
            reason: "control plane only".to_owned(),
        },
        data_check: DataCheck::None,
        methods: planner::MethodFacts::default(),
        // There is no server whose clients could be watched.
        quiesce: planner::Quiesce {
            window_seconds: 0,
            ..planner::Quiesce::default()
        },
        dependents: BTreeMap::new(),
        login: None,
    };
    Ok(planner::plan(&facts, None))
}

/// A folder for a run that a disk does not slow down.
pub(crate) fn folder_in_memory() -> Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    Ok(if memory.is_dir() {
        tempfile::tempdir_in(memory)?
    } else {
        tempfile::tempdir()?
    })
}

/// Real time as virtual time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct VirtualTime {
    real: Timestamp,
    at: Timestamp,
    speed: f64,
}

impl VirtualTime {
    pub(crate) fn now(&self) -> Timestamp {
        let passed = Timestamp::now().duration_since(self.real).as_secs_f64();
        let passed = jiff::SignedDuration::from_secs_f64(passed * self.speed);
        self.at.checked_add(passed).unwrap_or(Timestamp::MAX)
    }
}

/// One GET of the sandbox's admin endpoint.
pub(crate) fn admin(endpoint: &str, path: &str) -> Result<serde_json::Value> {
    let host = endpoint.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host)?;
    write!(
        stream,
        "GET /_sandbox/{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
    Ok(serde_json::from_str(body.trim())?)
}

pub(crate) fn clock(endpoint: &str, speed: f64) -> Result<VirtualTime> {
    let before = Timestamp::now();
    let answer = admin(endpoint, "clock")?;
    let at = answer.get("now").and_then(serde_json::Value::as_str);
    let at = at.ok_or("the clock tells no time")?;
    Ok(VirtualTime {
        real: before,
        at: at.parse()?,
        speed,
    })
}
