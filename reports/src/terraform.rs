//! Blocks that bring Terraform along: the old instances are forgotten, the new ones imported. For hashicorp/aws from 5.0
//! on, which knows a DB instance by its resource id.
//!
//! Two files, for two applies: a `removed` block is refused while the resource is still in the configuration, and an
//! `import` block needs it there.

use std::collections::BTreeMap;
use std::io::{self, Write};

use atrest_model::plan::{Member, Migration, Plan};
use atrest_model::run::{Outcome, RunReport};
use serde_json::Value;

/// Names of the two files, in the order in which they are applied.
pub const TERRAFORM_FILES: [&str; 2] = ["atrest-1-removed.tf", "atrest-2-import.tf"];

const TYPE: &str = "aws_db_instance";

/// Resource addresses in a Terraform state, by `DbiResourceId` and by identifier.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Addresses(BTreeMap<String, Address>);

/// Where a resource is in a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    /// Module, type and name.
    resource: String,
    /// `[0]` or `["a"]`; empty without `count` and `for_each`.
    key: String,
}

impl Addresses {
    /// Reads a state file of version 4, which Terraform has written since 0.12.
    ///
    /// # Errors
    ///
    /// Why it is none.
    pub fn of_state(state: &Value) -> Result<Self, String> {
        if state.get("version").and_then(Value::as_u64) != Some(4) {
            return Err("it is no Terraform state of version 4 (terraform state pull)".to_owned());
        }
        let mut found = BTreeMap::new();
        let list = |value: &Value, member: &str| {
            let items = value.get(member).and_then(Value::as_array);
            items.cloned().unwrap_or_default()
        };
        let text = |value: &Value, member: &str| {
            let text = value.get(member).and_then(Value::as_str);
            text.map(str::to_owned)
        };
        for resource in list(state, "resources") {
            if text(&resource, "type").as_deref() != Some(TYPE)
                || text(&resource, "mode").as_deref() != Some("managed")
            {
                continue;
            }
            let name = text(&resource, "name").unwrap_or_default();
            let resource_address = match text(&resource, "module") {
                Some(module) => format!("{module}.{TYPE}.{name}"),
                None => format!("{TYPE}.{name}"),
            };
            for instance in list(&resource, "instances") {
                let key = match instance.get("index_key") {
                    Some(Value::String(key)) => format!("[{}]", quoted(key)),
                    Some(Value::Number(key)) => format!("[{key}]"),
                    _ => String::new(),
                };
                let address = Address {
                    resource: resource_address.clone(),
                    key,
                };
                let attributes = instance.get("attributes").unwrap_or(&Value::Null);
                // The resource id wins: an identifier may be of two regions.
                for member in ["identifier", "resource_id"] {
                    if let Some(id) = text(attributes, member) {
                        found.insert(id, address.clone());
                    }
                }
            }
        }
        Ok(Self(found))
    }

    fn of(&self, member: &Member) -> Option<&Address> {
        self.0
            .get(&member.dbi_resource_id)
            .or_else(|| self.0.get(member.identifier.as_str()))
    }
}

/// A string of HCL. `${` and `%{` would begin a template.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            '\n' => quoted.push_str("\\n"),
            '$' | '%' if rest.peek() == Some(&'{') => {
                quoted.push(c);
                quoted.push(c);
            }
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A name that Terraform takes, from an identifier.
fn resource_name(member: &Member) -> String {
    format!(
        "REPLACE_ME_{}",
        member.identifier.as_str().replace('-', "_")
    )
}

/// The address of a member, and whether it is known.
fn address(addresses: &Addresses, member: &Member) -> (Address, bool) {
    match addresses.of(member) {
        Some(address) => (address.clone(), true),
        None => (
            Address {
                resource: format!("{TYPE}.{}", resource_name(member)),
                key: String::new(),
            },
            false,
        ),
    }
}

/// Writes the first file: the old instances are forgotten and stay as they are.
///
/// # Errors
///
/// Any error of `out`.
pub fn terraform_removed(
    plan: &Plan,
    report: &RunReport,
    addresses: &Addresses,
    out: &mut dyn Write,
) -> io::Result<()> {
    head(plan, 1, out)?;
    writeln!(
        out,
        "# Take the resource blocks out of the configuration, apply this file, then delete it."
    )?;
    for (migration, is_done) in migrations(plan, report) {
        if !is_done {
            not_yet(migration, out)?;
            continue;
        }
        for member in migration.members() {
            let (address, is_known) = address(addresses, member);
            begin(migration, member, is_known, out)?;
            if address.key.is_empty() {
                writeln!(
                    out,
                    "removed {{\n  from = {}\n\n  lifecycle {{\n    destroy = false\n  }}\n}}",
                    address.resource
                )?;
            } else {
                // `removed` takes whole resources only.
                writeln!(
                    out,
                    "# terraform state rm '{}{}'",
                    address.resource,
                    address.key.replace('\'', "'\\''")
                )?;
            }
        }
    }
    Ok(())
}

/// Writes the second file: the new instances take the place of the old ones.
///
/// # Errors
///
/// Any error of `out`.
pub fn terraform_import(
    plan: &Plan,
    report: &RunReport,
    addresses: &Addresses,
    out: &mut dyn Write,
) -> io::Result<()> {
    head(plan, 2, out)?;
    writeln!(
        out,
        "# Put the resource blocks back with storage_encrypted and kms_key_id as below: without them Terraform would plan to\n\
         # replace the new instance. Apply this file, then delete it."
    )?;
    for (migration, is_done) in migrations(plan, report) {
        if !is_done {
            not_yet(migration, out)?;
            continue;
        }
        for member in migration.members() {
            let (address, is_known) = address(addresses, member);
            begin(migration, member, is_known, out)?;
            writeln!(
                out,
                "#   storage_encrypted = true\n#   kms_key_id        = {}\nimport {{\n  to = {}{}\n  id = {}\n}}",
                quoted(&migration.kms_key_id),
                address.resource,
                address.key,
                quoted(member.identifier.as_str())
            )?;
        }
    }
    Ok(())
}

fn head(plan: &Plan, number: u8, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "# Run {}, file {number} of 2, for hashicorp/aws 5.0 or later, which knows a DB instance by its resource id.",
        plan.run
    )
}

fn migrations<'a>(
    plan: &'a Plan,
    report: &'a RunReport,
) -> impl Iterator<Item = (&'a Migration, bool)> {
    plan.migrations.iter().map(|migration| {
        let is_done = report.migrations.iter().any(|ended| {
            ended.migration == migration.id
                && matches!(ended.outcome, Outcome::Migrated | Outcome::CleanedUp)
        });
        (migration, is_done)
    })
}

fn not_yet(migration: &Migration, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "\n# {} is not migrated yet.", migration.id)
}

fn begin(
    migration: &Migration,
    member: &Member,
    is_known: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    writeln!(
        out,
        "\n# {}/{}: {} is kept as {}",
        migration.region, member.identifier, member.dbi_resource_id, member.old_name
    )?;
    if !is_known {
        writeln!(
            out,
            "# Its address is not known here: complete it, or give the state with --tfstate."
        )?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn member(name: &str, id: &str) -> Member {
        use atrest_model::id::DbInstanceIdentifier;
        let identifier = DbInstanceIdentifier::try_from(name).unwrap();
        Member {
            old_name: identifier.prefixed("old").unwrap(),
            new_name: identifier.prefixed("new").unwrap(),
            dbi_resource_id: id.to_owned(),
            replicates_from: None,
            digest: String::new(),
            made_by: "restore".to_owned(),
            identifier,
        }
    }

    #[test]
    fn addresses_are_found_by_resource_id_and_name_with_module_and_key() {
        let state = json!({"version": 4, "resources": [
            {"mode": "managed", "type": "aws_db_instance", "name": "one", "instances": [
                {"attributes": {"identifier": "prod-one", "resource_id": "db-ONE"}}]},
            {"module": "module.db[\"a\"]", "mode": "managed", "type": "aws_db_instance", "name": "r", "instances": [
                {"index_key": "it's ${x}", "attributes": {"identifier": "prod-two", "resource_id": "db-TWO"}},
                {"index_key": 1, "attributes": {"identifier": "prod-three"}}]},
            {"mode": "data", "type": "aws_db_instance", "name": "d", "instances": [
                {"attributes": {"identifier": "prod-four"}}]},
        ]});
        let addresses = Addresses::of_state(&state).unwrap();
        let shown = |name: &str, id: &str| {
            let (address, is_known) = address(&addresses, &member(name, id));
            (format!("{}{}", address.resource, address.key), is_known)
        };
        assert_eq!(
            shown("prod-one", "db-ONE"),
            ("aws_db_instance.one".to_owned(), true)
        );
        assert_eq!(
            shown("prod-two", "db-TWO"),
            (
                "module.db[\"a\"].aws_db_instance.r[\"it's $${x}\"]".to_owned(),
                true
            )
        );
        assert_eq!(
            shown("prod-three", "db-other"),
            ("module.db[\"a\"].aws_db_instance.r[1]".to_owned(), true)
        );
        assert_eq!(
            shown("prod-four", "db-4"),
            ("aws_db_instance.REPLACE_ME_prod_four".to_owned(), false)
        );
        assert!(Addresses::of_state(&json!({"version": 3})).is_err());
        assert!(Addresses::of_state(&json!([])).is_err());
    }
}
