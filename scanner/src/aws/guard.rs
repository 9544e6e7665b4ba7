//! What stands between the SDK and the network: nothing goes over plain HTTP to another machine unless the operator says
//! so, and no answer may be larger than any of AWS's.

use std::net::IpAddr;

use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;

/// Largest answer that is read. The largest of AWS's, a page of a hundred things with all their members, has not a
/// sixteenth of it.
pub(crate) const MAX_BODY: usize = 16 << 20;

/// Where the SDK fetches credentials of an EC2 instance, an ECS task, an EKS pod: on the machine's own link, and never
/// over TLS.
const METADATA: [&str; 5] = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.170.23",
    "fd00:ec2::254",
    "fd00:ec2::23",
];

/// A request that was not sent.
#[derive(Debug, thiserror::Error)]
#[error(
    "the endpoint http://{host} is plain HTTP: all on the way could read and change what is sent and answered"
)]
pub(crate) struct PlainHttp {
    host: String,
}

/// Whether a URL is plain HTTP to another machine.
#[must_use]
pub fn is_plain_http(url: &str) -> bool {
    plain_http_host(url).is_some()
}

/// The host of a plain HTTP URL, if it is another machine.
fn plain_http_host(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.trim_start().eq_ignore_ascii_case("http") {
        return None;
    }
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or(rest);
    let address = authority.rsplit('@').next().unwrap_or(authority);
    let host = match address.strip_prefix('[').and_then(|v6| v6.split_once(']')) {
        Some((host, _port)) => host,
        None => address.split(':').next().unwrap_or(address),
    };
    let is_loopback = host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    (!is_loopback).then_some(host)
}

/// A connector with both bounds.
#[derive(Debug)]
pub(crate) struct Guarded {
    pub(crate) inner: SharedHttpConnector,
    /// `--allow-plain-http`.
    pub(crate) allow_plain_http: bool,
}

impl HttpConnector for Guarded {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if !self.allow_plain_http
            && let Some(host) = plain_http_host(request.uri())
            && !METADATA.contains(&host)
        {
            let host = host.to_owned();
            return HttpConnectorFuture::ready(Err(ConnectorError::user(Box::new(PlainHttp {
                host,
            }))));
        }
        let answer = self.inner.call(request);
        HttpConnectorFuture::new(async move {
            let mut answer = answer.await?;
            let body = std::mem::replace(answer.body_mut(), SdkBody::taken());
            *answer.body_mut() = SdkBody::from_body_1_x(Limited::new(body, MAX_BODY));
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A byte now and then: a call has an end, however it is answered.
    #[tokio::test]
    async fn an_answer_that_drips_is_given_up() {
        use std::io::{Read as _, Write as _};
        use std::time::{Duration, Instant};

        use crate::aws::Aws;
        use crate::error::AwsErrorKind;
        use crate::limit::Tally;

        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { continue };
                std::thread::spawn(move || {
                    let mut request = [0; 4096];
                    let _read = stream.read(&mut request);
                    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: 100000\r\n\r\n";
                    let mut written = stream.write_all(head.as_bytes());
                    let (_send, never) = std::sync::mpsc::channel::<()>();
                    // Until the client has left.
                    while written.is_ok() {
                        let _timeout = never.recv_timeout(Duration::from_millis(20));
                        written = stream.write_all(b"<");
                    }
                });
            }
        });
        let tally = Tally::default();
        let mut aws =
            Aws::fixed(&url, "eu-central-1", "a", "b").with_limits(&tally, Duration::ZERO);
        let timeouts = aws_config::timeout::TimeoutConfig::builder()
            .operation_attempt_timeout(Duration::from_millis(200))
            .build();
        aws.config = aws.config.to_builder().timeout_config(timeouts).build();
        let began = Instant::now();
        let error = aws.identity().await.unwrap_err();
        assert_eq!(error.kind, AwsErrorKind::Timeout, "{error}");
        assert_eq!(tally.calls(), 6);
        // Six attempts and the waits between them.
        assert!(began.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn only_other_machines_are_plain_http() {
        for url in [
            "http://10.0.0.1",
            "HTTP://rds.example.com:80/x",
            "http://127.0.0.1@evil.example",
            "http://localhost.evil.example/",
            "http://127.0.0.1.evil.example",
            "http://[2001:db8::1]:4566",
            "http://0.0.0.0:4566",
            "http://127.1",
            "http://evil.example#127.0.0.1",
            "http://evil.example\\@127.0.0.1",
            "http://",
        ] {
            assert!(is_plain_http(url), "{url}");
        }
        for url in [
            "http://127.0.0.1:4566",
            "http://localhost:1/x",
            "http://LOCALHOST",
            "http://127.8.9.10",
            "http://[::1]:4566/",
            "https://rds.eu-central-1.amazonaws.com",
            "rds.example.com",
        ] {
            assert!(!is_plain_http(url), "{url}");
        }
    }
}
