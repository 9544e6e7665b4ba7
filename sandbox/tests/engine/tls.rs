//! TLS as clients see it: a certificate of the sandbox's authority, for every address the server is reached at.

use std::net::IpAddr;
use std::path::PathBuf;

use atrest_sandbox::engine::Engines;
use mysql_async::prelude::Queryable as _;
use mysql_async::{Conn, OptsBuilder, SslOpts};

use crate::bed::{Bed, PASSWORD, becomes, code, login, servers_in, value};

/// A login that checks the server's certificate against `ca_file`.
async fn verified(
    address: IpAddr,
    user: &str,
    ca_file: PathBuf,
) -> Result<Conn, mysql_async::Error> {
    let ssl = SslOpts::default()
        .with_root_certs(vec![ca_file.into()])
        .with_disable_built_in_roots(true);
    let opts = OptsBuilder::from_opts(login(address, user, PASSWORD)).ssl_opts(ssl);
    Conn::new(opts).await
}

async fn through(bed: &Bed, name: &str, user: &str) -> Result<Conn, mysql_async::Error> {
    let address = bed.engines.address_of(name).unwrap();
    verified(address, user, bed.engines.ca_file()).await
}

/// The TLS version of the connection.
async fn version(conn: &mut Conn) -> String {
    let row = value::<(String, String)>(conn, "SHOW SESSION STATUS LIKE 'Ssl_version'").await;
    row.1
}

pub(crate) async fn a_certificate_is_for_every_address_of_its_server(bed: Bed) {
    let server = bed.create("prod").await;
    let mut client = through(&bed, "prod", "admin").await.unwrap();
    let first = version(&mut client).await;
    assert!(["TLSv1.2", "TLSv1.3"].contains(&first.as_str()), "{first}");
    let processes = servers_in(&bed.work);

    // A rename, and as many further names as the first block of addresses has.
    bed.engines
        .open_endpoint(&server, "old-prod", 3306)
        .await
        .unwrap();
    through(&bed, "old-prod", "admin").await.unwrap();
    assert_eq!(processes, servers_in(&bed.work), "no restart");
    let mut last = None;
    for n in 0..254 {
        last = Some(bed.engines.address_of(&format!("name-{n}")).unwrap());
    }
    assert_ne!(
        block(last.unwrap()),
        block(bed.engines.address_of("prod").unwrap())
    );
    bed.engines
        .open_endpoint(&server, "name-253", 3306)
        .await
        .unwrap();
    through(&bed, "name-253", "admin").await.unwrap();
    // MySQL 5 reads its certificate at the start alone.
    assert_eq!(
        processes == servers_in(&bed.work),
        bed.kind.name != "mysql57"
    );
    // Whoever starts later has the certificate for both blocks from the beginning.
    bed.create("prod").await;
    through(&bed, "prod", "admin").await.unwrap();

    // The authority of another sandbox is not trusted.
    let dir = tempfile::tempdir().unwrap();
    let other = Engines::open(
        atrest_sandbox::EngineMode::Required,
        crate::bed::install_dir(),
        dir.path().join("work"),
    )
    .await
    .unwrap()
    .unwrap();
    let address = bed.engines.address_of("prod").unwrap();
    let refused = verified(address, "admin", other.ca_file())
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("UnknownIssuer"), "{refused}");
    other.shutdown().await.unwrap();
}

fn block(address: IpAddr) -> [u8; 3] {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, _] = address.octets();
            [a, b, c]
        }
        IpAddr::V6(address) => panic!("{address}"),
    }
}

pub(crate) async fn an_account_and_a_server_can_require_tls(bed: Bed) {
    let source = bed.create("prod").await;
    let replica = bed
        .engines
        .replica(&source, bed.read_only("1"))
        .await
        .unwrap();
    bed.engines
        .open_endpoint(&replica, "replica", 3306)
        .await
        .unwrap();
    let address = bed.engines.address_of("prod").unwrap();
    let mut admin = through(&bed, "prod", "admin").await.unwrap();
    let account = format!(
        "CREATE USER secured@'%' IDENTIFIED BY '{}' REQUIRE SSL",
        PASSWORD.replace('\\', "\\\\").replace('\'', "\\'")
    );
    admin.query_drop(account).await.unwrap();
    through(&bed, "prod", "secured").await.unwrap();
    let plain = |user| Conn::new(login(address, user, PASSWORD));
    assert_eq!(code(plain("secured").await), 1045);
    // A login without TLS that the server has no record of yet: caching_sha2_password exchanges keys for it.
    let fresh = format!(
        "CREATE USER fresh@'%' IDENTIFIED BY '{}'",
        PASSWORD.replace('\\', "\\\\").replace('\'', "\\'")
    );
    admin.query_drop(fresh).await.unwrap();
    plain("fresh").await.unwrap();

    // The parameter of RDS: nobody comes in without TLS any more, and replication goes on.
    let mut spec = bed.spec();
    spec.parameters
        .insert("require_secure_transport".to_owned(), "1".to_owned());
    bed.engines.reconfigure(&source, spec).await.unwrap();
    bed.engines.restart(&source).await.unwrap();
    let refused = code(plain("admin").await);
    // MariaDB 10.11 says no more than that it does not let them in.
    assert!([3159, 1045].contains(&refused), "{refused}");
    let mut admin = through(&bed, "prod", "admin").await.unwrap();
    admin.query_drop("CREATE DATABASE after_it").await.unwrap();
    let mut follower = through(&bed, "replica", "admin").await.unwrap();
    let there = "SELECT COUNT(*) FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = 'after_it'";
    becomes(&mut follower, there, 1).await;
}

/// MySQL 5.6 has TLS, of a version that no client of today speaks.
pub(crate) async fn old_tls_is_not_spoken(bed: Bed) {
    bed.create("prod").await;
    let address = bed.engines.address_of("prod").unwrap();
    let mut admin = Conn::new(login(address, "admin", PASSWORD)).await.unwrap();
    let has = value::<(String, String)>(&mut admin, "SHOW VARIABLES LIKE 'have_ssl'").await;
    assert_eq!(has.1, "YES");
    let refused = through(&bed, "prod", "admin").await.unwrap_err();
    assert!(
        refused
            .to_string()
            .contains("ServerDoesNotSupportTls12Or13"),
        "{refused}"
    );
}
