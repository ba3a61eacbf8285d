//! Content in, by DATA and by BDAT, and out.

use crate::material;
use criterion::{BenchmarkId, Criterion, Throughput};
use std::hint::black_box;
use waxseal::{
    outbound::DotStuffer,
    smtp::{ChunkDecoder, DataDecoder},
};

const SIZES: [usize; 3] = [4 << 10, 100 << 10, 1 << 20];
/// What a session reads at once.
const READ: usize = 16 << 10;
/// What a lane sends at once.
const BLOCK: usize = 64 << 10;

fn stuffed(content: &[u8]) -> Vec<u8> {
    let (mut stuffer, mut out) = (DotStuffer::default(), Vec::new());
    stuffer.encode(content, &mut out);
    stuffer.finish(&mut out);
    out
}

pub fn decode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode DATA");
    for size in SIZES {
        let wire = stuffed(&material::content(size));
        let mut out = Vec::with_capacity(2 * size);
        group.throughput(Throughput::Bytes(wire.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(size), &wire, |b, wire| {
            b.iter(|| {
                out.clear();
                let mut decoder = DataDecoder::default();
                for read in wire.chunks(READ) {
                    black_box(decoder.decode(read, &mut out));
                }
                out.len()
            });
        });
    }
    group.finish();
}

pub fn decode_chunks(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decode BDAT");
    for size in SIZES {
        let wire = material::content(size);
        let mut out = Vec::with_capacity(2 * size);
        group.throughput(Throughput::Bytes(wire.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(size), &wire, |b, wire| {
            b.iter(|| {
                out.clear();
                let mut decoder = ChunkDecoder::default();
                decoder.begin(wire.len() as u64);
                for read in wire.chunks(READ) {
                    black_box(decoder.decode(read, &mut out));
                }
                out.len()
            });
        });
    }
    group.finish();
}

pub fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for size in SIZES {
        let content = material::content(size);
        let mut out = Vec::with_capacity(2 * BLOCK);
        group.throughput(Throughput::Bytes(content.len() as u64));
        group.bench_with_input(BenchmarkId::from_parameter(size), &content, |b, content| {
            b.iter(|| {
                let mut stuffer = DotStuffer::default();
                for block in content.chunks(BLOCK) {
                    out.clear();
                    stuffer.encode(block, &mut out);
                }
                stuffer.finish(&mut out);
                out.len()
            });
        });
    }
    group.finish();
}
