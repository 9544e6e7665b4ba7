//! What every text of others is put to that the model reads: it is refused or understood, in bounded time, and what was
//! understood is written as it was read.

use std::str::FromStr as _;

use atrest_model::account::{AccountKey, Name, ServerVersion, quote_identifier, quote_literal};
use atrest_model::id::{DbInstanceIdentifier, RunId};
use atrest_model::keep::Keep;
use atrest_model::plan::Plan;

/// A plan, as `fix` reads it.
pub(crate) fn plan(data: &[u8]) {
    let Ok(plan) = serde_json::from_slice::<Plan>(data) else {
        return;
    };
    let text = serde_json::to_vec(&plan).expect("a plan is plain data");
    let again: Plan = serde_json::from_slice(&text).expect("a plan that was written");
    assert_eq!(plan, again);
    assert_eq!(plan.computed_digest(), again.computed_digest());
    for migration in &plan.migrations {
        for step in &migration.steps {
            let _operation = step.action.operation();
        }
        assert!(migration.members().count() >= 1);
    }
    let _blocking = plan.blocking().count();
}

/// A describe answer or saved output: any JSON document.
pub(crate) fn document(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(data) else {
        return;
    };
    let digest = atrest_model::document::digest(&value);
    let text = serde_json::to_vec(&value).expect("JSON");
    if let Ok(again) = serde_json::from_slice::<serde_json::Value>(&text)
        && again == value
    {
        assert_eq!(digest, atrest_model::document::digest(&again));
    }
    let kept = Keep::looked_at().of(value.clone());
    // What is kept is a part of what was there.
    if let (Some(kept), Some(all)) = (kept.as_object(), value.as_object()) {
        assert!(kept.keys().all(|member| all.contains_key(member)));
    }
    let instance = atrest_model::instance::DbInstance {
        region: "eu-central-1".to_owned(),
        document: value,
    };
    let _facts = (
        instance.identifier(),
        instance.arn(),
        instance.engine(),
        instance.status(),
        instance.endpoint(),
        instance.encryption(),
        instance.replica_source(),
        instance.cluster(),
    );
}

/// Quoting: a server reads one literal, and in it exactly what was quoted.
pub(crate) fn sql(data: &[u8]) {
    let literal = quote_literal(data);
    let read = super::reader::tokens(&literal);
    assert_eq!(read, [super::reader::Token::Text(data.to_vec())]);
    let identifier = quote_identifier(data);
    let read = super::reader::tokens(&identifier);
    assert_eq!(read, [super::reader::Token::Name(data.to_vec())]);
}

/// Names of accounts, instances and runs, and versions of servers.
pub(crate) fn names(data: &[u8]) {
    let name = Name::from(data.to_vec());
    let shown = name.to_string();
    assert!(!shown.contains(['\n', '\u{1b}', '\0']), "{shown:?}");
    let back = Name::from_str(&shown).expect("a name that was shown");
    assert_eq!(back.as_bytes(), data);
    let key = AccountKey::new(name.clone(), name);
    assert!(!key.to_string().contains(['\n', '\u{1b}', '\0']));
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let _name = Name::from_str(text);
    let _version = ServerVersion::from_str(text);
    if let Ok(id) = DbInstanceIdentifier::try_from(text) {
        assert!(id.as_str().len() <= 63);
        let _longer = (id.prefixed("old"), id.prefixed("new"));
    }
    if let Ok(run) = RunId::try_from(text.to_owned()) {
        // It names a folder.
        assert!(!run.as_str().contains(['/', '\0']) && !run.as_str().starts_with('.'));
    }
}
