//! What can be learned from a record that is damaged: how far it reaches.

use super::{
    HEADER, MAGIC,
    frame::{CONTENT_LIMIT, META_LIMIT},
};
use serde::Deserialize;

/// What a meta part says of the content part's length.
#[derive(Deserialize)]
struct Extent {
    /// Receipts alone have it.
    #[serde(default)]
    size: u64,
    #[serde(default)]
    file: bool,
}

/// The lengths of the meta and the content part as the header claims them.
fn lengths(octets: &[u8]) -> Option<(usize, usize)> {
    let number = |at: usize| Some(u32::from_le_bytes(octets.get(at..at + 4)?.try_into().ok()?));
    let (meta, content) = (number(10)?, number(14)?);
    (meta <= META_LIMIT && content <= CONTENT_LIMIT).then_some((meta as usize, content as usize))
}

/// The length of the damaged record that starts `octets`, where its header and its meta part agree on it, so that the
/// damage lies elsewhere. `octets` need not reach its end, but that of its meta part.
pub fn claimed_length(octets: &[u8]) -> Option<usize> {
    let (meta_length, content_length) = lengths(octets)?;
    let meta = octets.get(HEADER..HEADER + meta_length)?;
    // JSON has no control characters: with a magic in it, it reaches into the next record.
    if !meta.ends_with(b"}") || memchr::memmem::find(meta, &MAGIC).is_some() {
        return None;
    }
    // A meta part that is damaged itself cannot contradict.
    let agrees = match serde_json::from_slice::<Extent>(meta) {
        Ok(Extent { file: true, .. }) => content_length == 0,
        Ok(Extent { size, .. }) => content_length as u64 == size,
        Err(_) => true,
    };
    agrees.then_some(HEADER + meta_length + content_length)
}

/// Whether the header of a record that seems to be cut short cannot be right: its meta part is whole and ends earlier, or
/// says that the content is shorter. Then it is damaged, not cut.
pub fn contradicts_itself(octets: &[u8]) -> bool {
    let Some((meta_length, content_length)) = lengths(octets) else { return octets.len() >= HEADER };
    let meta = &octets[HEADER.min(octets.len())..];
    let mut values = serde_json::Deserializer::from_slice(meta).into_iter::<Extent>();
    let Some(Ok(extent)) = values.next() else { return false };
    let expected = if extent.file { 0 } else { extent.size };
    values.byte_offset() != meta_length || content_length as u64 != expected
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        account::AccountId,
        mail::{BodyType, Envelope, ForwardPath, QueueId, ReversePath},
        queue::{entry::Received, record},
    };

    fn records() -> [Vec<u8>; 3] {
        let content = b"content\r\n";
        let from = ReversePath::parse("a@example.com").unwrap();
        let to = vec![ForwardPath::parse("b@example.org").unwrap()];
        let received = Received {
            id: QueueId::from_number(1),
            received_at: 2,
            account: AccountId::new("x"),
            application: None,
            envelope: Envelope::new(from, to, BodyType::SevenBit, false).unwrap(),
            size: content.len() as u64,
            message_id: None,
            notification: false,
        };
        [
            record::encode_received(&received, &bytes::Bytes::copy_from_slice(content)).head,
            record::encode_received_in_file(&received, 7),
            record::encode_done(received.id, &[]),
        ]
    }

    #[test]
    fn one_flipped_bit_never_leads_to_a_wrong_length() {
        for octets in records() {
            for bit in 0..octets.len() * 8 {
                let mut damaged = octets.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                // Behind it another record follows.
                damaged.extend_from_slice(&octets);
                let claimed = claimed_length(&damaged);
                assert!(claimed.is_none_or(|length| length == octets.len()), "bit {bit}: {claimed:?}");
                assert!(claimed.is_some() || bit >= 10 * 8, "bit {bit} is in front of the lengths");
            }
        }
    }

    #[test]
    fn a_length_that_reaches_over_the_next_record_is_wrong() {
        for octets in records() {
            for next in records() {
                let mut damaged = [&octets[..], &next, &octets].concat();
                let length = u32::from_le_bytes(octets[10..14].try_into().unwrap()) + next.len() as u32;
                damaged[10..14].copy_from_slice(&length.to_le_bytes());
                assert_eq!(claimed_length(&damaged), None);
            }
        }
    }

    #[test]
    fn a_cut_record_does_not_contradict_itself_and_one_with_a_wrong_length_does() {
        for octets in records() {
            for end in 0..octets.len() {
                assert!(!contradicts_itself(&octets[..end]), "{end} of {octets:?}");
            }
            for bit in (10 * 8..18 * 8).filter(|bit| octets[bit / 8] & (1 << (bit % 8)) == 0) {
                let mut longer = octets.clone();
                longer[bit / 8] ^= 1 << (bit % 8);
                assert!(contradicts_itself(&longer), "bit {bit}");
            }
        }
    }
}
