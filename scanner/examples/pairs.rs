//! How long the comparison of describe answers takes: `cargo run --release -p atrest-scanner --example pairs [PAIRS]`
//! (1,000 without a number). Both sides are parsed from text, as saved answers are. Beside it, on the same data and in
//! the same call, Python's `pprint` and `difflib.ndiff`, which is how pairs are often compared by hand. Linux only.
#![expect(
    clippy::print_stdout,
    reason = "it is what a person runs to see numbers"
)]

use std::error::Error;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Instant;

use atrest_model::attribute::ATTRIBUTES;
use atrest_model::document::{Shape, shape_of};
use atrest_model::instance::DbInstance;
use atrest_scanner::pair::{NameMap, SideView, attributes};
use rayon::prelude::*;
use serde_json::{Value, json};

/// Pairs that Python gets: it takes milliseconds for each, or seconds.
const FOR_PYTHON: usize = 20;

const PYTHON: &str = r#"
import difflib, json, pprint, sys, time
pairs = [json.loads(line) for line in sys.stdin]
began = time.process_time()
for old, new in pairs:
    a = pprint.pformat(json.loads(old)).splitlines()
    b = pprint.pformat(json.loads(new)).splitlines()
    list(difflib.ndiff(a, b))
print((time.process_time() - began) * 1000 / len(pairs))
"#;

/// Texts of the two sides of a pair.
type Texts = (String, String);

fn main() -> Result<(), Box<dyn Error>> {
    let amount = std::env::args().nth(1);
    let amount: usize = amount.as_deref().map_or(Ok(1_000), str::parse)?;
    println!("{amount} pairs of {} members", ATTRIBUTES.len());
    println!("differing            CPU ms/pair   all cores ms/pair   pprint+ndiff ms/pair");
    for (changed, scattered) in [
        (0, true),
        (13, true),
        (40, true),
        (40, false),
        (100, true),
        (100, false),
    ] {
        let pairs: Vec<Texts> = (0..amount).map(|n| pair(n, changed, scattered)).collect();
        let used = processor()?;
        let found = pairs.iter().map(compare).sum::<Result<usize, _>>()?;
        let cpu = (processor()? - used) * 1e3 / amount as f64;
        if found != changed * amount {
            return Err(format!("{found} differences, not {}", changed * amount).into());
        }
        let begun = Instant::now();
        let again: usize = pairs
            .par_iter()
            .map(|texts| compare(texts).unwrap_or(0))
            .sum();
        let wall = begun.elapsed().as_secs_f64() * 1e3 / amount as f64;
        if again != found {
            return Err("more than one core finds something else".into());
        }
        let how = if scattered { "scattered" } else { "in a block" };
        let python = python(&pairs).unwrap_or_else(|why| why.to_string());
        println!("{changed:>4} {how:<12} {cpu:>14.3} {wall:>19.3} {python:>22}");
    }
    Ok(())
}

fn compare((old, new): &Texts) -> Result<usize, serde_json::Error> {
    let side = |text: &str| -> Result<DbInstance, serde_json::Error> {
        Ok(DbInstance {
            region: "eu-central-1".to_owned(),
            document: serde_json::from_str(text)?,
        })
    };
    let (old, new) = (side(old)?, side(new)?);
    let names = NameMap::new();
    let (found, _compared) = attributes(
        SideView {
            instance: &old,
            names: &names,
        },
        SideView {
            instance: &new,
            names: &names,
        },
    );
    Ok(found.len())
}

/// A pair with every member that AWS documents and 60 tags.
fn pair(number: usize, changed: usize, scattered: bool) -> Texts {
    let mut leaves = 0;
    let mut document = serde_json::Map::new();
    for row in ATTRIBUTES {
        // Differs even where it is equal.
        if row.name == "PendingModifiedValues" {
            continue;
        }
        let value = match shape_of("DBInstance", row.name) {
            Shape::List if row.name == "TagList" => (0..60)
                .map(|n| json!({"Key": format!("tag-{n:02}"), "Value": format!("v-{number}-{n}")}))
                .collect(),
            Shape::List => json!([]),
            Shape::Structure => json!({"Address": format!("x-{number}.example"), "Zone": "Z1"}),
            Shape::Integer => json!(number),
            Shape::Boolean => json!(true),
            Shape::Other => json!(format!("{}-{number}", row.name)),
        };
        leaves += match &value {
            Value::Array(items) => items.len(),
            _ => 1,
        };
        document.insert(row.name.to_owned(), value);
    }
    let mut other = document.clone();
    let every = if scattered {
        leaves / changed.max(1)
    } else {
        1
    };
    let mut left = changed;
    let mut position = 0;
    for value in other.values_mut() {
        let items = match value {
            Value::Array(items) => items
                .iter_mut()
                .filter_map(|item| item.get_mut("Value"))
                .collect(),
            Value::Object(members) => members.get_mut("Address").into_iter().collect(),
            leaf => vec![leaf],
        };
        for leaf in items {
            position += 1;
            if left > 0 && position % every.max(1) == 0 {
                *leaf = json!("changed");
                left -= 1;
            }
        }
    }
    (
        Value::Object(document).to_string(),
        Value::Object(other).to_string(),
    )
}

fn python(pairs: &[Texts]) -> Result<String, Box<dyn Error>> {
    let mut child = Command::new("python3")
        .args(["-c", PYTHON])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|_missing| "no python3")?;
    let mut stdin = child.stdin.take().ok_or("no pipe")?;
    for (old, new) in pairs.iter().take(FOR_PYTHON) {
        writeln!(stdin, "{}", json!([old, new]))?;
    }
    drop(stdin);
    let said = child.wait_with_output()?;
    let milliseconds: f64 = String::from_utf8(said.stdout)?.trim().parse()?;
    Ok(format!("{milliseconds:.2}"))
}

/// Seconds of a processor this thread has used.
fn processor() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split_whitespace().next().ok_or("no number")?.parse()?;
    Ok(nanoseconds / 1e9)
}
