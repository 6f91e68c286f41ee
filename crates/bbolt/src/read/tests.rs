//! What was written is read back; a real database of etcd is read.

use std::collections::BTreeMap;
use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::write::{Builder, Layout, Value};

pub(crate) type Buckets = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>;

fn tell(builder: &mut Builder, buckets: &Buckets, with_values: bool) {
    for (name, entries) in buckets {
        for (key, value) in entries {
            let value = if with_values { Value::Bytes(value) } else { Value::Len(value.len()) };
            builder.entry(key, value).expect("in order");
        }
        builder.end_bucket(name).expect("in order");
    }
}

fn measure(buckets: &Buckets) -> Layout {
    let mut measuring = Builder::measuring();
    tell(&mut measuring, buckets, false);
    measuring.finish().expect("nothing to differ from").0
}

pub(crate) fn write(buckets: &Buckets) -> Vec<u8> {
    let layout = measure(buckets);
    let mut writing = Builder::writing(layout);
    tell(&mut writing, buckets, true);
    let mut bytes = writing.take();
    bytes.extend(writing.finish().expect("as measured").1);
    assert_eq!(bytes.len() as u64, layout.bytes());
    bytes
}

pub(crate) fn read(bytes: &[u8]) -> Result<Buckets, Error> {
    let db = Db::open(bytes)?;
    let mut found = Buckets::new();
    for name in db.buckets()? {
        let mut entries = BTreeMap::new();
        let mut walk = db.bucket(&name)?.expect("it was listed");
        while let Some((key, value)) = walk.next_entry()? {
            entries.insert(key.to_vec(), value.to_vec());
        }
        found.insert(name, entries);
    }
    Ok(found)
}

pub(crate) fn real() -> Vec<u8> {
    let path =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/kubernetes-api/storage/etcd-3.6-snapshot.db");
    std::fs::read(&path).unwrap_or_else(|error| {
        panic!("the facts of the Kubernetes API are expected beside the checkout: {}: {error}", path.display())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_back(
        buckets in prop::collection::btree_map(
            prop::collection::vec(any::<u8>(), 1..12),
            prop::collection::btree_map(
                prop::collection::vec(any::<u8>(), 0..40),
                prop::collection::vec(any::<u8>(), 0..9000),
                0..40,
            ),
            0..5,
        )
    ) {
        prop_assert_eq!(read(&write(&buckets)).expect("our own file"), buckets);
    }
}

#[test]
fn a_tree_of_several_levels_is_read_back() {
    let key = |number: u32| [b"a/long/key/so/that/branches/are/many/".as_slice(), &number.to_be_bytes()].concat();
    let entries = (0..60_000).map(|number| (key(number), vec![number as u8; (number % 90) as usize])).collect();
    let buckets = Buckets::from([(b"empty".to_vec(), BTreeMap::new()), (b"key".to_vec(), entries)]);
    let bytes = write(&buckets);
    assert!(bytes.len() > 4 << 20, "{} bytes", bytes.len());
    assert_eq!(read(&bytes).expect("our own file"), buckets);
}

#[test]
fn values_longer_than_pages_are_read_back() {
    let entries = [(b"a".to_vec(), vec![1; 3 << 20]), (b"b".to_vec(), vec![]), (b"c".to_vec(), vec![2; 4096])];
    let buckets = Buckets::from([(b"key".to_vec(), BTreeMap::from(entries))]);
    assert_eq!(read(&write(&buckets)).expect("our own file"), buckets);
}

#[test]
fn entries_out_of_order_are_refused() {
    let mut builder = Builder::measuring();
    builder.entry(b"b", Value::Len(0)).expect("the first one");
    builder.entry(b"b", Value::Len(0)).expect_err("twice");
    builder.entry(b"a", Value::Len(0)).expect_err("backwards");
    builder.end_bucket(b"z").expect("the first one");
    builder.end_bucket(b"y").expect_err("backwards");
}

#[test]
fn what_differs_from_what_was_measured_is_refused() {
    let one = Buckets::from([(b"key".to_vec(), BTreeMap::from([(b"a".to_vec(), vec![0; 10])]))]);
    let two = Buckets::from([(b"key".to_vec(), BTreeMap::from([(b"a".to_vec(), vec![0; 5000])]))]);
    let mut writing = Builder::writing(measure(&one));
    tell(&mut writing, &two, true);
    writing.finish().expect_err("another layout");
}

#[test]
fn a_database_of_etcd_3_6_is_read() {
    let found = read(&real()).expect("a real database");
    let names: Vec<String> = found.keys().map(|name| String::from_utf8_lossy(name).into_owned()).collect();
    let expect =
        ["alarm", "auth", "authRoles", "authUsers", "cluster", "key", "lease", "members", "members_removed", "meta"];
    assert_eq!(names, expect);
    let count = |name: &str| found[name.as_bytes()].len();
    assert_eq!((count("key"), count("lease"), count("meta")), (362, 3, 6));
    assert_eq!(found[&b"meta".to_vec()][&b"storageVersion".to_vec()], b"3.6.0");
}
