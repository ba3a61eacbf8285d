//! How octets come off a socket.

/// Two sizes, which pieces have in turn.
#[derive(Debug, Clone, Copy)]
pub struct Pieces([usize; 2]);

impl Pieces {
    /// All at once.
    pub const WHOLE: Self = Self([usize::MAX; 2]);

    /// Takes the sizes from the first octet of an input, 1 to 15 octets or all that there is; and gives what follows.
    pub fn first(input: &[u8]) -> Option<(Self, &[u8])> {
        let (first, rest) = input.split_first()?;
        let size = |nibble: u8| if nibble == 0 { usize::MAX } else { usize::from(nibble) };
        Some((Self([size(first >> 4), size(first & 15)]), rest))
    }

    /// These octets, piece by piece.
    pub fn of(self, octets: &[u8]) -> impl Iterator<Item = &[u8]> {
        let mut rest = octets;
        self.0.into_iter().cycle().map_while(move |size| {
            let (piece, behind) = rest.split_at(size.min(rest.len()));
            rest = behind;
            (!piece.is_empty()).then_some(piece)
        })
    }
}
