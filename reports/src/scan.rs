//! The audit.

use std::collections::BTreeMap;
use std::io::{self, Write};

use atrest_model::finding::{Finding, FindingStatus};
use atrest_model::instance::Encryption;
use atrest_model::scan::{Resource, ScanReport};
use comfy_table::Cell;

use crate::format::ScanFormat;
use crate::style::{Style, bad, good, odd};
use crate::text::{count, printable};

/// Renders a scan.
///
/// # Errors
///
/// Any error of `out`.
pub fn scan(
    report: &ScanReport,
    format: ScanFormat,
    style: &Style,
    out: &mut dyn Write,
) -> io::Result<()> {
    match format {
        ScanFormat::Table => table(report, style, out),
        ScanFormat::Json => {
            serde_json::to_writer_pretty(&mut *out, report)?;
            writeln!(out)
        }
        ScanFormat::Csv => csv(report, out),
        ScanFormat::Markdown => markdown(report, out),
    }
}

/// Findings by ARN.
fn by_resource(report: &ScanReport) -> BTreeMap<&str, Vec<&Finding>> {
    let mut map: BTreeMap<&str, Vec<&Finding>> = BTreeMap::new();
    for finding in &report.findings {
        map.entry(&finding.resource).or_default().push(finding);
    }
    map
}

/// The verdict on a resource: its worst finding.
fn verdict(findings: Option<&Vec<&Finding>>) -> &'static str {
    let statuses = || findings.into_iter().flatten().map(|finding| finding.status);
    if statuses().any(|status| status == FindingStatus::Fail) {
        "FAIL"
    } else if statuses().any(|status| status == FindingStatus::NotEvaluated) {
        "not evaluated"
    } else if statuses().any(|status| status == FindingStatus::Waived) {
        "waived"
    } else {
        "pass"
    }
}

fn rank(verdict: &str) -> u8 {
    match verdict {
        "FAIL" => 0,
        "not evaluated" => 1,
        "waived" => 2,
        _ => 3,
    }
}

/// Narrower than this, the key and the versions are left away.
const WIDE: u16 = 120;

/// The name with what it belongs to.
fn name(resource: &Resource, narrow: bool) -> String {
    match &resource.replica_of {
        Some(_) if narrow => format!("{} (replica)", resource.identifier),
        Some(source) => format!("{} (replica of {source})", resource.identifier),
        None if resource.members.is_empty() => resource.identifier.clone(),
        None => format!(
            "{} (cluster of {})",
            resource.identifier,
            resource.members.len()
        ),
    }
}

fn key(resource: &Resource) -> String {
    match (resource.encryption, resource.kms_key_id.as_deref()) {
        (_, Some(key)) => key.rsplit('/').next().unwrap_or(key).to_owned(),
        (Encryption::SseRds, None) => "AWS-owned".to_owned(),
        _ => "-".to_owned(),
    }
}

fn table(report: &ScanReport, style: &Style, out: &mut dyn Write) -> io::Result<()> {
    let findings = by_resource(report);
    let mut rows: Vec<(&Resource, &'static str)> = report
        .resources
        .iter()
        .map(|resource| (resource, verdict(findings.get(resource.arn.as_str()))))
        .collect();
    rows.sort_by(|(a, av), (b, bv)| {
        (rank(av), &a.region, a.kind, &a.identifier).cmp(&(
            rank(bv),
            &b.region,
            b.kind,
            &b.identifier,
        ))
    });
    if !rows.is_empty() {
        // A name that is broken over lines is hard to find again: on a narrow terminal columns are left away instead.
        let narrow = style.width.is_some_and(|width| width < WIDE);
        let mut table = if narrow {
            style.table(["verdict", "region", "resource", "engine", "encryption"])
        } else {
            style.table([
                "verdict",
                "region",
                "resource",
                "engine",
                "encryption",
                "key",
            ])
        };
        for (resource, verdict) in &rows {
            let shown = match rank(verdict) {
                0 => bad(verdict),
                1 => odd(verdict),
                2 => Cell::new(verdict),
                _ => good(verdict),
            };
            let engine = if narrow {
                resource.engine.clone()
            } else {
                format!("{} {}", resource.engine, resource.engine_version)
            };
            let mut row = vec![
                shown,
                Cell::new(printable(&resource.region)),
                Cell::new(printable(&name(resource, narrow))),
                Cell::new(printable(&engine)),
                Cell::new(resource.encryption.as_str()),
            ];
            if !narrow {
                row.push(Cell::new(printable(&key(resource))));
            }
            table.add_row(row);
        }
        writeln!(out, "{}", table.trim_fmt())?;
        writeln!(out)?;
    }
    for finding in report
        .findings
        .iter()
        .filter(|finding| finding.status == FindingStatus::NotEvaluated)
    {
        let line = format!("not evaluated: {}: {}", finding.resource, finding.reason);
        writeln!(out, "{}", style.odd(&printable(&line)))?;
    }
    for region in &report.regions {
        if let Some(error) = &region.error {
            let line = format!("incomplete: {} {}: {error}", region.account, region.region);
            writeln!(out, "{}", style.bad(&printable(&line)))?;
        }
    }
    writeln!(
        out,
        "{}",
        total(
            report,
            style,
            rows.iter()
                .filter(|(_, verdict)| *verdict == "FAIL")
                .count()
        )
    )
}

/// The last line: what a person reads first.
fn total(report: &ScanReport, style: &Style, flagged: usize) -> String {
    let open = report
        .findings
        .iter()
        .filter(|f| f.status == FindingStatus::NotEvaluated)
        .count();
    let failed = report
        .regions
        .iter()
        .filter(|region| region.error.is_some())
        .count();
    let line = format!(
        "{} in {}: {flagged} flagged, {open} not evaluated{}",
        count(report.resources.len(), "resource", "resources"),
        count(report.regions.len(), "region", "regions"),
        if failed == 0 {
            String::new()
        } else {
            format!(", {} INCOMPLETE", count(failed, "region", "regions"))
        },
    );
    if flagged > 0 || failed > 0 {
        style.bad(&line)
    } else if open > 0 {
        style.odd(&line)
    } else {
        style.good(&line)
    }
}

fn csv(report: &ScanReport, out: &mut dyn Write) -> io::Result<()> {
    let findings = by_resource(report);
    let mut writer = csv::Writer::from_writer(out);
    let header = [
        "verdict",
        "account",
        "region",
        "type",
        "identifier",
        "engine",
        "engine_version",
        "encryption",
        "kms_key_id",
        "arn",
    ];
    writer.write_record(header)?;
    for resource in &report.resources {
        writer.write_record([
            verdict(findings.get(resource.arn.as_str())),
            &resource.account,
            &resource.region,
            resource.kind.as_str(),
            &resource.identifier,
            &resource.engine,
            &resource.engine_version,
            resource.encryption.as_str(),
            resource.kms_key_id.as_deref().unwrap_or_default(),
            &resource.arn,
        ])?;
    }
    for region in report
        .regions
        .iter()
        .filter(|region| region.error.is_some())
    {
        // A hole must be a row: whoever counts rows would take it for compliance.
        let error = region.error.as_deref().unwrap_or_default();
        writer.write_record([
            "incomplete",
            &region.account,
            &region.region,
            "",
            "",
            "",
            "",
            "unknown",
            "",
            error,
        ])?;
    }
    writer.flush()
}

fn markdown(report: &ScanReport, out: &mut dyn Write) -> io::Result<()> {
    let findings = by_resource(report);
    let flagged: Vec<&Resource> = report
        .resources
        .iter()
        .filter(|r| verdict(findings.get(r.arn.as_str())) == "FAIL")
        .collect();
    let plain = Style {
        width: None,
        color: false,
        unicode: true,
    };
    writeln!(out, "**{}**\n", total(report, &plain, flagged.len()))?;
    for region in &report.regions {
        if let Some(error) = &region.error {
            writeln!(
                out,
                "- incomplete: {} {}: {}",
                cell(&region.account),
                cell(&region.region),
                cell(error)
            )?;
        }
    }
    if !flagged.is_empty() {
        writeln!(
            out,
            "\n| region | type | identifier | engine | encryption |\n|---|---|---|---|---|"
        )?;
        for resource in flagged {
            writeln!(
                out,
                "| {} | {} | {} | {} {} | {} |",
                cell(&resource.region),
                resource.kind.as_str(),
                cell(&resource.identifier),
                cell(&resource.engine),
                cell(&resource.engine_version),
                resource.encryption.as_str()
            )?;
        }
    }
    Ok(())
}

/// Text that cannot break out of a Markdown table cell or become HTML.
fn cell(text: &str) -> String {
    let text = printable(text);
    let mut safe = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '\\' | '`' | '*' | '_' | '[' | ']' | '#' => {
                safe.push('\\');
                safe.push(character);
            }
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use atrest_model::Tool;
    use atrest_model::finding::Severity;
    use atrest_model::scan::{RegionScan, ResourceKind, SCHEMA_VERSION};

    use super::*;

    const PLAIN: Style = Style {
        width: Some(80),
        color: false,
        unicode: true,
    };

    fn resource(name: &str, encryption: Encryption) -> Resource {
        Resource {
            arn: format!("arn:aws:rds:eu-central-1:111122223333:db:{name}"),
            account: "111122223333".to_owned(),
            region: "eu-central-1".to_owned(),
            kind: ResourceKind::DbInstance,
            identifier: name.to_owned(),
            engine: "mariadb".to_owned(),
            engine_version: "10.11.9".to_owned(),
            class: Some("db.t3.small".to_owned()),
            status: "available".to_owned(),
            encryption,
            kms_key_id: (encryption == Encryption::SseKms)
                .then(|| "arn:aws:kms:eu-central-1:1:key/abc".to_owned()),
            replica_of: None,
            members: Vec::new(),
        }
    }

    fn report() -> ScanReport {
        let flagged = resource("prod-one", Encryption::None);
        let finding = Finding {
            id: "0".to_owned(),
            policy: "storage-unencrypted".to_owned(),
            severity: Severity::High,
            status: FindingStatus::Fail,
            reason: "its storage is not encrypted at rest".to_owned(),
            resource: flagged.arn.clone(),
            controls: Vec::new(),
        };
        ScanReport {
            schema_version: SCHEMA_VERSION,
            tool: Tool::current(),
            started: jiff::Timestamp::UNIX_EPOCH,
            complete: true,
            regions: vec![RegionScan {
                account: "111122223333".to_owned(),
                region: "eu-central-1".to_owned(),
                error: None,
                resources: 2,
            }],
            resources: vec![resource("done", Encryption::SseKms), flagged],
            findings: vec![finding],
        }
    }

    fn text(report: &ScanReport, format: ScanFormat) -> String {
        let mut out = Vec::new();
        scan(report, format, &PLAIN, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn flagged_resources_come_first_and_fit_80_columns() {
        insta::assert_snapshot!(text(&report(), ScanFormat::Table), @r"
         VERDICT  REGION        RESOURCE  ENGINE   ENCRYPTION
         FAIL     eu-central-1  prod-one  mariadb  none
         pass     eu-central-1  done      mariadb  sse-kms

        2 resources in 1 region: 1 flagged, 0 not evaluated
        ");
    }

    #[test]
    fn an_incomplete_scan_never_looks_clean() {
        let mut report = report();
        report.findings.clear();
        report.regions[0].error =
            Some("DescribeDBInstances in eu-central-1: AccessDenied: no".to_owned());
        report.complete = false;
        for format in [ScanFormat::Table, ScanFormat::Markdown, ScanFormat::Csv] {
            let text = text(&report, format).to_lowercase();
            assert!(text.contains("incomplete"), "{text}");
        }
    }

    #[test]
    fn hostile_names_are_shown_and_not_obeyed() {
        let mut report = report();
        report.resources[1].identifier = "<script>|\u{1b}[31m\u{202e}`x`\n".to_owned();
        for format in [ScanFormat::Table, ScanFormat::Markdown] {
            let text = text(&report, format);
            assert!(
                !text.contains('\u{1b}') && !text.contains('\u{202e}'),
                "{text}"
            );
        }
        assert!(!text(&report, ScanFormat::Markdown).contains("<script>"));
    }

    #[test]
    fn json_reads_back_as_it_was() {
        let report = report();
        assert_eq!(
            serde_json::from_str::<ScanReport>(&text(&report, ScanFormat::Json)).unwrap(),
            report
        );
    }
}
