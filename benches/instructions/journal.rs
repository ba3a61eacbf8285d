//! Messages of 4 KiB onto the disk, each with its departure.

use crate::material;
use bytes::Bytes;
use std::sync::Arc;
use waxseal::{
    history::{Event, What},
    queue::{
        disk::HostDisk,
        journal::{Durability, Journal, JournalOptions},
        record,
    },
};

pub fn run(messages: usize) {
    let directory = tempfile::tempdir().unwrap();
    let options = JournalOptions { disk: Arc::new(HostDisk), segment_size: 64 << 20 };
    let journal = Journal::start(directory.path(), &options, 0).unwrap();
    let content = Bytes::from(material::content(4 << 10));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        for number in 0..messages as u64 {
            let received = material::received(number, &content);
            let octets = record::encode_received(&received, &content);
            journal.append(octets, Durability::Synced).await.unwrap();
            let event = Event {
                account: "support".into(),
                to: vec!["customer@example.org".into()],
                ..Event::new(received.received_at, received.id, What::Delivered)
            };
            journal.append(record::encode_done(received.id, &[event]), Durability::Written).await.unwrap();
        }
    });
}
