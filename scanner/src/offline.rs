//! An inventory from saved `aws rds describe-*` output instead of from AWS.
//!
//! Account and region come from the ARNs inside; only an output that holds none (parameters of a group) is placed by
//! its file's name. A file that is not what it should be ends the read: half a night's evidence must not look like a
//! whole one.

mod item;
mod packed;
mod saved;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use atrest_model::key::{KeyState, Keys, Rotation, account_of, region_of};
use atrest_model::resource::{DescribedRef, GroupKind, ParameterGroup};
use atrest_model::scan::ResourceKind;
use rayon::prelude::*;
use serde_json::Value;

use self::packed::Packed;
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
    pub accounts: Vec<SavedAccount>,
    /// What a person should know of it, one sentence each.
    pub notes: Vec<String>,
}

/// What was saved of one account. Its documents are kept as text, and are values only while somebody looks at them.
#[derive(Debug)]
pub struct SavedAccount {
    /// Everything but documents.
    frame: Inventory,
    /// Sorted by region, kind and ARN.
    items: Vec<Described>,
    packs: Arc<Vec<Packed>>,
}

/// Account and region.
type Spot = (Arc<str>, Arc<str>);

/// One described thing and where it belongs.
#[derive(Debug)]
struct Described {
    account: Arc<str>,
    region: Arc<str>,
    kind: ResourceKind,
    arn: String,
    /// Which file it came from, and which document of it.
    file: usize,
    index: usize,
    /// Of the whole document as it was in the file: two files may tell the same of one thing, or not.
    digest: u64,
    /// Whether another account shares it.
    is_shared: bool,
    /// Cluster, or member of one.
    is_of_cluster: bool,
    /// Name of an instance, and what it or a cluster says that it replicates from.
    name: Option<String>,
    source: Option<(Arc<str>, String)>,
}

impl SavedAccount {
    /// Account, regions with what is missing of them, keys and parameter groups; no documents.
    #[must_use]
    pub fn frame(&self) -> &Inventory {
        &self.frame
    }

    /// All of it.
    #[must_use]
    pub fn whole(&self) -> Inventory {
        self.inventory(&self.items.iter().collect::<Vec<_>>())
    }

    /// All of it, so many documents at a time.
    pub fn parts(&self, size: NonZero<usize>) -> impl Iterator<Item = Inventory> {
        self.items
            .chunks(size.get())
            .map(|items| self.inventory(&items.iter().collect::<Vec<_>>()))
    }

    /// What built-in policies look at beside the resource that they judge: clusters, their members, and sources of
    /// replicas.
    #[must_use]
    pub fn context(&self) -> Inventory {
        let sources: HashSet<(&str, &str)> = self
            .items
            .iter()
            .filter_map(|item| item.source.as_ref())
            .map(|(region, name)| (&**region, name.as_str()))
            .collect();
        let is_source = |item: &Described| {
            let name = item.name.as_deref();
            name.is_some_and(|name| sources.contains(&(&*item.region, name)))
        };
        let looked_at: Vec<&Described> = self
            .items
            .iter()
            .filter(|item| item.is_of_cluster || is_source(item))
            .collect();
        self.inventory(&looked_at)
    }

    /// These of its documents. Regions and kinds keep their order.
    fn inventory(&self, items: &[&Described]) -> Inventory {
        let mut inventory = self.frame.clone();
        let documents: Vec<Value> = items
            .par_iter()
            .map(|item| {
                let pack = self.packs.get(item.file);
                pack.map(|pack| pack.get(item.index)).unwrap_or_default()
            })
            .collect();
        for (item, document) in items.iter().zip(documents) {
            let mut regions = inventory.regions.iter_mut();
            if let Some(region) = regions.find(|region| *region.region == *item.region) {
                region.add(item.kind, &item.account, document);
            }
        }
        inventory
    }
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
    let items = without_duplicates(placed(&mut saved), &files)?;
    let packs: Vec<Packed> = saved
        .iter_mut()
        .map(|saved| std::mem::take(&mut saved.documents))
        .collect();
    let packs = Arc::new(packs);
    let keys = keys(&saved);
    let mut accounts: Vec<SavedAccount> = Vec::new();
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
            accounts.push(SavedAccount {
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

/// Accounts and regions, each once.
#[derive(Default)]
struct Names(HashSet<Arc<str>>);

impl Names {
    fn get(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = Arc::from(name);
        self.0.insert(Arc::clone(&name));
        name
    }
}

/// What is known of a document, which [`saved::read`] has seen to tell where it belongs. The number of its file is set
/// later.
fn described(
    kind: ResourceKind,
    document: &Value,
    index: usize,
    digest: u64,
    names: &mut Names,
) -> Described {
    let (account, region) = place(kind, document);
    let view = DescribedRef {
        kind,
        account: &account,
        region: &region,
        document,
    };
    // A name in the same region, else an ARN.
    let source = [
        "ReadReplicaSourceDBInstanceIdentifier",
        "ReadReplicaSourceDBClusterIdentifier",
    ]
    .iter()
    .find_map(|member| view.text(member))
    .map(|source| {
        let name = source.rsplit(':').next().unwrap_or(source);
        let region = region_of(source).unwrap_or(&region);
        (names.get(region), name.to_owned())
    });
    let is_instance = kind == ResourceKind::DbInstance;
    Described {
        kind,
        arn: view.arn().into_owned(),
        file: 0,
        index,
        digest,
        is_shared: matches!(view.snapshot_type(), Some("shared" | "public")),
        is_of_cluster: kind == ResourceKind::DbCluster || view.is_cluster_member(),
        name: is_instance.then(|| view.identifier().to_owned()),
        source,
        account: names.get(&account),
        region: names.get(&region),
    }
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
fn place_groups(files: &[PathBuf], saved: &[Saved], accounts: &mut [SavedAccount]) -> Vec<String> {
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
