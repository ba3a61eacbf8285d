use super::*;

/// Content, the input left over behind the end of data (`None` without an end), and whether to close.
fn run(wire: &[u8], sizes: &[usize]) -> (Vec<u8>, Option<Vec<u8>>, bool) {
    let (mut decoder, mut out, mut at) = (DataDecoder::default(), Vec::new(), 0);
    let mut sizes = sizes.iter().copied().cycle();
    while at < wire.len() {
        let end = (at + sizes.next().unwrap_or(wire.len()).max(1)).min(wire.len());
        let progress = decoder.decode(&wire[at..end], &mut out);
        at += progress.consumed;
        if progress.done {
            return (out, Some(wire[at..].to_vec()), decoder.bare_lf_client());
        }
        assert_eq!(at, end, "all input is used up before the end of data");
    }
    (out, None, decoder.bare_lf_client())
}

#[test]
fn what_ends_the_data_and_what_does_not() {
    type Case = (&'static [u8], &'static [u8], Option<&'static [u8]>);
    // Wire, content, what is left over.
    let cases: &[Case] = &[
        (b".\r\nQUIT\r\n", b"", Some(b"QUIT\r\n")),
        (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", Some(b"QUIT\r\n")),
        (b"\r\n.\r\n", b"\r\n", Some(b"")),
        (b"..\r\n.\r\n", b".\r\n", Some(b"")),
        (b".a\r\n...\r\n.\r\n", b"a\r\n..\r\n", Some(b"")),
        (b"a\0b\xfc\r\n.\r\n", b"a\0b\xfc\r\n", Some(b"")),
        // Smuggling: none of these is an end of data from a client that ends lines with CRLF.
        (b"a\r\n\n.\nb\r\n.\r\n", b"a\r\n\r\n.\r\nb\r\n", Some(b"")),
        (b"a\r\nb\n.\nMAIL\r\n.\r\n", b"a\r\nb\r\n.\r\nMAIL\r\n", Some(b"")),
        (b"a\r\nb\n.\r\nMAIL\r\n.\r\n", b"a\r\nb\r\n.\r\nMAIL\r\n", Some(b"")),
        (b"a\r\n.\nMAIL\r\n.\r\n", b"a\r\n\r\nMAIL\r\n", Some(b"")),
        (b"a\r\nb\r.\rMAIL\r\n.\r\n", b"a\r\nb\r\n.\r\nMAIL\r\n", Some(b"")),
        (b"a\r\nb\r.\r\nMAIL\r\n.\r\n", b"a\r\nb\r\n.\r\nMAIL\r\n", Some(b"")),
        (b"a\r\n.\rMAIL\r\n.\r\n", b"a\r\n\r\nMAIL\r\n", Some(b"")),
        (b"a\r\n.\r\rMAIL\r\n.\r\n", b"a\r\n\r\n\r\nMAIL\r\n", Some(b"")),
        (b"a\r\n.\0\r\nMAIL\r\n.\r\n", b"a\r\n\0\r\nMAIL\r\n", Some(b"")),
        (b"a\r\nb\r\r\n.\r\n", b"a\r\nb\r\n", Some(b"")),
        (b"a\r\n.\r\r\nb\r\n.\r\n", b"a\r\n\r\nb\r\n", Some(b"")),
        (b"a\r\r\r\n.\r\n", b"a\r\n\r\n", Some(b"")),
        (b"a\r\n", b"a\r\n", None),
    ];
    for (wire, content, rest) in cases {
        for sizes in [&[usize::MAX / 2][..], &[1], &[2], &[3, 1]] {
            let (got, left, close) = run(wire, sizes);
            let wire = wire.escape_ascii();
            assert_eq!(got.escape_ascii().to_string(), content.escape_ascii().to_string(), "{wire}");
            assert_eq!(left.is_some(), rest.is_some(), "{wire}");
            assert!(left.is_none_or(|l| Some(&l[..]) == *rest), "{wire} in pieces of {sizes:?}");
            assert!(!close, "{wire}");
        }
    }
}

#[test]
fn a_bare_lf_client_ends_its_data_its_own_way_once() {
    let cases: &[(&[u8], &[u8])] = &[
        (b"a\n\nb\n.\nQUIT\n", b"a\r\n\r\nb\r\n"),
        (b"a\n..b\n.\nQUIT\n", b"a\r\n.b\r\n"),
        (b".\nQUIT\n", b""),
        (b"a\n.\r\nQUIT\n", b"a\r\n"),
        (b"a\nb\r\n.\nQUIT\n", b"a\r\nb\r\n"),
    ];
    for (wire, content) in cases {
        for sizes in [&[usize::MAX / 2][..], &[1]] {
            let (got, left, close) = run(wire, sizes);
            assert_eq!(got, *content, "{}", wire.escape_ascii());
            assert!(left.is_some_and(|l| l.starts_with(b"QUIT")), "{}", wire.escape_ascii());
            assert!(close);
        }
    }
}
