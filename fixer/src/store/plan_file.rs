//! A plan as a file.

use std::path::Path;

use atrest_model::plan::{self, Plan};
use serde_json::Value;

use super::StoreError;

/// Reads a plan file. The digest and the version are checked.
///
/// # Errors
///
/// [`StoreError::Io`] when the file cannot be read, [`StoreError::Damaged`] when it is not a plan, is of a newer version
/// or was edited.
pub fn read_plan(path: &Path) -> Result<Plan, StoreError> {
    let text = std::fs::read_to_string(path)
        .map_err(|e| StoreError::io(format!("read {}", path.display()), e))?;
    let broken = |why: String| StoreError::Damaged {
        file: path.to_owned(),
        why,
    };
    let value: Value = serde_json::from_str(&text).map_err(|e| broken(format!("not JSON: {e}")))?;
    let version = value.get("schema_version").and_then(Value::as_u64);
    match version {
        None => return Err(broken("it has no schema_version; is it a plan?".to_owned())),
        Some(found) if found > u64::from(plan::SCHEMA_VERSION) => {
            return Err(broken(format!(
                "it has schema version {found}; this version reads up to {}",
                plan::SCHEMA_VERSION
            )));
        }
        Some(_) => {}
    }
    let plan: Plan =
        serde_json::from_value(value).map_err(|e| broken(format!("not a plan: {e}")))?;
    if plan.digest != plan.computed_digest() {
        return Err(broken(
            "its digest does not match its content; a plan cannot be edited, make a new one"
                .to_owned(),
        ));
    }
    Ok(plan)
}
