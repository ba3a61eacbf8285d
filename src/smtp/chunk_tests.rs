use super::*;
use crate::smtp::Progress;

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
