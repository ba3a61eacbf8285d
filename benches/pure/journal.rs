//! Records of the journal: made, appended and found again. Appending is to the disk under the temporary directory.

use crate::material;
use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use std::{hint::black_box, path::Path, sync::Arc};
use tokio::{runtime::Runtime, task::JoinSet};
use waxseal::queue::{
    disk::HostDisk,
    journal::{Durability, Journal, JournalOptions, scan_readonly},
    record,
};

const SIZES: [usize; 2] = [4 << 10, 100 << 10];
/// Records that wait for one fdatasync together.
const TOGETHER: u64 = 64;
const SCANNED: u64 = 10_000;

fn journal(directory: &Path) -> Arc<Journal> {
    let options = JournalOptions { disk: Arc::new(HostDisk), segment_size: 64 << 20 };
    Arc::new(Journal::start(directory, &options, 0).unwrap())
}

pub fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode a record");
    for size in SIZES {
        let content = Bytes::from(material::content(size));
        let received = material::received(1, &content);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| record::encode_received(black_box(&received), &content));
        });
    }
    group.finish();
}

pub fn append(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let mut group = criterion.benchmark_group("append 64 records and sync");
    group.throughput(Throughput::Elements(TOGETHER)).sample_size(20);
    for size in SIZES {
        let directory = tempfile::tempdir().unwrap();
        let journal = journal(directory.path());
        let content = Bytes::from(material::content(size));
        let records = || {
            let record = |number| record::encode_received(&material::received(number, &content), &content);
            (0..TOGETHER).map(record).collect::<Vec<_>>()
        };
        let all = |records: Vec<record::Octets>| {
            let mut appends = JoinSet::new();
            for octets in records {
                let journal = journal.clone();
                appends.spawn_on(
                    async move { journal.append(octets, Durability::Synced).await.unwrap() },
                    runtime.handle(),
                );
            }
            runtime.block_on(appends.join_all())
        };
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter_batched(records, all, BatchSize::LargeInput);
        });
    }
    group.finish();
}

pub fn scan(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let writing = journal(directory.path());
    let content = Bytes::from(material::content(1 << 10));
    runtime.block_on(async {
        for number in 0..SCANNED {
            let octets = record::encode_received(&material::received(number, &content), &content);
            writing.append(octets, Durability::Written).await.unwrap();
        }
    });
    drop(writing);
    let mut group = criterion.benchmark_group("scan");
    group.throughput(Throughput::Elements(SCANNED)).sample_size(10);
    group.bench_function("10000 records of 1 KiB", |b| {
        b.iter(|| {
            let mut seen = 0;
            scan_readonly(directory.path(), |_, _| seen += 1).unwrap();
            assert_eq!(seen, SCANNED);
        });
    });
    group.finish();
}
