//! IAM database authentication: a signed URL in place of a password, good for 15 minutes.

use std::fmt::Write as _;

use aws_config::Region;
use aws_sdk_rds::auth_token::{AuthTokenGenerator, Config};
use secrecy::SecretString;

use super::Aws;

/// A token that could not be made. Nothing was sent anywhere, except for credentials.
#[derive(Debug, thiserror::Error)]
#[error("no IAM token for {host}: {problem}")]
pub struct TokenError {
    /// The host it was for.
    pub host: String,
    /// Why.
    pub problem: String,
}

/// How long a new login may use the token; the longest RDS allows.
const VALID_FOR_SECONDS: u64 = 900;

impl Aws {
    /// A token for `rds-db:connect` as `user` at `host:port`. Host and port are signed: they must be those of the
    /// endpoint, also where the way to it is a tunnel.
    ///
    /// The Region is `region`, else the one in an RDS endpoint's name, else the configured one.
    ///
    /// # Errors
    ///
    /// No Region, no credentials, or a host that is no DNS name.
    pub async fn rds_auth_token(
        &self,
        region: Option<&str>,
        host: &str,
        port: u16,
        user: &str,
    ) -> Result<SecretString, TokenError> {
        let failed = |problem: String| TokenError {
            host: host.to_owned(),
            problem,
        };
        // The SDK's generator ends the process on a host that makes no URL.
        let is_name = !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'));
        if !is_name {
            return Err(failed("a token needs a host name".to_owned()));
        }
        let region = region
            .or_else(|| region_of(host))
            .or(self.region())
            .ok_or_else(|| failed("no Region is known; name it with --region".to_owned()))?;
        let config = Config::builder()
            .hostname(host)
            .port(u64::from(port))
            // The generator puts the name into the URL as it is.
            .username(escaped(user))
            .region(Region::new(region.to_owned()))
            .expires_in(VALID_FOR_SECONDS)
            .build()
            .map_err(|error| failed(error.to_string()))?;
        let token = AuthTokenGenerator::new(config)
            .auth_token(&self.config)
            .await
            .map_err(|error| failed(error.to_string()))?;
        Ok(SecretString::from(token.as_str()))
    }
}

/// The Region in `name.id.REGION.rds.amazonaws.com`, also of the partitions whose domain ends in `.cn`.
fn region_of(host: &str) -> Option<&str> {
    let rest = host
        .strip_suffix(".rds.amazonaws.com")
        .or_else(|| host.strip_suffix(".rds.amazonaws.com.cn"))?;
    rest.rsplit('.').next()
}

/// Percent escapes for everything a URL's query could take for something else.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _written = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[tokio::test]
    async fn a_token_is_signed_for_host_port_and_user() {
        let aws = Aws::fixed(
            "http://127.0.0.1:1",
            "eu-central-1",
            "AKIDEXAMPLE",
            "secret-key-of-the-test",
        );
        let host = "prod.abc.eu-north-1.rds.amazonaws.com";
        let token = aws
            .rds_auth_token(None, host, 3307, "ap&p o'b")
            .await
            .unwrap();
        let token = token.expose_secret();
        let start = format!("{host}:3307/?Action=connect&DBUser=ap%26p%20o%27b&");
        assert!(token.starts_with(&start), "{token}");
        for part in [
            "X-Amz-Algorithm=AWS4-HMAC-SHA256",
            "X-Amz-Expires=900",
            "eu-north-1%2Frds-db%2Faws4_request",
            "X-Amz-Signature=",
        ] {
            assert!(token.contains(part), "{part}: {token}");
        }
        assert!(!token.contains("secret-key-of-the-test"));
        for bad in ["::1", "a b", "", "x/y"] {
            assert!(
                aws.rds_auth_token(None, bad, 3306, "app").await.is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn an_endpoint_names_its_region() {
        assert_eq!(
            region_of("a.b.eu-north-1.rds.amazonaws.com"),
            Some("eu-north-1")
        );
        assert_eq!(
            region_of("a.b.cn-north-1.rds.amazonaws.com.cn"),
            Some("cn-north-1")
        );
        assert_eq!(region_of("localhost"), None);
    }
}
