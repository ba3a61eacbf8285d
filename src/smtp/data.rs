//! The content between DATA and the end of data (RFC 5321 §4.1.1.4, §4.5.2), as an octet automaton.
//!
//! The end of data is CRLF.CRLF and nothing else, or a dot in a line of its own from a client whose first line ends
//! with a bare LF: the caller then takes that message and closes the connection, so that nothing can be smuggled
//! behind it. What comes out is canonical: every bare CR or LF has become CRLF.

/// Where in a line the automaton is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// At the start of a line, where a dot is special.
    LineStart,
    /// Anywhere else.
    Text,
    /// Behind a CR that is not written yet.
    Cr,
    /// Behind two. Some Windows software ends its lines with CR CR LF: one line end, not two.
    CrCr,
    /// Behind a dot at the start of a line, not written.
    Dot,
    /// Behind such a dot and a CR.
    DotCr,
    /// Behind the end of data.
    End,
}

/// How the client ends its lines, told by its first one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LineEnds {
    Unknown,
    CrLf,
    BareLf,
}

/// What [`DataDecoder::decode`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Octets of the input used up.
    pub consumed: usize,
    /// The end of data was reached; the rest of the input is commands.
    pub done: bool,
}

/// Undoes dot stuffing, finds the end of data, makes line ends canonical. Takes its input in any pieces.
#[derive(Debug)]
pub struct DataDecoder {
    state: State,
    line_ends: LineEnds,
}

impl Default for DataDecoder {
    fn default() -> Self {
        Self { state: State::LineStart, line_ends: LineEnds::Unknown }
    }
}

impl DataDecoder {
    /// Decodes as much of `input` as is content and appends it to `out`, which grows by at most twice the input
    /// and four octets.
    pub fn decode(&mut self, input: &[u8], out: &mut Vec<u8>) -> Progress {
        let mut at = 0;
        while at < input.len() && self.state != State::End {
            at = match self.state {
                State::Text => self.text(input, at, out),
                State::LineStart if input[at] == b'.' => {
                    self.state = State::Dot;
                    at + 1
                }
                State::LineStart => self.text(input, at, out),
                _ => self.held(input[at], at, out),
            };
        }
        Progress { consumed: at, done: self.state == State::End }
    }

    /// Whether the client ends its lines with bare LF: its connection is to be closed behind this message.
    pub fn bare_lf_client(&self) -> bool {
        self.line_ends == LineEnds::BareLf
    }

    /// Copies whole lines at once, up to something that is not simply content; gives the place behind it.
    fn text(&mut self, input: &[u8], start: usize, out: &mut Vec<u8>) -> usize {
        let mut search = start;
        while let Some(found) = memchr::memchr2(b'\r', b'\n', &input[search..]) {
            let at = search + found;
            if input[at] == b'\n' {
                out.extend_from_slice(&input[start..at]);
                self.bare_lf(out);
                return at + 1;
            }
            if input.get(at + 1) != Some(&b'\n') {
                out.extend_from_slice(&input[start..at]);
                self.state = State::Cr;
                return at + 1;
            }
            self.crlf();
            search = at + 2;
            if matches!(input.get(search), None | Some(b'.')) {
                out.extend_from_slice(&input[start..search]);
                self.state = State::LineStart;
                return search;
            }
        }
        out.extend_from_slice(&input[start..]);
        self.state = State::Text;
        input.len()
    }

    /// Decides about octets held back, by the one that follows them; gives the place to go on from.
    fn held(&mut self, octet: u8, at: usize, out: &mut Vec<u8>) -> usize {
        match (self.state, octet) {
            (State::Cr, b'\n') => {
                self.crlf();
                out.extend_from_slice(b"\r\n");
                self.state = State::LineStart;
            }
            (State::CrCr, b'\n') => {
                self.crlf();
                out.extend_from_slice(b"\r\n");
                self.state = State::LineStart;
            }
            (State::Cr, b'\r') => self.state = State::CrCr,
            (State::CrCr, b'\r') => self.bare_cr(out),
            (State::Cr, _) => {
                self.bare_cr(out);
                self.state = State::Text;
                return at;
            }
            (State::CrCr, _) => {
                self.bare_cr(out);
                self.bare_cr(out);
                self.state = State::Text;
                return at;
            }
            (State::Dot, b'\r') => self.state = State::DotCr,
            (State::Dot, b'\n') if self.line_ends != LineEnds::CrLf => {
                self.line_ends = LineEnds::BareLf;
                self.state = State::End;
            }
            (State::DotCr, b'\n') => self.state = State::End,
            (State::DotCr, _) => {
                self.state = State::Cr;
                return at;
            }
            // The dot was stuffing, or stands where a client should have stuffed it: either way it goes
            // (RFC 5321 §4.5.2). What follows it is content even where that is a dot again.
            _ => {
                self.state = State::Text;
                return at;
            }
        }
        at + 1
    }

    fn crlf(&mut self) {
        if self.line_ends == LineEnds::Unknown {
            self.line_ends = LineEnds::CrLf;
        }
    }

    /// A CR that ended no line. It never makes a following dot special: the client did not stuff that one.
    fn bare_cr(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
    }

    /// An LF without CR. A dot behind it is special only to a client that ends all its lines so.
    fn bare_lf(&mut self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"\r\n");
        if self.line_ends == LineEnds::Unknown {
            self.line_ends = LineEnds::BareLf;
        }
        self.state = if self.line_ends == LineEnds::BareLf { State::LineStart } else { State::Text };
    }
}

#[cfg(test)]
#[path = "data_tests.rs"]
mod tests;
