use super::*;
use crate::{
    mail::Content,
    smtp::{DataDecoder, Progress},
};
use proptest::prelude::*;

/// The content of chunks, whose octets are read in pieces of these sizes.
fn run(chunks: &[&[u8]], sizes: &[usize]) -> Vec<u8> {
    let (mut decoder, mut out) = (ChunkDecoder::default(), Vec::new());
    let mut sizes = sizes.iter().copied().cycle();
    for chunk in chunks {
        decoder.begin(chunk.len() as u64);
        let mut at = 0;
        while at < chunk.len() {
            let end = (at + sizes.next().unwrap_or(1).max(1)).min(chunk.len());
            let progress = decoder.decode(&chunk[at..end], &mut out);
            assert_eq!(progress, Progress { consumed: end - at, done: end == chunk.len() });
            at = end;
        }
    }
    decoder.finish(&mut out);
    out
}

#[test]
fn content_is_made_canonical_and_dots_stay() {
    let cases: &[(&[&[u8]], &[u8])] = &[
        (&[], b""),
        (&[b""], b""),
        (&[b"a\r\n"], b"a\r\n"),
        (&[b"a"], b"a\r\n"),
        (&[b"a\r\n", b""], b"a\r\n"),
        (&[b".\r\n..\r\n"], b".\r\n..\r\n"),
        (&[b"a\r\n.\r\nMAIL FROM:<evil@example.com>\r\n"], b"a\r\n.\r\nMAIL FROM:<evil@example.com>\r\n"),
        (&[b"a\r", b"\nb\r\n"], b"a\r\nb\r\n"),
        (&[b"a\r\n.", b"\r\n"], b"a\r\n.\r\n"),
        (&[b"a\n.\nb"], b"a\r\n.\r\nb\r\n"),
        (&[b"a\rb"], b"a\r\nb\r\n"),
        (&[b"a\r"], b"a\r\n"),
        (&[b"a\r\r\nb"], b"a\r\nb\r\n"),
        (&[b"a\r\rb"], b"a\r\n\r\nb\r\n"),
        (&[b"a\r\r"], b"a\r\n\r\n"),
        (&[b"a\0b\xfc"], b"a\0b\xfc\r\n"),
    ];
    for (chunks, content) in cases {
        for sizes in [&[usize::MAX / 2][..], &[1], &[2, 1]] {
            assert_eq!(run(chunks, sizes).escape_ascii().to_string(), content.escape_ascii().to_string());
        }
    }
}

#[test]
fn a_chunk_ends_where_its_size_says() {
    let (mut decoder, mut out) = (ChunkDecoder::default(), Vec::new());
    decoder.begin(3);
    assert_eq!(decoder.decode(b"ab", &mut out), Progress { consumed: 2, done: false });
    assert_eq!(decoder.decode(b"cBDAT 0 LAST\r\n", &mut out), Progress { consumed: 1, done: true });
    decoder.begin(0);
    assert_eq!(decoder.decode(b"NOOP\r\n", &mut out), Progress { consumed: 0, done: true });
    decoder.begin(u64::MAX);
    assert_eq!(decoder.decode(b"xy", &mut out), Progress { consumed: 2, done: false });
    assert_eq!(out, b"abcxy");
}

proptest! {
    #![proptest_config(crate::smoke())]

    #[test]
    fn any_octets_in_any_chunks_and_pieces_become_the_same_content(
        octets in proptest::collection::vec(proptest::sample::select(&b"\r\r\n\n..ab\0"[..]), 0..40),
        chunks in proptest::collection::vec(0..7usize, 1..6),
        sizes in proptest::collection::vec(1..5usize, 1..5),
    ) {
        prop_assume!(chunks.iter().any(|chunk| *chunk > 0));
        let (mut cut, mut rest) = (Vec::new(), &octets[..]);
        let mut lengths = chunks.iter().copied().cycle();
        while !rest.is_empty() {
            let (chunk, behind) = rest.split_at(lengths.next().unwrap_or(1).min(rest.len()));
            cut.push(chunk);
            rest = behind;
        }
        let content = run(&cut, &sizes);
        prop_assert!(Content::new(content.clone().into()).is_ok(), "{}", content.escape_ascii());
        prop_assert_eq!(&content, &run(&[&octets], &[usize::MAX / 2]));
        // Canonical content is kept octet for octet.
        prop_assert_eq!(&content, &run(&[&content], &sizes));
    }

    #[test]
    fn without_dots_chunks_and_data_become_the_same_content(
        octets in proptest::collection::vec(proptest::sample::select(&b"\r\r\n\nab\0"[..]), 0..40),
    ) {
        // A first line that ends with CRLF, or DATA would take the client for one that knows bare LF alone.
        let octets = [b"x\r\n", &octets[..], b"\r\n"].concat();
        let mut out = Vec::new();
        DataDecoder::default().decode(&[&octets[..], b".\r\n"].concat(), &mut out);
        prop_assert_eq!(run(&[&octets], &[7]), out);
    }
}
