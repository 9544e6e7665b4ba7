//! What RDS offers today for what the instances are: class, version, storage, features, certificate authority.

use atrest_model::document::{bool_of, int_of, str_of};
use atrest_model::instance::DbInstance;
use jiff::Timestamp;
use serde_json::Value;

use super::facts::Read;
use super::{Finding, Sheet};

pub(super) fn check(sheet: &mut Sheet<'_>) {
    let region = sheet.scene.region;
    sheet.each(
        "class-encrypts",
        "the classes are offered with encrypted storage",
        |member, instance| {
            let class = class_of(instance);
            match offers(region, instance) {
                Err(why) => vec![Finding::not_proven(format!(
                    "whether class {class} can be encrypted is not known: {why}"
                ))],
                Ok([]) => vec![Finding::not_proven(format!(
                    "class {class} is no longer offered for {} {}, so whether it can be encrypted is not known; step {} may be refused",
                    instance.engine(),
                    instance.engine_version(),
                    member.made_by
                ))],
                Ok(offers) if offers.iter().any(encrypts) => Vec::new(),
                Ok(_) => vec![Finding::blocks(format!(
                    "class {class} does not support encrypted storage; change the class first{}",
                    replacement(region, instance)
                        .map(|class| format!(", {class} is the nearest that does"))
                        .unwrap_or_default()
                ))],
            }
        },
    );
    sheet.each(
        "version-orderable",
        "the engine versions are still offered",
        |member, instance| version(region, &member.made_by, instance),
    );
    sheet.each(
        "storage-offered",
        "storage types, sizes and IOPS are within what is offered",
        |_, instance| match offers(region, instance) {
            // The volume of a cluster grows by itself.
            _ if instance.cluster().is_some() => Vec::new(),
            Ok(offers) if !offers.is_empty() => storage(offers, instance),
            // Said by the checks above.
            _ => Vec::new(),
        },
    );
    sheet.each(
        "class-features",
        "the classes support what is switched on",
        |_, instance| match offers(region, instance) {
            Ok(offers) if !offers.is_empty() => features(offers, instance),
            _ => Vec::new(),
        },
    );
    let now = sheet.scene.around.now;
    sheet.each(
        "ca-certificate",
        "the certificate authorities are offered",
        |member, instance| {
            let Some(ca) = str_of(&instance.document, "CACertificateIdentifier") else {
                return Vec::new();
            };
            let authorities = match &region.certificates {
                Err(why) => {
                    return vec![Finding::not_proven(format!(
                        "whether {ca} is still offered is not known: {why}"
                    ))];
                }
                Ok(authorities) => authorities,
            };
            let rotate = "rotate the instance to a current one first";
            let Some(found) = authorities
                .iter()
                .find(|one| str_of(one, "CertificateIdentifier") == Some(ca))
            else {
                return vec![Finding::blocks(format!(
                    "certificate authority {ca} is not offered any more, so step {} would be refused; {rotate}",
                    member.made_by
                ))];
            };
            let till: Option<Timestamp> =
                str_of(found, "ValidTill").and_then(|text| text.parse().ok());
            match till {
                Some(till) if till <= now => vec![Finding::blocks(format!(
                    "certificate authority {ca} has expired; {rotate}"
                ))],
                _ => Vec::new(),
            }
        },
    );
}

fn class_of(instance: &DbInstance) -> &str {
    str_of(&instance.document, "DBInstanceClass").unwrap_or_default()
}

fn encrypts(offer: &Value) -> bool {
    bool_of(offer, "SupportsStorageEncryption") == Some(true)
}

/// What is offered for the engine version and class of an instance.
fn offers<'a>(
    region: &'a super::RegionFacts,
    instance: &DbInstance,
) -> Result<&'a [Value], &'a str> {
    let offer = (
        instance.engine().to_owned(),
        instance.engine_version().to_owned(),
        class_of(instance).to_owned(),
    );
    match region.offers.get(&offer) {
        Some(Ok(offers)) => Ok(offers),
        Some(Err(why)) => Err(why),
        None => Err("it was not asked"),
    }
}

fn classes<'a>(
    region: &'a super::RegionFacts,
    instance: &DbInstance,
) -> Option<&'a Read<Vec<Value>>> {
    let version = (
        instance.engine().to_owned(),
        instance.engine_version().to_owned(),
    );
    region.classes.get(&version)
}

fn version(region: &super::RegionFacts, step: &str, instance: &DbInstance) -> Vec<Finding> {
    if offers(region, instance).is_ok_and(|offers| !offers.is_empty()) {
        return Vec::new();
    }
    let (engine, version) = (instance.engine(), instance.engine_version());
    match classes(region, instance) {
        Some(Ok(classes)) if !classes.is_empty() => Vec::new(),
        Some(Ok(_)) => {
            let without = str_of(&instance.document, "EngineLifecycleSupport")
                .is_some_and(|support| support.ends_with("-disabled"));
            vec![if without {
                Finding::blocks(format!(
                    "{engine} {version} is not offered any more and extended support is disabled: step {step} would upgrade it; upgrade it first"
                ))
            } else {
                Finding::not_proven(format!(
                    "{engine} {version} is not offered any more; step {step} may be refused, or upgrade it"
                ))
            }]
        }
        Some(Err(why)) => vec![Finding::not_proven(format!(
            "whether {engine} {version} is still offered is not known: {why}"
        ))],
        None => Vec::new(),
    }
}

/// A class name `db.FAMILY GENERATION VARIANT.SIZE`, such as `db.t4g.micro`.
fn parts(class: &str) -> Option<(&str, u32, &str)> {
    let (family, size) = class.strip_prefix("db.")?.split_once('.')?;
    let letters = family.find(|c: char| c.is_ascii_digit())?;
    let (name, rest) = family.split_at(letters);
    let digits = rest
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(rest.len());
    let generation = rest.get(..digits)?.parse().ok()?;
    Some((name, generation, size))
}

/// The class of the same size and family in the next generation that can be encrypted; of another family if there is
/// none.
fn replacement(region: &super::RegionFacts, instance: &DbInstance) -> Option<String> {
    let Some(Ok(classes)) = classes(region, instance) else {
        return None;
    };
    let (family, generation, size) = parts(class_of(instance))?;
    classes
        .iter()
        .filter(|offer| encrypts(offer))
        .filter_map(|offer| str_of(offer, "DBInstanceClass"))
        .filter_map(|class| {
            let (other, newer, same) = parts(class)?;
            (same == size && newer >= generation).then_some((other != family, newer, class))
        })
        .min()
        .map(|(_, _, class)| class.to_owned())
}

fn storage(offers: &[Value], instance: &DbInstance) -> Vec<Finding> {
    let document = &instance.document;
    let Some(kind) = str_of(document, "StorageType") else {
        return Vec::new();
    };
    let class = class_of(instance);
    let matching: Vec<&Value> = offers
        .iter()
        .filter(|offer| str_of(offer, "StorageType") == Some(kind))
        .collect();
    if matching.is_empty() {
        return vec![Finding::not_proven(format!(
            "storage type {kind} is not offered with class {class} any more; a restore may be refused"
        ))];
    }
    let within = |value: i64, least: &str, most: &str| {
        matching.iter().any(|offer| {
            number(offer, least).is_none_or(|least| value >= least)
                && number(offer, most).is_none_or(|most| value <= most)
        })
    };
    let mut findings = Vec::new();
    if let Some(gib) = int_of(document, "AllocatedStorage")
        && !within(gib, "MinStorageSize", "MaxStorageSize")
    {
        findings.push(Finding::not_proven(format!(
            "{gib} GiB of {kind} are outside what is offered with class {class}; a restore may be refused"
        )));
    }
    if matches!(kind, "io1" | "io2")
        && let Some(iops) = int_of(document, "Iops")
        && !within(iops, "MinIopsPerDbInstance", "MaxIopsPerDbInstance")
    {
        findings.push(Finding::not_proven(format!(
            "{iops} IOPS of {kind} are outside what is offered with class {class}; a restore may be refused"
        )));
    }
    findings
}

/// Not all numbers of these answers are told apart from text.
fn number(offer: &Value, member: &str) -> Option<i64> {
    int_of(offer, member).or_else(|| str_of(offer, member)?.parse().ok())
}

fn features(offers: &[Value], instance: &DbInstance) -> Vec<Finding> {
    let document = &instance.document;
    let on = |member: &str| bool_of(document, member) == Some(true);
    let used = [
        (on("MultiAZ"), "MultiAZCapable", "Multi-AZ"),
        (
            on("PerformanceInsightsEnabled"),
            "SupportsPerformanceInsights",
            "Performance Insights",
        ),
        (
            int_of(document, "MonitoringInterval").is_some_and(|seconds| seconds > 0),
            "SupportsEnhancedMonitoring",
            "Enhanced Monitoring",
        ),
        (
            on("IAMDatabaseAuthenticationEnabled"),
            "SupportsIAMDatabaseAuthentication",
            "IAM database authentication",
        ),
    ];
    used.into_iter()
        .filter(|(used, support, _)| {
            // What the answer does not say is not held against it.
            *used
                && offers
                    .iter()
                    .all(|offer| bool_of(offer, support) == Some(false))
        })
        .map(|(_, _, feature)| {
            Finding::not_proven(format!(
                "{feature} is switched on, and class {} is not offered with it any more; setting it again may be refused",
                class_of(instance)
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_taken_apart() {
        assert_eq!(parts("db.t4g.micro"), Some(("t", 4, "micro")));
        assert_eq!(parts("db.x2iedn.2xlarge"), Some(("x", 2, "2xlarge")));
        assert_eq!(parts("db.serverless"), None);
    }
}
