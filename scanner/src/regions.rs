//! Names of partitions and regions, for when AWS cannot be asked: which regions to try, and what a typo meant.

/// A partition: its regions share accounts, ARNs and credentials with each other and with nothing else.
#[derive(Debug)]
pub struct Partition {
    /// As in ARNs.
    pub name: &'static str,
    /// Where its global services answer, Organizations among them.
    pub global: &'static str,
    /// Its regions as of aws-sdk-rds 1.159, sorted. AWS adds to them, so an unknown name is not yet a wrong one.
    pub regions: &'static [&'static str],
}

/// Every partition. The first is the one most accounts are in.
pub const PARTITIONS: &[Partition] = &[
    Partition {
        name: "aws",
        global: "us-east-1",
        regions: &[
            "af-south-1",
            "ap-east-1",
            "ap-east-2",
            "ap-northeast-1",
            "ap-northeast-2",
            "ap-northeast-3",
            "ap-south-1",
            "ap-south-2",
            "ap-southeast-1",
            "ap-southeast-2",
            "ap-southeast-3",
            "ap-southeast-4",
            "ap-southeast-5",
            "ap-southeast-6",
            "ap-southeast-7",
            "ca-central-1",
            "ca-west-1",
            "eu-central-1",
            "eu-central-2",
            "eu-north-1",
            "eu-south-1",
            "eu-south-2",
            "eu-west-1",
            "eu-west-2",
            "eu-west-3",
            "il-central-1",
            "me-central-1",
            "me-south-1",
            "mx-central-1",
            "sa-east-1",
            "us-east-1",
            "us-east-2",
            "us-west-1",
            "us-west-2",
        ],
    },
    Partition {
        name: "aws-cn",
        global: "cn-northwest-1",
        regions: &["cn-north-1", "cn-northwest-1"],
    },
    Partition {
        name: "aws-us-gov",
        global: "us-gov-west-1",
        regions: &["us-gov-east-1", "us-gov-west-1"],
    },
    Partition {
        name: "aws-eusc",
        global: "eusc-de-east-1",
        regions: &["eusc-de-east-1"],
    },
    Partition {
        name: "aws-iso",
        global: "us-iso-east-1",
        regions: &["us-iso-east-1", "us-iso-west-1"],
    },
    Partition {
        name: "aws-iso-b",
        global: "us-isob-east-1",
        regions: &["us-isob-east-1", "us-isob-west-1"],
    },
    Partition {
        name: "aws-iso-e",
        global: "eu-isoe-west-1",
        regions: &["eu-isoe-west-1"],
    },
    Partition {
        name: "aws-iso-f",
        global: "us-isof-south-1",
        regions: &["us-isof-east-1", "us-isof-south-1"],
    },
];

/// The partition of that name.
#[must_use]
pub fn partition(name: &str) -> Option<&'static Partition> {
    PARTITIONS.iter().find(|partition| partition.name == name)
}

/// Whether this version knows the region.
#[must_use]
pub fn is_known(region: &str) -> bool {
    PARTITIONS
        .iter()
        .any(|partition| partition.regions.contains(&region))
}

/// The region whose name is nearest to this one, of `others` and of those known here; `None` when all are too far for
/// a typo.
#[must_use]
pub fn nearest<'a>(name: &str, others: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let known = PARTITIONS
        .iter()
        .flat_map(|partition| partition.regions.iter().copied());
    others
        .into_iter()
        .chain(known)
        .map(|region| (strsim::damerau_levenshtein(name, region), region))
        .filter(|(distance, _)| *distance <= 4)
        .min()
        .map(|(_, region)| region)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_finds_its_region() {
        for (typo, region) in [
            ("eu-centrall-1", "eu-central-1"),
            ("eu-cental-1", "eu-central-1"),
            ("us-eats-1", "us-east-1"),
            ("us-gov-wst-1", "us-gov-west-1"),
        ] {
            assert_eq!(nearest(typo, []), Some(region), "{typo}");
        }
        assert_eq!(nearest("somewhere-else-entirely-1", []), None);
        assert_eq!(nearest("zz-new-2", ["zz-new-1"]), Some("zz-new-1"));
    }

    #[test]
    fn the_tables_are_sorted_and_say_each_region_once() {
        let mut all: Vec<&str> = Vec::new();
        for partition in PARTITIONS {
            assert!(partition.regions.is_sorted(), "{}", partition.name);
            assert!(partition.regions.contains(&partition.global));
            all.extend(partition.regions);
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
