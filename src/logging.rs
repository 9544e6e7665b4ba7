//! Log messages: to standard error, never to standard output.

use atrest_reports::printable;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt as _;
use tracing_subscriber::fmt::format;

use crate::cli::{LogFormat, OutputArgs};
use crate::screen::Above;

/// Installs the subscriber. `ATREST_LOG` overrides the level of `-v` and `-q` with a filter of its own.
pub(crate) fn init(output: &OutputArgs) {
    let level = match (output.quiet, output.verbose) {
        (true, _) => "error",
        (false, 0) => "atrest=warn,error",
        (false, 1) => "atrest=info,error",
        (false, 2) => "atrest=debug,warn",
        (false, _) => "atrest=trace,debug",
    };
    let filter =
        EnvFilter::try_from_env("ATREST_LOG").unwrap_or_else(|_unset| EnvFilter::new(level));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Above);
    let installed = match output.log_format {
        LogFormat::Text => builder
            .with_ansi(crate::terminal::stderr_color())
            .with_target(false)
            // Fields hold texts of AWS and of servers; JSON escapes them by itself.
            .fmt_fields(
                format::debug_fn(|out, field, value| {
                    let text = format!("{value:?}");
                    match field.name() {
                        "message" => write!(out, "{}", printable(&text)),
                        name => write!(out, "{name}={}", printable(&text)),
                    }
                })
                .delimited(" "),
            )
            .try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    // Only a second call could fail, and there is none.
    drop(installed);
}
