//! A client that comes back to the old source after it was quiesced: the cutover must not happen.

use mysql_async::prelude::Queryable as _;

use crate::harness::{Sandbox, Start};

#[test]
fn a_client_on_the_old_source_stops_the_cutover() {
    let sandbox = Sandbox::start(&Start {
        scenario: "seed-story",
        engines: "required",
        speed: "1000",
    });
    let pace = [
        "--mysql-tls",
        "off",
        "--poll-interval",
        "20ms",
        "--consistency-window",
        "1s",
    ];
    let plan = [
        "plan",
        "--instance",
        "prod-two",
        "--region",
        "eu-central-1",
        "--kms-key",
        "alias/rds-migration",
        "--mysql-tls",
        "off",
        "--run",
        "fence",
    ];
    sandbox.run(&plan).expect(0);
    let args = [
        &[
            "fix",
            "atrest-plan.json",
            "--execute",
            "--stop-before",
            "validate",
        ][..],
        &pace,
    ]
    .concat();
    sandbox.run(&args).expect(20);

    let instances = sandbox.instances("eu-central-1");
    let (host, port) = instances["old-prod-two"].endpoint().unwrap();
    let options = mysql_async::OptsBuilder::default()
        .ip_or_hostname(host)
        .tcp_port(port)
        .user(Some("billing"))
        .pass(Some("billing-password"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let mut client = runtime.block_on(mysql_async::Conn::new(options)).unwrap();
    runtime.block_on(client.query_drop("SELECT 1")).unwrap();

    let resume = [&["fix", "--resume", "fence"][..], &pace].concat();
    let stopped = sandbox.run(&resume).expect(24);
    assert!(stopped.stdout.contains("billing@"), "{}", stopped.stdout);
    assert!(
        sandbox
            .instances("eu-central-1")
            .contains_key("new-prod-two"),
        "nothing may have the real name yet"
    );

    runtime.block_on(client.disconnect()).unwrap();
    sandbox.run(&resume).expect(0);
    assert!(sandbox.stop().success());
}
