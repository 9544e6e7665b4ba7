//! Who calls, where and which service: all of it stands in the credential scope of Signature Version 4.

use hmac::{Hmac, KeyInit as _, Mac as _};
use hyper::http::request::Parts;
use sha2::{Digest as _, Sha256};

use crate::rds::error::ApiError;

/// The parts of an `Authorization` header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Credential {
    pub(crate) access_key_id: String,
    date: String,
    pub(crate) region: String,
    pub(crate) service: String,
    signed_headers: String,
    signature: String,
}

impl Credential {
    /// Reads the header `AWS4-HMAC-SHA256 Credential=…, SignedHeaders=…, Signature=…`.
    pub(crate) fn from_header(header: &str) -> Option<Self> {
        let fields = header.strip_prefix("AWS4-HMAC-SHA256")?;
        let field = |name: &str| {
            fields
                .split(',')
                .map(str::trim)
                .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
                .map(str::to_owned)
        };
        let scope = field("Credential")?;
        let mut parts = scope.split('/');
        let credential = Self {
            access_key_id: parts.next()?.to_owned(),
            date: parts.next()?.to_owned(),
            region: parts.next()?.to_owned(),
            service: parts.next()?.to_owned(),
            signed_headers: field("SignedHeaders").unwrap_or_default(),
            signature: field("Signature").unwrap_or_default(),
        };
        (parts.next() == Some("aws4_request")).then_some(credential)
    }

    /// Checks the signature with the caller's secret key.
    pub(crate) fn verify(
        &self,
        secret: &str,
        request: &Parts,
        body: &[u8],
    ) -> Result<(), ApiError> {
        let header = |name: &str| {
            request
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        let mut headers = String::new();
        for name in self.signed_headers.split(';') {
            headers.push_str(name);
            headers.push(':');
            headers.push_str(
                &header(name)
                    .split_whitespace()
                    .collect::<Vec<_>>()
                    .join(" "),
            );
            headers.push('\n');
        }
        let mut query: Vec<&str> = request
            .uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter(|pair| !pair.is_empty())
            .collect();
        query.sort_unstable();
        // The hash is of what came, whatever a header says of it.
        let payload = hex(&Sha256::digest(body));
        let canonical = format!(
            "{}\n{}\n{}\n{headers}\n{}\n{payload}",
            request.method,
            request.uri.path(),
            query.join("&"),
            self.signed_headers
        );
        let scope = format!(
            "{}/{}/{}/aws4_request",
            self.date, self.region, self.service
        );
        let to_sign = format!(
            "AWS4-HMAC-SHA256\n{}\n{scope}\n{}",
            header("x-amz-date"),
            hex(&Sha256::digest(canonical.as_bytes()))
        );
        let mut key = sign(format!("AWS4{secret}").as_bytes(), &self.date);
        for part in [&self.region, &self.service, "aws4_request"] {
            key = sign(&key, part);
        }
        if hex(&sign(&key, &to_sign)) == self.signature {
            Ok(())
        } else {
            Err(ApiError::new(
                "SignatureDoesNotMatch",
                "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.",
            ))
        }
    }
}

fn sign(key: &[u8], message: &str) -> Vec<u8> {
    // HMAC takes keys of every length.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return Vec::new();
    };
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scope_names_key_region_and_service() {
        let header = "AWS4-HMAC-SHA256 Credential=AKID/20261124/eu-west-1/rds/aws4_request, SignedHeaders=host;x-amz-date, Signature=abc";
        let credential = Credential::from_header(header).expect("a credential");
        assert_eq!(
            (
                credential.access_key_id.as_str(),
                credential.region.as_str(),
                credential.service.as_str()
            ),
            ("AKID", "eu-west-1", "rds")
        );
        assert!(Credential::from_header("Basic abc").is_none());
        assert!(
            Credential::from_header(
                "AWS4-HMAC-SHA256 Credential=AKID/20261124/eu-west-1/rds/other"
            )
            .is_none()
        );
    }

    #[test]
    fn a_known_signature_is_verified_and_another_secret_is_not() {
        // The worked example of the AWS General Reference (GET, IAM ListUsers).
        let header = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, SignedHeaders=content-type;host;x-amz-date, Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
        let (parts, ()) = hyper::Request::get("/?Action=ListUsers&Version=2010-05-08")
            .header(
                "content-type",
                "application/x-www-form-urlencoded; charset=utf-8",
            )
            .header("host", "iam.amazonaws.com")
            .header("x-amz-date", "20150830T123600Z")
            .body(())
            .expect("a request")
            .into_parts();
        let credential = Credential::from_header(header).expect("a credential");
        assert!(
            credential
                .verify("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", &parts, b"")
                .is_ok()
        );
        assert_eq!(
            credential
                .verify("other", &parts, b"")
                .expect_err("refused")
                .code,
            "SignatureDoesNotMatch"
        );
    }
}
