//! An inventory whose documents are text, one after the other: an eighth of what they take as values. They are values
//! while somebody looks at them.

use std::collections::HashSet;
use std::num::NonZero;
use std::sync::Arc;

use atrest_model::key::region_of;
use atrest_model::resource::DescribedRef;
use atrest_model::scan::ResourceKind;
use rayon::prelude::*;
use serde_json::Value;

use crate::inventory::{Inventory, RegionInventory};

/// What is known of one account. Its documents are kept as text, and are values only while somebody looks at them.
#[derive(Debug)]
pub struct PackedAccount {
    /// Everything but documents.
    pub(crate) frame: Inventory,
    /// Sorted by region, kind and ARN.
    pub(crate) items: Vec<Described>,
    pub(crate) packs: Arc<Vec<Packed>>,
}

/// One described thing and where it belongs.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) account: Arc<str>,
    pub(crate) region: Arc<str>,
    pub(crate) kind: ResourceKind,
    pub(crate) arn: String,
    /// Which file it came from, and which document of it.
    pub(crate) file: usize,
    pub(crate) index: usize,
    /// Of the whole document as it was in the file: two files may tell the same of one thing, or not.
    pub(crate) digest: u64,
    /// Whether another account shares it.
    pub(crate) is_shared: bool,
    /// Cluster, or member of one.
    pub(crate) is_of_cluster: bool,
    /// Name of an instance, and what it or a cluster says that it replicates from.
    pub(crate) name: Option<String>,
    pub(crate) source: Option<(Arc<str>, String)>,
}

impl PackedAccount {
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

/// Packs the documents of one account, region by region.
#[derive(Debug, Default)]
pub(crate) struct Packing {
    items: Vec<Described>,
    packs: Vec<Packed>,
    names: Names,
}

impl Packing {
    /// Takes the documents of a region, but those of global clusters: where these belong is known at the end.
    pub(crate) fn take(&mut self, account: &str, region: &mut RegionInventory) {
        let (others, global): (Vec<_>, Vec<_>) = std::mem::take(&mut region.others)
            .into_iter()
            .partition(|found| found.kind != ResourceKind::GlobalCluster);
        region.others = global;
        let instances = std::mem::take(&mut region.instances);
        let clusters = std::mem::take(&mut region.clusters);
        let instances = instances.iter().map(DescribedRef::from);
        let clusters = clusters.iter().map(DescribedRef::from);
        let others = others.iter().map(atrest_model::resource::Described::view);
        self.add(account, instances.chain(clusters).chain(others));
    }

    fn add<'a>(&mut self, account: &str, found: impl Iterator<Item = DescribedRef<'a>>) {
        let mut pack = Packed::default();
        for view in found {
            let index = pack.push(view.document);
            let view = DescribedRef { account, ..view };
            let mut item = described(view, index, 0, &mut self.names);
            item.file = self.packs.len();
            self.items.push(item);
        }
        pack.settle();
        self.packs.push(pack);
    }

    /// The account, of which `frame` has everything but what was taken.
    pub(crate) fn finish(mut self, mut frame: Inventory) -> PackedAccount {
        let account = frame.account.clone();
        let left: Vec<_> = frame
            .regions
            .iter_mut()
            .flat_map(|region| std::mem::take(&mut region.others))
            .collect();
        self.add(
            &account,
            left.iter().map(atrest_model::resource::Described::view),
        );
        self.items
            .sort_by(|a, b| (&a.region, a.kind, &a.arn).cmp(&(&b.region, b.kind, &b.arn)));
        PackedAccount {
            frame,
            items: self.items,
            packs: Arc::new(self.packs),
        }
    }
}

/// Accounts and regions, each once.
#[derive(Debug, Default)]
pub(crate) struct Names(HashSet<Arc<str>>);

impl Names {
    pub(crate) fn get(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.0.get(name) {
            return Arc::clone(known);
        }
        let name: Arc<str> = Arc::from(name);
        self.0.insert(Arc::clone(&name));
        name
    }
}

/// What is known of a document without looking at it again: `index` is its place in a pack, which gets its number later.
pub(crate) fn described(
    view: DescribedRef<'_>,
    index: usize,
    digest: u64,
    names: &mut Names,
) -> Described {
    let DescribedRef {
        kind,
        account,
        region,
        ..
    } = view;
    // A name in the same region, else an ARN.
    let source = [
        "ReadReplicaSourceDBInstanceIdentifier",
        "ReadReplicaSourceDBClusterIdentifier",
    ]
    .iter()
    .find_map(|member| view.text(member))
    .map(|source| {
        let name = source.rsplit(':').next().unwrap_or(source);
        let region = region_of(source).unwrap_or(region);
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
        account: names.get(account),
        region: names.get(region),
    }
}

/// Documents of one file.
#[derive(Debug, Default)]
pub(crate) struct Packed {
    text: Vec<u8>,
    /// Where each ends.
    ends: Vec<usize>,
}

impl Packed {
    /// Adds one; its place.
    pub(crate) fn push(&mut self, document: &Value) -> usize {
        // Writing a value to memory cannot fail.
        let _written = serde_json::to_writer(&mut self.text, document);
        self.ends.push(self.text.len());
        self.ends.len() - 1
    }

    /// The document of a place.
    pub(crate) fn get(&self, index: usize) -> Value {
        let start = match index.checked_sub(1) {
            None => Some(0),
            Some(before) => self.ends.get(before).copied(),
        };
        let text = start
            .zip(self.ends.get(index).copied())
            .and_then(|(start, end)| self.text.get(start..end));
        // What was written here is read here.
        text.and_then(|text| serde_json::from_slice(text).ok())
            .unwrap_or_default()
    }

    /// No more is added.
    pub(crate) fn settle(&mut self) {
        self.text.shrink_to_fit();
        self.ends.shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_packed_comes_out_as_it_was() {
        let documents = [
            json!({"a": "ünï", "b": [1, -2, true, null, {"c": ""}], "n": 9_007_199_254_740_993_i64}),
            json!({}),
            json!({"z": "\"\\\u{1}"}),
        ];
        let mut packed = Packed::default();
        for (index, document) in documents.iter().enumerate() {
            assert_eq!(packed.push(document), index);
        }
        packed.settle();
        for (index, document) in documents.iter().enumerate().rev() {
            assert_eq!(&packed.get(index), document);
        }
    }
}
