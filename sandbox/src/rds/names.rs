//! Identifiers and ARNs: what RDS accepts as a name.

use super::error::ApiError;
use super::state::Scope;

/// A DB instance identifier: 1 to 63 letters, digits and hyphens, a letter first, no double or trailing
/// hyphen; stored in lower case.
pub(crate) fn instance_id(name: &str, value: &str) -> Result<String, ApiError> {
    check(name, value, 63)
}

/// A DB snapshot identifier: the same with up to 255 characters.
pub(crate) fn snapshot_id(name: &str, value: &str) -> Result<String, ApiError> {
    check(name, value, 255)
}

/// The name of a group, a subscription or the like: as a snapshot's.
pub(crate) fn group_name(name: &str, value: &str) -> Result<String, ApiError> {
    check(name, value, 255)
}

fn check(name: &str, value: &str, longest: usize) -> Result<String, ApiError> {
    let fine = value.len() <= longest
        && value.starts_with(|first: char| first.is_ascii_alphabetic())
        && value
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '-')
        && !value.ends_with('-')
        && !value.contains("--");
    if fine {
        Ok(value.to_ascii_lowercase())
    } else {
        Err(ApiError::value(format!(
            "The parameter {name} is not a valid identifier. Identifiers must begin with a letter; must contain only ASCII letters, digits, and hyphens; and must not end with a hyphen or contain two consecutive hyphens."
        )))
    }
}

/// An RDS ARN, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RdsArn {
    pub(crate) scope: Scope,
    pub(crate) kind: String,
    pub(crate) name: String,
}

/// Takes an RDS ARN apart; `None` when it is none.
pub(crate) fn parse_arn(arn: &str) -> Option<RdsArn> {
    let mut parts = arn.splitn(7, ':');
    if parts.next() != Some("arn")
        || !parts.next()?.starts_with("aws")
        || parts.next() != Some("rds")
    {
        return None;
    }
    let (region, account) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    Some(RdsArn {
        scope: Scope { account, region },
        kind: parts.next()?.to_owned(),
        name: parts.next()?.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_are_checked_and_lowered() {
        assert_eq!(instance_id("X", "Prod-One").expect("fine"), "prod-one");
        for bad in ["", "1a", "a--b", "a-", "a_b", &"a".repeat(64)] {
            assert!(instance_id("X", bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn snapshot_arns_keep_the_colon_of_automated_names() {
        let arn = parse_arn("arn:aws:rds:eu-west-1:111122223333:snapshot:rds:prod-2026-01-01")
            .expect("an arn");
        assert_eq!(
            (arn.kind.as_str(), arn.name.as_str()),
            ("snapshot", "rds:prod-2026-01-01")
        );
    }
}
