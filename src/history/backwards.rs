//! The lines of a file from the last to the first, in bounded memory.

use std::{fs::File, io, ops::ControlFlow, os::unix::fs::FileExt as _};

/// Octets that are read at once.
const BLOCK: usize = 256 << 10;
/// A line longer than this is none of ours, and passed over.
const LONGEST: usize = 16 << 20;

/// Gives every line to `each`, without its end, the last one first, until `each` has seen enough.
pub(super) fn lines(file: &File, each: impl FnMut(&[u8]) -> ControlFlow<()>) -> io::Result<ControlFlow<()>> {
    lines_by(file, BLOCK, LONGEST, each)
}

fn lines_by(
    file: &File,
    block: usize,
    longest: usize,
    mut each: impl FnMut(&[u8]) -> ControlFlow<()>,
) -> io::Result<ControlFlow<()>> {
    let mut at = file.metadata()?.len();
    // What has been read and is no whole line yet: the rest of one that starts in an earlier block.
    let mut rest: Vec<u8> = Vec::new();
    let mut buffer: Vec<u8> = Vec::new();
    let mut too_long = false;
    while at > 0 {
        let size = at.min(block as u64) as usize;
        at -= size as u64;
        buffer.clear();
        buffer.resize(size, 0);
        file.read_exact_at(&mut buffer, at)?;
        buffer.extend_from_slice(&rest);
        let mut end = buffer.len();
        while let Some(newline) = memchr::memrchr(b'\n', &buffer[..end]) {
            if !std::mem::take(&mut too_long)
                && newline + 1 < end
                && each(&buffer[newline + 1..end]).is_break()
            {
                return Ok(ControlFlow::Break(()));
            }
            end = newline;
        }
        rest.clear();
        if end > longest || too_long {
            too_long = true;
        } else {
            rest.extend_from_slice(&buffer[..end]);
        }
    }
    if rest.is_empty() || too_long { Ok(ControlFlow::Continue(())) } else { Ok(each(&rest)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    fn read(text: &[u8], block: usize, longest: usize) -> Vec<String> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        let mut seen = Vec::new();
        let end = lines_by(&file, block, longest, |line| {
            seen.push(String::from_utf8_lossy(line).into_owned());
            ControlFlow::Continue(())
        });
        assert!(end.unwrap().is_continue());
        seen
    }

    #[test]
    fn lines_come_backwards_however_they_are_cut() {
        let text = b"one\ntwo is longer\n\n3\nfour\nno end";
        for block in 1..40 {
            let want = ["no end", "four", "3", "two is longer", "one"];
            assert_eq!(read(text, block, 100), want, "blocks of {block}");
        }
        assert!(read(b"", 8, 8).is_empty());
        assert!(read(b"\n", 8, 8).is_empty());
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let text = [b"first\n".to_vec(), vec![b'x'; 500], b"\nlast\n".to_vec()].concat();
        for block in [1, 7, 64] {
            assert_eq!(read(&text, block, 100), ["last", "first"], "blocks of {block}");
        }
        let text = [vec![b'x'; 500], b"\nlast\n".to_vec()].concat();
        assert_eq!(read(&text, 7, 100), ["last"]);
    }

    #[test]
    fn who_has_seen_enough_reads_no_further() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"1\n2\n3\n").unwrap();
        let mut seen = 0;
        let end = lines(&file, |_| {
            seen += 1;
            if seen == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        assert!(end.unwrap().is_break());
        assert_eq!(seen, 2);
    }
}
