//! Which servers are on this machine and how each is started.
//!
//! A server in the install folder describes itself in `engine.toml` (written by `install-engines.sh`), so
//! nothing here knows about kinds. A system-wide server is described from the usual places.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tokio::process::Command;

use super::EngineError;

/// `MAJOR.MINOR.PATCH` of a server or of an RDS `EngineVersion`; what RDS leaves out counts as 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u32, pub(super) u32, pub(super) u32);

impl Version {
    /// Reads the leading numbers of `8.0.35`, `10.11.9-MariaDB`, `8.0.mysql_aurora.3.04.0`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut numbers = text
            .split(['.', '-'])
            .map_while(|part| part.parse::<u32>().ok());
        let major = numbers.next()?;
        Some(Self(
            major,
            numbers.next().unwrap_or(0),
            numbers.next().unwrap_or(0),
        ))
    }

    fn distance(self, other: Self) -> (u32, u32) {
        let line = |v: Self| v.0.saturating_mul(100).saturating_add(v.1);
        (line(self).abs_diff(line(other)), self.2.abs_diff(other.2))
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

/// The two families; they differ in syntax, tables and replication words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Family {
    /// Oracle's MySQL.
    Mysql,
    /// MariaDB.
    Mariadb,
}

impl Family {
    /// RDS's `Engine` value.
    pub(super) fn of_engine(engine: &str) -> Option<Self> {
        match engine {
            "mysql" => Some(Self::Mysql),
            "mariadb" => Some(Self::Mariadb),
            _ => None,
        }
    }

    /// RDS's name of the family.
    pub(super) fn engine(self) -> &'static str {
        match self {
            Self::Mysql => "mysql",
            Self::Mariadb => "mariadb",
        }
    }
}

/// What a server really is, as opposed to the RDS version it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Flavor {
    pub(super) family: Family,
    pub(super) version: Version,
}

impl Flavor {
    /// MySQL at this version or newer.
    pub(super) fn mysql_since(self, major: u32, minor: u32, patch: u32) -> bool {
        self.family == Family::Mysql && self.version >= Version(major, minor, patch)
    }

    /// MariaDB at this version or newer.
    pub(super) fn mariadb_since(self, major: u32, minor: u32) -> bool {
        self.family == Family::Mariadb && self.version >= Version(major, minor, 0)
    }

    /// MariaDB of any version.
    pub(super) fn is_mariadb(self) -> bool {
        self.family == Family::Mariadb
    }
}

/// How an empty data folder is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Init {
    /// `init_sources` are SQL files, fed to `--bootstrap`.
    Bootstrap,
    /// The server does it with `--initialize-insecure`.
    InitializeInsecure,
    /// The first of `init_sources` is a ready data folder.
    Copy,
}

/// `engine.toml`, paths relative to it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    kind: String,
    family: Family,
    version: String,
    server: PathBuf,
    loader: Option<PathBuf>,
    library_path: Vec<PathBuf>,
    basedir: PathBuf,
    lc_messages_dir: PathBuf,
    character_sets_dir: Option<PathBuf>,
    plugin_dir: PathBuf,
    init: Init,
    init_sources: Vec<PathBuf>,
    options: Vec<String>,
}

/// One installed server.
#[derive(Debug, Clone)]
pub(super) struct Install {
    pub(super) kind: String,
    pub(super) flavor: Flavor,
    pub(super) init: Init,
    pub(super) init_sources: Vec<PathBuf>,
    server: PathBuf,
    loader: Option<PathBuf>,
    library_path: Vec<PathBuf>,
    /// `--basedir` and the rest of what the binary has to be told, without data folder and network.
    options: Vec<OsString>,
}

impl Install {
    fn from_description(folder: &Path, description: Description) -> Option<Self> {
        let at = |path: &Path| folder.join(path);
        let option = |name: &str, path: &Path| {
            let mut text = OsString::from(format!("--{name}="));
            text.push(folder.join(path));
            text
        };
        let mut options = vec![
            option("basedir", &description.basedir),
            option("lc-messages-dir", &description.lc_messages_dir),
            option("plugin-dir", &description.plugin_dir),
        ];
        options.extend(
            description
                .character_sets_dir
                .iter()
                .map(|path| option("character-sets-dir", path)),
        );
        options.extend(description.options.iter().map(OsString::from));
        Some(Self {
            kind: description.kind,
            flavor: Flavor {
                family: description.family,
                version: Version::parse(&description.version)?,
            },
            init: description.init,
            init_sources: description
                .init_sources
                .iter()
                .map(|path| at(path))
                .collect(),
            server: at(&description.server),
            loader: description.loader.as_deref().map(at),
            library_path: description
                .library_path
                .iter()
                .map(|path| at(path))
                .collect(),
            options,
        })
    }

    /// The command up to and with the options that describe the installation.
    pub(super) fn command(&self) -> Command {
        let libraries = std::env::join_paths(&self.library_path).unwrap_or_default();
        let mut command = match &self.loader {
            Some(loader) => {
                let mut command = Command::new(loader);
                command
                    .arg("--library-path")
                    .arg(&libraries)
                    .arg(&self.server);
                command
            }
            None => {
                let mut command = Command::new(&self.server);
                if !self.library_path.is_empty() {
                    command.env("LD_LIBRARY_PATH", &libraries);
                }
                command
            }
        };
        command.arg("--no-defaults").args(&self.options);
        // A server refuses to run as root unless it is told to.
        if rustix::process::geteuid().is_root() {
            command.arg("--user=root");
        }
        command
    }

    /// `mariadb 10.11.14`.
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.flavor.family.engine(), self.flavor.version)
    }
}

/// Every server under `install_dir`, then a system-wide one of a line that is not there yet.
pub(super) async fn discover(install_dir: &Path) -> Result<Vec<Install>, EngineError> {
    let mut installs = Vec::new();
    let folders = match std::fs::read_dir(install_dir) {
        Ok(folders) => folders
            .filter_map(Result::ok)
            .map(|entry| entry.path())
            .collect(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(source) => {
            return Err(EngineError::io(
                format!("reading {}", install_dir.display()),
                source,
            ));
        }
    };
    for folder in folders {
        let file = folder.join("engine.toml");
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory
                ) =>
            {
                continue;
            }
            Err(source) => {
                return Err(EngineError::io(
                    format!("reading {}", file.display()),
                    source,
                ));
            }
        };
        let described =
            toml::from_str::<Description>(&text).map_err(|error| error.message().to_owned());
        match described.map(|description| Install::from_description(&folder, description)) {
            Ok(Some(install)) => installs.push(install),
            Ok(None) => {
                return Err(EngineError::bad_description(
                    &file,
                    "the version is not a number",
                ));
            }
            Err(message) => return Err(EngineError::bad_description(&file, &message)),
        }
    }
    for name in ["mariadbd", "mysqld"] {
        if let Some(install) = system_wide(name).await
            && !installs.iter().any(|known: &Install| {
                known.flavor.family == install.flavor.family
                    && known.flavor.version.distance(install.flavor.version).0 == 0
            })
        {
            installs.push(install);
        }
    }
    installs.sort_by(|a, b| {
        (a.flavor.family.engine(), a.flavor.version, &a.kind).cmp(&(
            b.flavor.family.engine(),
            b.flavor.version,
            &b.kind,
        ))
    });
    Ok(installs)
}

/// A server installed by the distribution: `PATH`, then the folder where servers usually are.
async fn system_wide(name: &str) -> Option<Install> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    let server = std::env::split_paths(&search)
        .chain(["/usr/sbin".into(), "/usr/libexec".into()])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())?;
    let output = Command::new(&server)
        .args(["--no-defaults", "--version"])
        .output();
    let output = tokio::time::timeout(std::time::Duration::from_secs(10), output)
        .await
        .ok()?
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = Version::parse(text.split("Ver ").nth(1)?.trim())?;
    let family = if text.contains("MariaDB") {
        Family::Mariadb
    } else {
        Family::Mysql
    };
    let share = [
        "usr/share/mariadb",
        "usr/share/mysql",
        "usr/share/mysql-8.0",
    ]
    .into_iter()
    .find(|share| Path::new("/").join(share).join("charsets").is_dir())?;
    let plugins = [
        "usr/lib/mysql/plugin",
        "usr/lib64/mysql/plugin",
        "usr/lib64/mariadb/plugin",
        "usr/lib/mariadb/plugin",
    ];
    let plugin_dir = plugins
        .into_iter()
        .find(|plugins| Path::new("/").join(plugins).is_dir())?;
    let (init, init_sources, options) = match family {
        Family::Mariadb => (Init::Bootstrap, bootstrap_sources(share), Vec::new()),
        Family::Mysql if version >= Version(8, 0, 0) => (
            Init::InitializeInsecure,
            Vec::new(),
            vec![
                "--mysqlx=OFF".to_owned(),
                "--secure-file-priv=NULL".to_owned(),
            ],
        ),
        Family::Mysql if version >= Version(5, 7, 0) => (
            Init::InitializeInsecure,
            Vec::new(),
            vec!["--secure-file-priv=NULL".to_owned()],
        ),
        Family::Mysql => return None,
    };
    let description = Description {
        kind: format!("system-{name}"),
        family,
        version: version.to_string(),
        server,
        loader: None,
        library_path: Vec::new(),
        basedir: "usr".into(),
        lc_messages_dir: share.into(),
        character_sets_dir: Some(Path::new(share).join("charsets")),
        plugin_dir: plugin_dir.into(),
        init,
        init_sources,
        options,
    };
    Install::from_description(Path::new("/"), description)
}

fn bootstrap_sources(share: &str) -> Vec<PathBuf> {
    let stems = [
        "system_tables",
        "performance_tables",
        "system_tables_data",
        "maria_add_gis_sp_bootstrap",
        "sys_schema",
    ];
    let candidates = stems.iter().flat_map(|stem| {
        ["mariadb_", "mysql_", ""]
            .map(|prefix| Path::new(share).join(format!("{prefix}{stem}.sql")))
    });
    candidates
        .filter(|file| Path::new("/").join(file).is_file())
        .collect()
}

/// The install of the same family whose version is nearest; of two equally near the newer.
pub(super) fn nearest<'a>(
    installs: &'a [std::sync::Arc<Install>],
    engine: &str,
    engine_version: &str,
) -> Option<&'a std::sync::Arc<Install>> {
    let family = Family::of_engine(engine)?;
    let wanted = Version::parse(engine_version)?;
    installs
        .iter()
        .filter(|install| install.flavor.family == family)
        .min_by_key(|install| {
            (
                install.flavor.version.distance(wanted),
                std::cmp::Reverse(install.flavor.version),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn install(family: Family, version: &str) -> Arc<Install> {
        Arc::new(Install {
            kind: version.to_owned(),
            flavor: Flavor {
                family,
                version: Version::parse(version).unwrap(),
            },
            init: Init::Bootstrap,
            init_sources: Vec::new(),
            server: PathBuf::new(),
            loader: None,
            library_path: Vec::new(),
            options: Vec::new(),
        })
    }

    #[test]
    fn the_nearest_server_of_the_family_stands_for_a_version() {
        let all = [
            install(Family::Mysql, "5.6.24"),
            install(Family::Mysql, "5.7.29"),
            install(Family::Mysql, "9.7.4"),
            install(Family::Mariadb, "10.11.14"),
            install(Family::Mariadb, "11.8.9"),
        ];
        let pick =
            |engine, version| nearest(&all, engine, version).map(|install| install.kind.as_str());
        assert_eq!(pick("mysql", "5.6.51"), Some("5.6.24"));
        assert_eq!(pick("mysql", "5.7.44"), Some("5.7.29"));
        assert_eq!(pick("mysql", "8.0.35"), Some("9.7.4"));
        assert_eq!(pick("mysql", "8.4"), Some("9.7.4"));
        assert_eq!(pick("mariadb", "10.6.19"), Some("10.11.14"));
        assert_eq!(pick("mariadb", "11.4.5"), Some("11.8.9"));
        assert_eq!(pick("postgres", "16.4"), None);
    }

    #[test]
    fn a_version_is_read_up_to_the_first_word() {
        assert_eq!(
            Version::parse("10.11.14-MariaDB-log"),
            Some(Version(10, 11, 14))
        );
        assert_eq!(
            Version::parse("8.0.mysql_aurora.3.04.0"),
            Some(Version(8, 0, 0))
        );
        assert_eq!(Version::parse("aurora"), None);
    }
}
