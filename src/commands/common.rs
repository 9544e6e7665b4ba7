//! What several verbs need: the way to AWS and MySQL, and where output goes.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use atrest_model::plan::DataCheck;
use atrest_reports::{Output, Style, UnknownFormat};
use atrest_scanner::aws::{AccountRegion, Aws, AwsOptions, Identity, is_plain_http};
use atrest_scanner::error::PLAIN_HTTP_HINT;
use atrest_scanner::regions;
use futures::FutureExt as _;

use crate::cli::{AwsArgs, DataCheckArg};
use crate::exit::{Exit, ExpectedError};
use crate::terminal;

/// Loads AWS configuration; the first `--region` is the default one, and not the one that account-wide services are asked
/// in.
pub(crate) async fn aws(args: &AwsArgs) -> anyhow::Result<Aws> {
    check_way(args)?;
    let aws = account(args, args.profile.clone()).await;
    Ok(match args.region.first() {
        Some(region) => aws.with_region(region),
        None => aws,
    })
}

/// Loads AWS configuration with a region from which the account surely answers.
pub(crate) async fn account(args: &AwsArgs, profile: Option<String>) -> Aws {
    let mut options = AwsOptions {
        profile,
        region: None,
        endpoint_url: args.endpoint_url.clone(),
        allow_plain_http: args.allow_plain_http,
    };
    let aws = Aws::load(&options).await;
    options.region = home_region(aws.region(), args);
    if options.region.is_some() && options.region.as_deref() != aws.region() {
        Aws::load(&options).await
    } else {
        aws
    }
}

/// The region from which the account-wide services are asked. One that is to be read need not be enabled, so it is the
/// configured one, where that is of the same partition, else that of the partition's global services.
fn home_region(configured: Option<&str>, args: &AwsArgs) -> Option<String> {
    let asked = args.region.first()?;
    // A typo is of the partition of the name that was meant: where it is asked for, nobody answers.
    let meant = if regions::is_known(asked) {
        asked
    } else {
        regions::nearest(asked, []).unwrap_or(asked)
    };
    let Some(partition) = regions::PARTITIONS
        .iter()
        .find(|partition| partition.regions.contains(&meant))
    else {
        return Some(configured.unwrap_or(asked).to_owned());
    };
    let configured = configured.filter(|region| partition.regions.contains(region));
    Some(configured.unwrap_or(partition.global).to_owned())
}

/// Who we are.
pub(crate) async fn identity(aws: &Aws) -> anyhow::Result<Identity> {
    aws.identity()
        .await
        .map_err(|error| ExpectedError::aws(&error))
}

/// What is given of the way to AWS must be sound before anything is asked.
pub(crate) fn check_way(args: &AwsArgs) -> anyhow::Result<()> {
    check_region_names(args)?;
    check_endpoints(args)
}

/// An endpoint of plain HTTP on another machine would show everybody on the way what is asked, answered and signed. One in
/// a profile is found when it is called.
fn check_endpoints(args: &AwsArgs) -> anyhow::Result<()> {
    let is_ignored = std::env::var("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
        .is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    let given = args.endpoint_url.iter().cloned();
    let given = given.map(|url| ("--endpoint-url".to_owned(), url));
    let variables = std::env::vars_os()
        .filter(|_| !is_ignored)
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| name.starts_with("AWS_ENDPOINT_URL"));
    let plain = given.chain(variables).find(|(_, url)| is_plain_http(url));
    match plain {
        Some((name, url)) if !args.allow_plain_http => Err(ExpectedError::usage(
            format!(
                "{name} is plain HTTP to another machine ({url}): all on the way could read and change what is sent and answered"
            ),
            PLAIN_HTTP_HINT,
        )),
        _ => Ok(()),
    }
}

/// Region names as given must look like regions: a typo would be asked for in DNS.
fn check_region_names(args: &AwsArgs) -> anyhow::Result<()> {
    match args.region.iter().find(|region| !looks_like_region(region)) {
        None => Ok(()),
        Some(bad) => Err(ExpectedError::usage(
            format!("{bad:?} is not the name of a region"),
            "regions look like eu-central-1; `aws account list-regions` lists yours",
        )),
    }
}

/// The regions asked for, or all that are enabled for the account.
pub(crate) async fn regions(aws: &Aws, args: &AwsArgs) -> anyhow::Result<Vec<String>> {
    if let Some(regions) = named_regions(aws, args).await? {
        return Ok(regions);
    }
    let regions = aws.account_regions().await.map_err(|error| {
        ExpectedError::of(
            Exit::Incomplete,
            format!("cannot list the account's regions: {error}"),
            "allow account:ListRegions, or name the regions with --region",
        )
    })?;
    Ok(enabled(regions))
}

/// Names of those that are enabled.
pub(crate) fn enabled(regions: Vec<AccountRegion>) -> Vec<String> {
    regions
        .into_iter()
        .filter(|region| region.enabled)
        .map(|region| region.name)
        .collect()
}

/// The regions asked for by name, sorted; `None` when none was named. A name that this version does not know may be of
/// a new region, so AWS is asked; one that it does not know either is a typo.
pub(crate) async fn named_regions(
    aws: &Aws,
    args: &AwsArgs,
) -> anyhow::Result<Option<Vec<String>>> {
    if args.region.is_empty() {
        return Ok(None);
    }
    let mut named = args.region.clone();
    named.sort();
    named.dedup();
    if named.iter().all(|region| regions::is_known(region)) {
        return Ok(Some(named));
    }
    let theirs = aws.account_regions().await.unwrap_or_default();
    let theirs = || theirs.iter().map(|region| region.name.as_str());
    let unknown = named
        .iter()
        .find(|name| !regions::is_known(name) && !theirs().any(|region| region == name.as_str()));
    let Some(unknown) = unknown else {
        return Ok(Some(named));
    };
    let hint = match regions::nearest(unknown, theirs()) {
        Some(near) => format!("did you mean {near}? `aws account list-regions` lists yours"),
        None => "`aws account list-regions` lists yours".to_owned(),
    };
    Err(ExpectedError::usage(
        format!("there is no region {unknown}"),
        hint,
    ))
}

fn looks_like_region(name: &str) -> bool {
    let parts: Vec<&str> = name.split('-').collect();
    parts.len() >= 3
        && parts.iter().all(|part| {
            !part.is_empty()
                && part
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
        })
        && parts
            .last()
            .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
}

/// The check of the model.
pub(crate) fn data_check(arg: DataCheckArg) -> DataCheck {
    match arg {
        DataCheckArg::None => DataCheck::None,
        DataCheckArg::Counts => DataCheck::Counts,
        DataCheckArg::Checksums => DataCheck::Checksums,
    }
}

/// Reads every `--format`.
pub(crate) fn outputs<F>(given: &[String], verb: &str) -> anyhow::Result<Vec<Output<F>>>
where
    F: std::str::FromStr<Err = UnknownFormat>,
{
    given
        .iter()
        .map(|text| {
            Output::parse(text).map_err(|error| {
                ExpectedError::usage(
                    error.to_string(),
                    format!("`atrest {verb} --help` lists the formats"),
                )
            })
        })
        .collect()
}

/// Style of what goes where this output goes.
pub(crate) fn style_of<F>(output: &Output<F>) -> Style {
    if output.path.is_some() {
        file_style()
    } else {
        stdout_style()
    }
}

/// Style of what goes to standard output.
pub(crate) fn stdout_style() -> Style {
    Style {
        width: terminal::stdout_width(),
        color: terminal::stdout_color(),
        unicode: true,
    }
}

/// Style of what goes to standard error.
pub(crate) fn stderr_style() -> Style {
    Style {
        width: None,
        color: terminal::stderr_color(),
        unicode: true,
    }
}

/// Style of what goes into a file.
pub(crate) fn file_style() -> Style {
    Style {
        width: None,
        color: false,
        unicode: true,
    }
}

/// Writes rendered bytes to standard output, or whole to a file.
pub(crate) fn deliver(path: Option<&Path>, bytes: &[u8]) -> anyhow::Result<()> {
    match path {
        None => {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(bytes)?;
            stdout.flush()?;
            Ok(())
        }
        Some(path) => atrest_reports::write_atomically(path, bytes).map_err(|error| {
            ExpectedError::usage(
                format!("cannot write {}: {error}", path.display()),
                "check the folder and the disk",
            )
        }),
    }
}

/// Renders to standard output or, whole or not at all, into a file; no copy of the text is made.
pub(crate) fn write_output(
    path: Option<&Path>,
    render: impl FnOnce(&mut dyn std::io::Write) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    match path {
        None => {
            let mut stdout = std::io::BufWriter::new(std::io::stdout().lock());
            render(&mut stdout)?;
            stdout.flush()?;
            Ok(())
        }
        Some(path) => atrest_reports::write_atomically_with(path, |file| {
            let mut file = std::io::BufWriter::new(file);
            render(&mut file)?;
            file.flush()
        })
        .map_err(|error| {
            ExpectedError::usage(
                format!("cannot write {}: {error}", path.display()),
                "check the folder and the disk",
            )
        }),
    }
}

/// Pretty JSON with a final newline.
pub(crate) fn json(value: &impl serde::Serialize) -> anyhow::Result<Vec<u8>> {
    let mut text =
        serde_json::to_vec_pretty(value).context("a report could not be written as JSON")?;
    text.push(b'\n');
    Ok(text)
}

/// Signals this close together are one wish to stop.
const SAME_WISH: std::time::Duration = std::time::Duration::from_secs(1);

/// Becomes true at the first interrupt or termination signal; a second one ends the process at once.
pub(crate) fn stop_signal() -> anyhow::Result<tokio::sync::watch::Receiver<bool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (send, receive) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        send.send_replace(true);
        tracing::warn!("stopping after the calls in flight; once more to stop at once");
        // Some callers send their signal to the process and to its group: that is one wish, not two.
        tokio::time::sleep(SAME_WISH).await;
        while interrupt.recv().now_or_never().flatten().is_some() {}
        while terminate.recv().now_or_never().flatten().is_some() {}
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        // The journal makes this safe: whatever was in flight is looked for on resume.
        std::process::abort();
    });
    Ok(receive)
}

/// Becomes true at the first interrupt or termination signal; a second one ends the process at once. For verbs that
/// only read: nothing is in flight that would have to be looked for.
pub(crate) fn interrupt_signal() -> anyhow::Result<tokio::sync::watch::Receiver<bool>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (send, receive) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        tracing::warn!("interrupted: what is known so far is reported; once more to stop at once");
        send.send_replace(true);
        // Some callers send their signal to the process and to its group: that is one wish, not two.
        tokio::time::sleep(SAME_WISH).await;
        while interrupt.recv().now_or_never().flatten().is_some() {}
        while terminate.recv().now_or_never().flatten().is_some() {}
        tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
        end_at_once();
    });
    Ok(receive)
}

#[expect(
    clippy::exit,
    clippy::disallowed_methods,
    reason = "a person has asked twice, and main may be busy writing"
)]
fn end_at_once() -> ! {
    std::process::exit(Exit::Interrupted as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn account_wide_services_are_asked_where_the_account_surely_is() {
        let home = |configured, region: &str| {
            let args = AwsArgs {
                profile: None,
                region: vec![region.to_owned()],
                all_regions: false,
                endpoint_url: None,
                allow_plain_http: false,
            };
            home_region(configured, &args)
        };
        let some = |region: &str| Some(region.to_owned());
        assert_eq!(
            home(Some("eu-central-1"), "af-south-1"),
            some("eu-central-1")
        );
        assert_eq!(home(None, "af-south-1"), some("us-east-1"));
        assert_eq!(
            home(Some("us-east-1"), "cn-north-1"),
            some("cn-northwest-1")
        );
        assert_eq!(home(None, "eu-centrall-1"), some("us-east-1"));
        assert_eq!(home(None, "new-somewhere-1"), some("new-somewhere-1"));
    }

    #[test]
    fn region_names_are_checked_before_a_call() {
        for good in [
            "eu-central-1",
            "us-gov-west-1",
            "cn-north-1",
            "ap-southeast-10",
        ] {
            assert!(looks_like_region(good), "{good}");
        }
        for bad in [
            "",
            "eu",
            "eu-central",
            "EU-CENTRAL-1",
            "eu-central-1a",
            "eu--1",
            "eu-central-1/x",
        ] {
            assert!(!looks_like_region(bad), "{bad}");
        }
    }
}
