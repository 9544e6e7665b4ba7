//! `CreateDBInstance`: a DB instance of its own, or a member of a cluster.
//!
//! Unencrypted unless `StorageEncrypted` says otherwise: RDS's own engines keep that default, unlike Aurora.

pub(crate) mod credentials;
pub(crate) mod member;
mod request;
mod standalone;

pub(crate) use self::standalone::check_db_name;
use super::catalog;
use super::error::ApiError;
use super::state::Region;
use super::{Answer, Call};

/// `CreateDBInstance`.
pub(crate) fn create(call: &mut Call<'_>) -> Answer {
    let request = request::Request::read(call.params)?;
    match call.params.text("DBClusterIdentifier") {
        Some(cluster) => member::create(call, request, &cluster),
        None => standalone::create(call, request),
    }
}

/// Instance classes have a name such as `db.m6g.large`; `db.serverless` is Aurora's.
pub(crate) fn check_class(engine: &str, class: &str) -> Result<(), ApiError> {
    if class == "db.serverless" {
        return if engine.starts_with("aurora") {
            Ok(())
        } else {
            Err(ApiError::combination(format!(
                "RDS does not support creating a DB instance with the following combination: DBInstanceClass={class}, Engine={engine}."
            )))
        };
    }
    let parts: Vec<&str> = class.split('.').collect();
    let fine = parts.len() >= 3
        && parts.first() == Some(&"db")
        && parts.iter().all(|part| {
            !part.is_empty()
                && part
                    .chars()
                    .all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
        });
    if fine {
        Ok(())
    } else {
        Err(ApiError::value(format!(
            "Invalid DB Instance class: {class}"
        )))
    }
}

/// Engines that can be created here.
pub(crate) fn check_engine(engine: &str) -> Result<(), ApiError> {
    if catalog::versions(engine).is_empty() {
        Err(ApiError::value(format!("Invalid DB engine: {engine}")))
    } else {
        Ok(())
    }
}

/// The version that a request means: the one it names, the newest of a major version that it names, or the
/// engine's newest. Any version of a family that the region knows is taken.
pub(crate) fn resolve_version(
    region: &Region,
    engine: &str,
    asked: Option<&str>,
) -> Result<String, ApiError> {
    let versions = catalog::versions(engine);
    let newest = |prefix: &str| {
        versions
            .iter()
            .rev()
            .find(|version| version.starts_with(prefix))
            .map(|version| (*version).to_owned())
    };
    let Some(asked) = asked else {
        return newest("").ok_or_else(|| ApiError::value(format!("Invalid DB engine: {engine}")));
    };
    if versions.contains(&asked) {
        return Ok(asked.to_owned());
    }
    if let Some(version) = newest(&format!("{asked}.")) {
        return Ok(version);
    }
    let whole = asked.split('.').count() >= if engine.contains("postgres") { 2 } else { 3 };
    let known = region
        .parameter_groups
        .contains_key(&catalog::default_parameter_group(engine, asked));
    if whole && known {
        Ok(asked.to_owned())
    } else {
        Err(ApiError::combination(format!(
            "Cannot find version {asked} for {engine}"
        )))
    }
}

/// Logs that an engine can export.
pub(crate) fn check_logs(engine: &str, version: &str, logs: &[String]) -> Result<(), ApiError> {
    let known: &[&str] = if engine.contains("postgres") {
        &["postgresql", "upgrade", "iam-db-auth-error", "instance"]
    } else {
        &[
            "audit",
            "error",
            "general",
            "slowquery",
            "iam-db-auth-error",
            "instance",
        ]
    };
    match logs.iter().find(|log| !known.contains(&log.as_str())) {
        Some(log) => Err(ApiError::combination(format!(
            "You cannot use the log types '{log}' with engine version {engine} {version}. For supported log types, see the documentation."
        ))),
        None => Ok(()),
    }
}
