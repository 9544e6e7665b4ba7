//! Migrations as workflows of a [Restate](https://restate.dev) server.
//!
//! Restate keeps the documents of the ticks and waits between them; what a step is and what may be sent is
//! [`atrest_fixer::tick`] alone. Nothing waits inside of a step of a workflow, and no step gives out a secret. See
//! docs/restate.md.

mod worker;
mod workflow;

pub use restate_sdk::endpoint::Endpoint;
pub use restate_sdk::http_server::HttpServer;

pub use self::worker::{Settings, Worker};
pub use self::workflow::{Ended, Legs, Migrations, Status};

/// What a Restate server discovers. With an identity key only its requests are answered.
///
/// # Errors
///
/// The key is none.
pub fn endpoint(worker: Worker, identity_key: Option<&str>) -> Result<Endpoint, String> {
    let legs = Legs::new(std::sync::Arc::new(worker));
    let builder = Endpoint::builder().bind(Migrations).bind(legs);
    match identity_key {
        None => Ok(builder.build()),
        Some(key) => builder
            .identity_key(key)
            .map(|builder| builder.build())
            .map_err(|error| format!("the identity key cannot be used: {error}")),
    }
}
