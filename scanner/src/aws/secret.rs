//! Passwords kept in Secrets Manager, in the form RDS writes them.

use aws_config::Region;
use secrecy::SecretString;
use serde_json::Value;

use super::{Aws, FALLBACK_REGION, no_retries};
use crate::error::{AwsError, AwsErrorKind};

/// What a secret of a database holds. `Debug` does not show the password.
#[derive(Debug, Clone)]
pub struct DatabaseSecret {
    /// `username`; some hand-made secrets have none.
    pub username: Option<String>,
    /// `password`.
    pub password: SecretString,
}

/// A secret that gives no password.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Secrets Manager, or the way to it.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// The value is not what RDS writes: a JSON object with `username` and `password`.
    #[error("secret {id} {problem}")]
    Form {
        /// The id asked for.
        id: String,
        /// What is wrong with it; never a piece of the value.
        problem: &'static str,
    },
}

impl DatabaseSecret {
    /// Reads the value of a secret. Never quotes it in an error.
    fn parse(id: &str, text: &str) -> Result<Self, SecretError> {
        let form = |problem| SecretError::Form {
            id: id.to_owned(),
            problem,
        };
        // The parser's own error may quote the text.
        let value: Value =
            serde_json::from_str(text).map_err(|_quotes_the_text| form("holds no JSON object"))?;
        if !value.is_object() {
            return Err(form("holds no JSON object"));
        }
        let member = |name| value.get(name).and_then(Value::as_str);
        Ok(Self {
            username: member("username").map(str::to_owned),
            password: SecretString::from(
                member("password").ok_or_else(|| form("has no text \"password\" in it"))?,
            ),
        })
    }
}

/// The Region an ARN names.
fn region_of(id: &str) -> Option<&str> {
    id.strip_prefix("arn:")?
        .split(':')
        .nth(2)
        .filter(|region| !region.is_empty())
}

impl Aws {
    /// `secretsmanager:GetSecretValue` of an ARN or a name: the user and the password in it.
    ///
    /// An ARN is asked for in its own Region, a name in `region`, else in the configured one.
    ///
    /// # Errors
    ///
    /// A failed call, or a value that is no JSON object with a `password`.
    pub async fn database_secret(
        &self,
        region: Option<&str>,
        id: &str,
    ) -> Result<DatabaseSecret, SecretError> {
        let region = region_of(id)
            .or(region)
            .or(self.region())
            .unwrap_or(FALLBACK_REGION);
        let config = aws_sdk_secretsmanager::config::Builder::from(&self.config)
            .region(Region::new(region.to_owned()))
            .retry_config(no_retries())
            .build();
        let request = aws_sdk_secretsmanager::Client::from_conf(config)
            .get_secret_value()
            .secret_id(id);
        let answer = self
            .limits
            .bucket("secretsmanager", region)
            .call(|| {
                let request = request.clone();
                Box::pin(async move {
                    request.send().await.map_err(|e| {
                        let mut error = AwsError::from_sdk("GetSecretValue", region, &e);
                        // Secrets Manager's own code, which says nothing of what was looked for.
                        if error.code.as_deref() == Some("ResourceNotFoundException") {
                            error.kind = AwsErrorKind::NotFound;
                            error.message = format!("there is no secret {id:?}");
                        }
                        error
                    })
                })
            })
            .await?;
        let text = answer.secret_string().ok_or_else(|| SecretError::Form {
            id: id.to_owned(),
            problem: "is binary; RDS writes JSON text",
        })?;
        DatabaseSecret::parse(id, text)
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn what_rds_writes_is_read_and_nothing_else_is_guessed() {
        let secret = DatabaseSecret::parse(
            "db",
            r#"{"username":"admin","password":"a\"b","engine":"mysql","port":3306}"#,
        )
        .unwrap();
        assert_eq!(secret.username.as_deref(), Some("admin"));
        assert_eq!(secret.password.expose_secret(), "a\"b");
        for (text, problem) in [
            ("hunter2", "secret db holds no JSON object"),
            ("\"hunter2\"", "secret db holds no JSON object"),
            (
                r#"{"username":"admin","pass":"hunter2"}"#,
                "secret db has no text \"password\" in it",
            ),
            (
                r#"{"password":{"hunter2":1}}"#,
                "secret db has no text \"password\" in it",
            ),
        ] {
            assert_eq!(
                DatabaseSecret::parse("db", text).unwrap_err().to_string(),
                problem
            );
        }
        assert!(!format!("{secret:?}").contains("a\\\"b"));
    }

    #[test]
    fn an_arn_names_its_region() {
        let arn = "arn:aws:secretsmanager:eu-north-1:111122223333:secret:rds!db-1-AbCdEf";
        assert_eq!(region_of(arn), Some("eu-north-1"));
        assert_eq!(region_of("rds!db-1"), None);
        assert_eq!(region_of("arn:aws:secretsmanager::1:secret:x"), None);
    }
}
