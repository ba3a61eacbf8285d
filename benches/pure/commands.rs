//! Command lines, as clients write them and as they should not.

use criterion::{Criterion, Throughput};
use std::hint::black_box;
use waxseal::smtp::command;

const LINES: [&str; 8] = [
    "EHLO printer-3.example.com",
    "MAIL FROM:<app@example.com> SIZE=4096 BODY=8BITMIME",
    "RCPT TO:<customer@example.org>",
    "RCPT TO:<\"two words\"@example.org> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;customer@example.org",
    "mail from: app@example.com",
    "DATA",
    "BDAT 86400 LAST",
    "MAIL FROM:<app@@example.com>",
];

pub fn parse(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("command");
    group.throughput(Throughput::Elements(1));
    for line in LINES {
        let name: String = line.chars().take(24).collect();
        group.bench_function(name, |b| b.iter(|| command::parse(black_box(line.as_bytes()))));
    }
    group.finish();
}
