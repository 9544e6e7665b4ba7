//! One POST over the HTTP client and the TLS of the AWS SDK: no second stack.

use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use aws_smithy_http_client::Connector;
use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use secrecy::{ExposeSecret as _, SecretString};

/// Where events are posted to. A path or a query often holds a token, so that only the host is ever shown.
#[derive(Debug, Clone)]
pub(super) struct Target {
    url: SecretString,
    host: String,
    is_loopback: bool,
}

impl Target {
    /// Reads a URL: `https`, or `http` to this machine. The error says nothing of what may be a secret.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (is_tls, rest) = if let Some(rest) = text.strip_prefix("https://") {
            (true, rest)
        } else if let Some(rest) = text.strip_prefix("http://") {
            (false, rest)
        } else {
            return Err("a URL that begins with https://".to_owned());
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let authority = rest.get(..end).unwrap_or_default();
        if authority.contains('@') {
            return Err("no user and password in it: events are signed".to_owned());
        }
        let host = match authority.strip_prefix('[') {
            Some(bracketed) => bracketed.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        };
        let is_loopback = host == "localhost"
            || host
                .parse::<IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        if host.is_empty() {
            return Err("a URL with a host".to_owned());
        }
        if !is_tls && !is_loopback {
            return Err("https: anybody on the way could read and change events".to_owned());
        }
        let mut probe = HttpRequest::new(SdkBody::empty());
        probe
            .set_uri(text)
            .map_err(|_bad| "a URL without spaces and control characters".to_owned())?;
        Ok(Self {
            host: host.to_owned(),
            is_loopback,
            url: text.into(),
        })
    }

    pub(super) fn host(&self) -> &str {
        &self.host
    }
}

/// What is sent.
#[derive(Debug, Clone)]
pub(super) struct Message {
    pub(super) id: String,
    pub(super) timestamp: i64,
    pub(super) signature: String,
    pub(super) body: String,
}

/// What a receiver answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// `Retry-After`, where it is a number of seconds.
    pub(super) retry_after: Option<Duration>,
}

/// Sends a message once.
pub(super) trait Post: Send + Sync {
    /// The answer, or why there was none.
    fn post(&self, message: &Message) -> impl Future<Output = Result<Answer, String>> + Send;
}

/// The real one.
#[derive(Debug)]
pub(super) struct Http {
    target: Target,
    connector: Connector,
}

impl Http {
    pub(super) fn new(target: Target) -> Self {
        let proxy = if target.is_loopback {
            ProxyConfig::disabled()
        } else {
            ProxyConfig::from_env()
        };
        Self {
            connector: Connector::builder()
                .tls_provider(tls::Provider::Rustls(CryptoMode::AwsLc))
                .proxy_config(proxy)
                .build(),
            target,
        }
    }

    fn request(&self, message: &Message) -> Result<HttpRequest, String> {
        let mut request = HttpRequest::new(SdkBody::from(message.body.as_str()));
        request
            .set_method("POST")
            .map_err(|error| error.to_string())?;
        request
            .set_uri(self.target.url.expose_secret())
            .map_err(|_secret| "the URL is not one".to_owned())?;
        let headers = request.headers_mut();
        for (name, value) in [
            ("content-type", "application/x-ndjson".to_owned()),
            ("content-length", message.body.len().to_string()),
            (
                "user-agent",
                concat!("atrest/", env!("CARGO_PKG_VERSION")).to_owned(),
            ),
            ("webhook-id", message.id.clone()),
            ("webhook-timestamp", message.timestamp.to_string()),
            ("webhook-signature", message.signature.clone()),
        ] {
            headers
                .try_insert(name, value)
                .map_err(|error| error.to_string())?;
        }
        Ok(request)
    }
}

impl Post for Http {
    async fn post(&self, message: &Message) -> Result<Answer, String> {
        let request = self.request(message)?;
        // What it says about itself may quote the URL.
        let answer = self.connector.call(request).await.map_err(|error| {
            let what = if error.is_timeout() {
                "timed out"
            } else if error.is_io() {
                "no connection"
            } else {
                "not spoken to: name, certificate or protocol"
            };
            what.to_owned()
        })?;
        Ok(Answer {
            status: answer.status().as_u16(),
            retry_after: answer
                .headers()
                .get("retry-after")
                .and_then(|seconds| seconds.trim().parse().ok())
                .map(Duration::from_secs),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_leave_this_machine_encrypted_only() {
        for good in [
            "https://hooks.example.com/services/T0/B0/token?x=1",
            "https://hooks.example.com:8443",
            "http://127.0.0.1:9999/",
            "http://[::1]:80/x",
            "http://localhost",
        ] {
            assert!(Target::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "hooks.example.com",
            "ftp://hooks.example.com",
            "http://hooks.example.com/token",
            "http://127.0.0.1.example.com/",
            "http://localhost@hooks.example.com/",
            "https://user:token@hooks.example.com/",
            "https:///token",
            "https://hooks.example.com/to ken",
        ] {
            let why = Target::parse(bad).unwrap_err();
            assert!(!why.contains("token"), "{why}");
        }
    }

    #[test]
    fn only_the_host_is_shown() {
        let target = Target::parse("https://hooks.example.com/token").unwrap();
        assert_eq!(target.host(), "hooks.example.com");
        assert!(!format!("{target:?}").contains("token"));
    }
}
