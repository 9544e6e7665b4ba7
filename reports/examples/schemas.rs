//! Writes the JSON schemas of the tool's own documents: `cargo run -p atrest-reports --example schemas`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas");
    for document in atrest_reports::schemas() {
        let mut text = serde_json::to_vec_pretty(&document.schema)?;
        text.push(b'\n');
        let path = folder.join(format!("{}.json", document.name));
        std::fs::write(path, &text)?;
    }
    Ok(())
}
