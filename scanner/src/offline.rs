//! An inventory from saved `aws rds describe-*` output instead of from AWS.
//!
//! Account and region come from the ARNs inside; only an output that holds none (parameters of a group) is placed by
//! its file's name. A file that is not what it should be ends the read: half a night's evidence must not look like a
//! whole one.

mod saved;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use atrest_model::key::{KeyState, Keys, Rotation, account_of, region_of};
use atrest_model::resource::{DescribedRef, GroupKind, ParameterGroup};
use atrest_model::scan::ResourceKind;
use rayon::prelude::*;
use serde_json::Value;

use self::saved::Saved;
use crate::inventory::{Inventory, RegionInventory, Surface};

/// Deepest folder that is looked into.
const MAX_DEPTH: usize = 32;

/// Saved output that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// A file or folder cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is not the output of a describe command.
    #[error("{} is no saved output of `aws rds describe-*`: {why}", path.display())]
    Form {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A folder without a single `.json` file.
    #[error("{} holds no .json file", path.display())]
    Empty {
        /// Which.
        path: PathBuf,
    },
    /// Two files tell different things of one resource.
    #[error("{arn} is described differently in {} and in {}", first.display(), second.display())]
    Conflict {
        /// The resource.
        arn: String,
        /// One file.
        first: PathBuf,
        /// The other.
        second: PathBuf,
    },
}

/// What saved output holds.
#[derive(Debug)]
pub struct Offline {
    /// One for each account, sorted.
    pub inventories: Vec<Inventory>,
    /// What a person should know of it, one sentence each.
    pub notes: Vec<String>,
}

/// One described thing and where it belongs.
struct Item {
    account: String,
    region: String,
    kind: ResourceKind,
    arn: String,
    /// Which file it came from.
    file: usize,
    document: Value,
    /// Of the document as it was in the file.
    digest: u64,
}

/// Reads a file, or every `.json` file below a folder; of what they hold, `surface`. A file is read item by item, and what
/// is not kept of an item is gone before the next is read.
///
/// # Errors
///
/// [`OfflineError`] of the first file, by name, that is not what it should be.
pub fn read(path: &Path, surface: &Surface) -> Result<Offline, OfflineError> {
    let files = files(path)?;
    let mut saved: Vec<Saved> = files
        .par_iter()
        .map(|file| saved::read(file, surface))
        .collect::<Vec<_>>()
        .into_iter()
        .collect::<Result<_, _>>()?;
    let items = placed(&mut saved);
    let items = without_duplicates(items, &files)?;
    let mut by_account: BTreeMap<String, BTreeMap<String, RegionInventory>> = BTreeMap::new();
    let mut places: HashMap<usize, BTreeSet<(String, String)>> = HashMap::new();
    for item in items {
        if saved.get(item.file).is_some_and(|s| !s.cut.is_empty()) {
            let place = (item.account.clone(), item.region.clone());
            places.entry(item.file).or_default().insert(place);
        }
        by_account
            .entry(item.account.clone())
            .or_default()
            .entry(item.region.clone())
            .or_insert_with(|| RegionInventory::new(&item.region))
            .add(item.kind, &item.account, item.document);
    }
    for (index, (file, saved)) in files.iter().zip(&saved).enumerate() {
        for kind in &saved.cut {
            let why = format!(
                "{} holds a page only: it ends with a token for the next one",
                file.display()
            );
            let Some(places) = places.get(&index) else {
                return Err(OfflineError::Form {
                    path: file.clone(),
                    why,
                });
            };
            for (account, region) in places {
                let found = by_account
                    .get_mut(account)
                    .and_then(|regions| regions.get_mut(region));
                if let Some(found) = found {
                    found.unread.push((*kind, why.clone()));
                }
            }
        }
    }
    let keys = keys(&saved);
    let mut inventories: Vec<Inventory> = by_account
        .into_iter()
        .map(|(account, regions)| Inventory {
            account,
            regions: regions.into_values().collect(),
            keys: keys.clone(),
            ..Inventory::default()
        })
        .collect();
    let mut notes = place_groups(&files, &saved, &mut inventories);
    let absent: Vec<&str> = surface
        .kinds
        .iter()
        .filter(|kind| !saved.iter().any(|saved| saved.kinds.contains(kind)))
        .map(|kind| kind.as_str())
        .collect();
    if !absent.is_empty() {
        notes.push(format!(
            "no file lists {}: nothing is known of them",
            absent.join(", ")
        ));
    }
    Ok(Offline { inventories, notes })
}

/// The file itself, or the `.json` files below a folder, sorted by name.
fn files(path: &Path) -> Result<Vec<PathBuf>, OfflineError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| OfflineError::Read { path, source }
    };
    if !std::fs::metadata(path).map_err(failed(path))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    let mut folders = vec![(path.to_owned(), 0)];
    while let Some((folder, depth)) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(failed(&folder))? {
            let entry = entry.map_err(failed(&folder))?.path();
            // A link to nowhere is an error as a file that cannot be read is one.
            let metadata = std::fs::metadata(&entry).map_err(failed(&entry))?;
            if metadata.is_dir() {
                if depth < MAX_DEPTH {
                    folders.push((entry, depth + 1));
                }
            } else if entry
                .extension()
                .is_some_and(|e| e.eq_ignore_ascii_case("json"))
            {
                found.push(entry);
            }
        }
    }
    found.sort();
    if found.is_empty() {
        return Err(OfflineError::Empty {
            path: path.to_owned(),
        });
    }
    Ok(found)
}

/// Gives every document its account and region, and takes it out of its file.
fn placed(saved: &mut [Saved]) -> Vec<Item> {
    let mut items = Vec::new();
    for (file, saved) in saved.iter_mut().enumerate() {
        for saved::Described {
            kind,
            document,
            digest,
        } in std::mem::take(&mut saved.items)
        {
            let (account, region) = place(kind, &document);
            let view = DescribedRef {
                kind,
                account: &account,
                region: &region,
                document: &document,
            };
            let arn = view.arn().into_owned();
            items.push(Item {
                account,
                region,
                kind,
                arn,
                file,
                document,
                digest,
            });
        }
    }
    // A shared snapshot names its owner. Who sees it is known when everything else is of one account.
    let is_shared = |item: &Item| {
        matches!(
            item.document.get("SnapshotType").and_then(Value::as_str),
            Some("shared" | "public")
        )
    };
    let own: BTreeSet<&str> = items
        .iter()
        .filter(|item| !is_shared(item))
        .map(|item| item.account.as_str())
        .collect();
    let only = own
        .first()
        .filter(|_| own.len() == 1)
        .map(|account| (*account).to_owned());
    if let Some(only) = only {
        for item in items.iter_mut().filter(|item| is_shared(item)) {
            item.account.clone_from(&only);
        }
    }
    items
}

/// Account and region, which [`saved::read`] has seen to be there.
fn place(kind: ResourceKind, document: &Value) -> (String, String) {
    let text = |member: &str| document.get(member).and_then(Value::as_str);
    let arn = saved::placing_arn(kind, document).unwrap_or_default();
    let account = account_of(arn).unwrap_or_default().to_owned();
    let region = match kind {
        // Its own ARN has no region: it belongs where it writes to.
        ResourceKind::GlobalCluster => {
            let view = DescribedRef {
                kind,
                account: "",
                region: "",
                document,
            };
            view.writer().and_then(region_of).unwrap_or("us-east-1")
        }
        _ => region_of(arn)
            .or_else(|| text("Region"))
            .unwrap_or_default(),
    };
    (account, region.to_owned())
}

/// Files may overlap. The same thing said twice is said once; two tales of one resource are an error.
fn without_duplicates(mut items: Vec<Item>, files: &[PathBuf]) -> Result<Vec<Item>, OfflineError> {
    items.sort_by(|a, b| {
        (&a.account, &a.region, a.kind, &a.arn, a.file)
            .cmp(&(&b.account, &b.region, b.kind, &b.arn, b.file))
    });
    let mut kept: Vec<Item> = Vec::with_capacity(items.len());
    for item in items {
        let twin = kept.last().filter(|last| {
            last.kind == item.kind && last.arn == item.arn && last.account == item.account
        });
        match twin {
            None => kept.push(item),
            // Every region lists every global cluster, each at its own moment.
            Some(twin)
                if twin.digest == item.digest || item.kind == ResourceKind::GlobalCluster => {}
            Some(twin) => {
                let path = |file: usize| files.get(file).cloned().unwrap_or_default();
                return Err(OfflineError::Conflict {
                    arn: item.arn,
                    first: path(twin.file),
                    second: path(item.file),
                });
            }
        }
    }
    Ok(kept)
}

fn keys(saved: &[Saved]) -> Keys {
    let rotations: HashMap<&str, bool> = saved
        .iter()
        .filter_map(|saved| saved.rotation.as_ref())
        .map(|(key, on)| (key.as_str(), *on))
        .collect();
    saved
        .iter()
        .filter_map(|saved| saved.key.clone())
        .map(|mut facts| {
            let id = facts.arn.rsplit('/').next().unwrap_or_default();
            let told = rotations
                .get(facts.arn.as_str())
                .or_else(|| rotations.get(id));
            facts.rotation = match told {
                _ if !facts.can_rotate() => Rotation::NotApplicable,
                Some(true) => Rotation::On,
                Some(false) => Rotation::Off,
                None => Rotation::Unknown,
            };
            (facts.arn.clone(), KeyState::Known(facts))
        })
        .collect()
}

/// Gives parameters to the groups their files are named after: `describe-db-parameters.NAME.json` below a folder with
/// the name of the region.
fn place_groups(files: &[PathBuf], saved: &[Saved], inventories: &mut [Inventory]) -> Vec<String> {
    let mut notes = Vec::new();
    for (file, saved) in files.iter().zip(saved) {
        let Some(parameters) = &saved.parameters else {
            continue;
        };
        let stem = file
            .file_stem()
            .map(|stem| stem.to_string_lossy())
            .unwrap_or_default();
        let (kind, name) = match stem.strip_prefix("describe-db-cluster-parameters.") {
            Some(name) => (GroupKind::Cluster, name),
            None => (
                GroupKind::Instance,
                stem.strip_prefix("describe-db-parameters.")
                    .unwrap_or(&stem),
            ),
        };
        let group = match saved.is_cut {
            false => ParameterGroup::Read(parameters.clone()),
            true => ParameterGroup::Unreadable(format!("{} holds a page only", file.display())),
        };
        let folders: Vec<_> = file
            .parent()
            .into_iter()
            .flat_map(Path::components)
            .map(|folder| folder.as_os_str().to_string_lossy())
            .collect();
        let names = |word: &str| folders.iter().any(|folder| folder == word);
        let is_one_account = inventories
            .iter()
            .any(|inventory| names(&inventory.account));
        let all: BTreeSet<String> = inventories
            .iter()
            .flat_map(|inventory| &inventory.regions)
            .map(|region| region.region.clone())
            .collect();
        let region = all
            .iter()
            .find(|region| names(region))
            .or_else(|| all.first().filter(|_| all.len() == 1));
        let Some(region) = region else {
            notes.push(format!(
                "{} was not used: no folder of its path names its region",
                file.display()
            ));
            continue;
        };
        for inventory in &mut *inventories {
            if !is_one_account || names(&inventory.account) {
                inventory.groups.insert(region, kind, name, group.clone());
            }
        }
    }
    notes
}
