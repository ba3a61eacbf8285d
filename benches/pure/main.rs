//! How long the pure parts take: `cargo bench --bench pure [NAME]`. The figures are of this machine and this moment; what
//! may not grow unseen is counted in instructions (`benches/instructions/`), and what users see is measured beside
//! Postfix (`benches/compare/`).
#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to say")]

mod commands;
mod content;
mod journal;
#[path = "../material.rs"]
mod material;
mod routing;

criterion::criterion_group!(
    pure,
    commands::parse,
    content::decode,
    content::decode_chunks,
    content::encode,
    journal::encode,
    journal::append,
    journal::scan,
    routing::route
);
criterion::criterion_main!(pure);
