//! An inventory from saved `aws rds describe-*` output instead of from AWS.
//!
//! Account and region come from the ARNs inside; only an output that holds none (parameters of a group) is placed by
//! its file's name. A file that is not what it should be ends the read: half a night's evidence must not look like a
//! whole one.

mod item;
mod saved;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atrest_model::key::{KeyState, Keys, Rotation, account_of, region_of};
use atrest_model::resource::{DescribedRef, GroupKind, ParameterGroup};
use atrest_model::scan::ResourceKind;
use rayon::prelude::*;
use serde_json::Value;

use self::saved::Saved;
use crate::inventory::{Inventory, RegionInventory, Surface};
use crate::packed::{Described, Packed, PackedAccount};

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
    pub accounts: Vec<PackedAccount>,
    /// What a person should know of it, one sentence each.
    pub notes: Vec<String>,
}

/// Account and region.
type Spot = (Arc<str>, Arc<str>);

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
    let items = without_duplicates(placed(&mut saved), &files)?;
    let packs: Vec<Packed> = saved
        .iter_mut()
        .map(|saved| std::mem::take(&mut saved.documents))
        .collect();
    let packs = Arc::new(packs);
    let keys = keys(&saved);
    let mut accounts: Vec<PackedAccount> = Vec::new();
    let mut places: HashMap<usize, BTreeSet<Spot>> = HashMap::new();
    for item in items {
        if saved.get(item.file).is_some_and(|s| !s.cut.is_empty()) {
            let place = (Arc::clone(&item.account), Arc::clone(&item.region));
            places.entry(item.file).or_default().insert(place);
        }
        // They are sorted by account and region.
        if accounts
            .last()
            .is_none_or(|last| *last.frame.account != *item.account)
        {
            accounts.push(PackedAccount {
                frame: Inventory {
                    account: item.account.to_string(),
                    keys: keys.clone(),
                    ..Inventory::default()
                },
                items: Vec::new(),
                packs: Arc::clone(&packs),
            });
        }
        if let Some(account) = accounts.last_mut() {
            let regions = &mut account.frame.regions;
            if regions
                .last()
                .is_none_or(|last| *last.region != *item.region)
            {
                regions.push(RegionInventory::new(&item.region));
            }
            account.items.push(item);
        }
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
                let found = accounts
                    .iter_mut()
                    .filter(|known| *known.frame.account == **account)
                    .flat_map(|known| &mut known.frame.regions)
                    .find(|known| *known.region == **region);
                if let Some(found) = found {
                    found.unread.push((*kind, why.clone()));
                }
            }
        }
    }
    let mut notes = place_groups(&files, &saved, &mut accounts);
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
    Ok(Offline { accounts, notes })
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

/// Everything described, each with the number of its file and with its account.
fn placed(saved: &mut [Saved]) -> Vec<Described> {
    let mut items: Vec<Described> = Vec::new();
    for (file, saved) in saved.iter_mut().enumerate() {
        for mut item in std::mem::take(&mut saved.items) {
            item.file = file;
            items.push(item);
        }
    }
    // A shared snapshot names its owner. Who sees it is known when everything else is of one account.
    let own: BTreeSet<&str> = items
        .iter()
        .filter(|item| !item.is_shared)
        .map(|item| &*item.account)
        .collect();
    let only: Option<Arc<str>> = own
        .first()
        .filter(|_| own.len() == 1)
        .map(|account| Arc::from(*account));
    if let Some(only) = only {
        for item in items.iter_mut().filter(|item| item.is_shared) {
            item.account = Arc::clone(&only);
        }
    }
    items
}

/// Account and region.
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
fn without_duplicates(
    mut items: Vec<Described>,
    files: &[PathBuf],
) -> Result<Vec<Described>, OfflineError> {
    items.sort_by(|a, b| {
        (&a.account, &a.region, a.kind, &a.arn, a.file)
            .cmp(&(&b.account, &b.region, b.kind, &b.arn, b.file))
    });
    let mut kept: Vec<Described> = Vec::with_capacity(items.len());
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
fn place_groups(files: &[PathBuf], saved: &[Saved], accounts: &mut [PackedAccount]) -> Vec<String> {
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
        let is_one_account = accounts.iter().any(|known| names(&known.frame.account));
        let all: BTreeSet<String> = accounts
            .iter()
            .flat_map(|known| &known.frame.regions)
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
        for inventory in accounts.iter_mut().map(|known| &mut known.frame) {
            if !is_one_account || names(&inventory.account) {
                inventory.groups.insert(region, kind, name, group.clone());
            }
        }
    }
    notes
}
