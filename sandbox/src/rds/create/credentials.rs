//! The master user of a new instance or cluster.

use super::super::error::ApiError;
use super::super::params::Params;
use super::super::state::Password;

/// Who the master user is, as asked for.
#[derive(Debug)]
pub(crate) struct Master {
    pub(crate) username: String,
    /// `None` when RDS makes it and keeps it in Secrets Manager.
    pub(crate) password: Option<Password>,
}

/// Reads `MasterUsername`, `MasterUserPassword` and `ManageMasterUserPassword`: the name and either a
/// password or the wish that RDS manages it.
pub(crate) fn master(params: &Params, engine: &str) -> Result<Master, ApiError> {
    let managed = params.boolean("ManageMasterUserPassword")?.unwrap_or(false);
    let username = params.text("MasterUsername").ok_or_else(|| {
        ApiError::value("The parameter MasterUsername must be provided and must not be blank.")
    })?;
    check_username(engine, &username)?;
    let password = params.text("MasterUserPassword").map(Password);
    if let Some(password) = &password {
        check_password(engine, password)?;
    }
    match (password, managed) {
        (Some(_), true) => Err(ApiError::combination(
            "You can't specify MasterUserPassword with ManageMasterUserPassword.",
        )),
        (None, false) => Err(ApiError::value(
            "The parameter MasterUserPassword must be provided and must not be blank.",
        )),
        (password, _) if !managed && params.text("MasterUserSecretKmsKeyId").is_some() => {
            drop(password);
            Err(ApiError::combination(
                "You can't specify MasterUserSecretKmsKeyId without ManageMasterUserPassword.",
            ))
        }
        (password, _) => Ok(Master { username, password }),
    }
}

fn check_username(engine: &str, name: &str) -> Result<(), ApiError> {
    let postgres = engine.contains("postgres");
    // 16 characters for MySQL and MariaDB, 63 for PostgreSQL; letters first.
    let longest = if postgres { 63 } else { 16 };
    let fine = name.len() <= longest
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || letter == '_');
    if !fine {
        return Err(ApiError::value(format!(
            "The parameter MasterUsername is not valid: it must be 1 to {longest} letters and numbers and begin with a letter."
        )));
    }
    let reserved: &[&str] = if postgres {
        &["admin", "postgres_fdw", "rdsadmin", "rds_superuser", "user"]
    } else {
        &["rdsadmin", "rdsrepladmin", "root", "mysql"]
    };
    if reserved.iter().any(|word| word.eq_ignore_ascii_case(name)) {
        return Err(ApiError::value(format!(
            "MasterUsername {name} cannot be used as it is a reserved word used by the engine"
        )));
    }
    Ok(())
}

/// The message never repeats the password.
pub(crate) fn check_password(engine: &str, password: &Password) -> Result<(), ApiError> {
    let longest = if engine.contains("postgres") { 128 } else { 41 };
    let length = password.0.chars().count();
    if length < 8 {
        return Err(ApiError::value(
            "The parameter MasterUserPassword is not a valid password because it is shorter than 8 characters.",
        ));
    }
    if length > longest {
        return Err(ApiError::value(format!(
            "The parameter MasterUserPassword is not a valid password because it is longer than {longest} characters."
        )));
    }
    if password
        .0
        .chars()
        .any(|letter| !letter.is_ascii_graphic() || "/@\" ".contains(letter))
    {
        return Err(ApiError::value(
            "The parameter MasterUserPassword is not a valid password. Only printable ASCII characters besides '/', '@', '\"', ' ' may be used.",
        ));
    }
    Ok(())
}

/// A password as RDS makes one for a secret.
pub(crate) fn made(dice: &mut crate::dice::Dice, resource_id: &str) -> Password {
    Password(dice.word(
        &format!("managed-password/{resource_id}"),
        "ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789-_.~",
        28,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_checked_without_being_repeated() {
        for bad in ["geheim1", "with space1", "sla/sh/word", &"x".repeat(42)] {
            let error = check_password("mysql", &Password(bad.to_owned())).expect_err("refused");
            assert!(!error.message.contains(bad), "{}", error.message);
        }
        assert!(check_password("postgres", &Password("x".repeat(128))).is_ok());
    }

    #[test]
    fn reserved_names_differ_by_engine() {
        assert!(check_username("mysql", "admin").is_ok());
        assert!(check_username("postgres", "admin").is_err());
        assert!(check_username("mysql", "rdsadmin").is_err());
        assert!(check_username("mysql", "1st").is_err());
    }
}
