//! The ways that are measured.

use anyhow::Context as _;
use atrest_scanner::compare;
use atrest_scanner::mysql::{self, Target, Tls};
use secrecy::SecretString;

use crate::measure::{self, Sample};
use crate::servers::{DIFFERING, MASTER, PASSWORD, Pair};

/// The first argument that makes this program read and compare two servers.
pub(crate) const WORD: &str = "read-and-compare";

/// A way to find which accounts differ.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Way {
    Atrest,
    BulkQueries,
    PtShowGrants,
}

impl Way {
    pub(crate) fn all() -> [Self; 3] {
        [Self::Atrest, Self::BulkQueries, Self::PtShowGrants]
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Atrest => "atrest: read both, compare",
            Self::BulkQueries => "floor: bulk ordered queries, client, diff",
            Self::PtShowGrants => "pt-show-grants on both, diff",
        }
    }

    pub(crate) fn is_slow(self) -> bool {
        matches!(self, Self::PtShowGrants)
    }

    /// The program that this way needs and that is not on the path.
    pub(crate) fn missing_program(self) -> Option<&'static str> {
        let program = match self {
            Self::Atrest => return None,
            Self::BulkQueries => "mariadb",
            Self::PtShowGrants => "pt-show-grants",
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let found = std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
        (!found).then_some(program)
    }

    /// One run. Fails when this tool does not find exactly the accounts that differ.
    pub(crate) fn run(self, pair: &Pair) -> anyhow::Result<Sample> {
        let [old, new] = pair.addresses()?;
        let options = pair.client_options().display().to_string();
        let dir = pair.dir().display().to_string();
        let shell = |script: &str| {
            let fixed = ["sh", "-ec", script, "bench", &options, &dir, &old, &new];
            fixed.map(str::to_owned).to_vec()
        };
        let command = match self {
            Self::Atrest => vec![
                std::env::current_exe()?.display().to_string(),
                WORD.to_owned(),
                old,
                new,
            ],
            // Both servers side by side, as this tool does it.
            Self::BulkQueries => shell(&format!(
                r#"one() {{ mariadb --defaults-file="$1" --skip-ssl -h "$2" -N -B --quick -e "{}"; }}
                one "$1" "$3" > "$2/a" & one "$1" "$4" > "$2/b"; wait $!
                diff "$2/a" "$2/b" > "$2/d" || [ $? = 1 ]; grep -c '^[<>]' "$2/d""#,
                bulk(pair.is_mariadb())
            )),
            Self::PtShowGrants => shell(
                r#"one() { pt-show-grants -F "$1" -h "$2" --noheader --notimestamp; }
                one "$1" "$3" > "$2/a" & one "$1" "$4" > "$2/b"; wait $!
                diff "$2/a" "$2/b" > "$2/d" || [ $? = 1 ]; grep -c '^[<>]' "$2/d""#,
            ),
        };
        let sample = measure::of(&command, &[])?;
        if matches!(self, Self::Atrest) {
            anyhow::ensure!(
                sample.said == DIFFERING.to_string(),
                "{} accounts differ, {DIFFERING} should",
                sample.said
            );
        }
        Ok(sample)
    }
}

/// The statements of someone who knows the tables.
fn bulk(is_mariadb: bool) -> &'static str {
    if is_mariadb {
        "SELECT * FROM mysql.global_priv ORDER BY User, Host; SELECT * FROM mysql.db ORDER BY User, Host, Db; \
         SELECT User, Host, Db, Table_name, Table_priv FROM mysql.tables_priv ORDER BY 1, 2, 3, 4; \
         SELECT User, Host, Db, Table_name, Column_name, Column_priv FROM mysql.columns_priv ORDER BY 1, 2, 3, 4, 5; \
         SELECT User, Host, Db, Routine_name, Routine_type, Proc_priv FROM mysql.procs_priv ORDER BY 1, 2, 3, 4, 5; \
         SELECT * FROM mysql.roles_mapping ORDER BY 1, 2, 3"
    } else {
        "SELECT * FROM mysql.user ORDER BY User, Host; SELECT * FROM mysql.db ORDER BY User, Host, Db; \
         SELECT User, Host, Db, Table_name, Table_priv FROM mysql.tables_priv ORDER BY 1, 2, 3, 4; \
         SELECT User, Host, Db, Table_name, Column_name, Column_priv FROM mysql.columns_priv ORDER BY 1, 2, 3, 4, 5; \
         SELECT User, Host, Db, Routine_name, Routine_type, Proc_priv FROM mysql.procs_priv ORDER BY 1, 2, 3, 4, 5"
    }
}

/// What is measured of this tool: connect, read, compare, and say how many accounts differ.
pub(crate) fn read_and_compare(addresses: &[String]) -> anyhow::Result<()> {
    use std::io::Write as _;
    let [old, new] = addresses else {
        anyhow::bail!("two addresses");
    };
    let target = |host: &String| {
        let mut target = Target::new(host.clone(), 3306, MASTER, SecretString::from(PASSWORD));
        target.tls = Tls::Off;
        target
    };
    let (old, new) = (target(old), target(new));
    // Built as the tool builds its own.
    let runtime = tokio::runtime::Runtime::new()?;
    let found = runtime.block_on(async {
        let (mut old, mut new) = futures::try_join!(mysql::connect(&old), mysql::connect(&new))?;
        let (diff, _compared) = compare::account_diff(&mut old, &mut new, MASTER)
            .await
            .context("reading the accounts")?;
        futures::join!(old.close(), new.close());
        anyhow::Ok(diff.missing.len() + diff.extra.len() + diff.changed.len())
    })?;
    writeln!(std::io::stdout(), "{found}")?;
    Ok(())
}
