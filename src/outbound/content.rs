//! The content of a transaction, from the 354 up to the final dot (RFC 5321 §4.1.1.4).

use super::{
    AttemptContent, DotStuffer, Growing, Stage,
    failure::{Cause, Failure},
    wire::Wire,
};
use crate::{
    failpoint::{self, Point},
    mail::{ContentSource, SenderRewriter},
};
use std::path::Path;
use tokio::{fs::File, io::AsyncReadExt};

/// Octets of content that are encoded and written at once.
const BLOCK: usize = 64 * 1024;

/// Sends the octets, through `rewriter` where there is one; the final dot leaves in the last write, at
/// [`Stage::InDoubt`], and so does what `behind` adds.
pub(super) async fn send(
    wire: &mut Wire,
    content: &AttemptContent,
    rewriter: Option<SenderRewriter>,
    behind: impl FnOnce(&mut Wire),
) -> Result<(), Failure> {
    wire.in_step(Stage::Content)?;
    let rewriter = rewriter.map(|rewriter| (rewriter, Vec::new()));
    let mut sending = Sending { wire, stuffer: DotStuffer::default(), rewriter, sent: false };
    match content {
        AttemptContent::Whole(ContentSource::Memory(content)) => {
            for block in content.octets().chunks(BLOCK) {
                sending.push(block).await?;
            }
        }
        AttemptContent::Whole(ContentSource::File { path, octets }) => {
            sending.file(path, Extent::Whole(*octets)).await?;
        }
        AttemptContent::Growing(growing) => {
            sending.file(growing.path(), Extent::Growing(growing.clone())).await?;
        }
    }
    sending.finish(behind).await
}

/// How far a file goes.
enum Extent {
    Whole(u64),
    Growing(Growing),
}

impl Extent {
    /// How many octets there are, more than `octets` or all of them, and whether they are all.
    async fn past(&mut self, octets: u64) -> Result<(u64, bool), Failure> {
        match self {
            Self::Whole(all) => Ok((*all, true)),
            Self::Growing(growing) => growing.past(octets).await.map_err(failed),
        }
    }
}

fn failed(why: impl ToString) -> Failure {
    Failure::new(Stage::Content, Cause::Content(why.to_string()))
}

struct Sending<'a> {
    wire: &'a mut Wire,
    stuffer: DotStuffer,
    /// With what it has made of the last block.
    rewriter: Option<(SenderRewriter, Vec<u8>)>,
    /// Something has left already.
    sent: bool,
}

impl Sending<'_> {
    /// Encodes a block behind what has been written out before it; the last one waits for the final dot.
    async fn push(&mut self, block: &[u8]) -> Result<(), Failure> {
        if !self.wire.out().is_empty() {
            self.wire.flush(Stage::Content).await?;
            self.sent = true;
            failpoint::reach(Point::ContentUnderWay);
        }
        match &mut self.rewriter {
            Some((rewriter, rewritten)) => {
                rewritten.clear();
                rewriter.push(block, rewritten);
                self.stuffer.encode(rewritten, self.wire.out());
            }
            None => self.stuffer.encode(block, self.wire.out()),
        }
        Ok(())
    }

    async fn file(&mut self, path: &Path, mut extent: Extent) -> Result<(), Failure> {
        let mut file = File::open(path).await.map_err(failed)?;
        let mut block = Vec::with_capacity(BLOCK);
        let mut at = 0;
        loop {
            let (end, whole) = extent.past(at).await?;
            while at < end {
                block.clear();
                let read = (&mut file).take((end - at).min(BLOCK as u64)).read_to_end(&mut block).await;
                if read.map_err(failed)? == 0 {
                    return Err(failed("the file is shorter than it was"));
                }
                at += block.len() as u64;
                self.push(&block).await?;
            }
            if whole {
                return Ok(());
            }
        }
    }

    async fn finish(self, behind: impl FnOnce(&mut Wire)) -> Result<(), Failure> {
        let Self { wire, mut stuffer, rewriter, sent } = self;
        // A verdict on a message that it does not have in full is none, and after the dot it would pass for one.
        if sent && wire.has_spoken().await {
            return Err(Failure::new(Stage::Content, Cause::Nonsense));
        }
        if let Some((mut rewriter, mut rewritten)) = rewriter {
            rewritten.clear();
            rewriter.finish(&mut rewritten);
            stuffer.encode(&rewritten, wire.out());
        }
        stuffer.finish(wire.out());
        behind(wire);
        wire.flush(Stage::InDoubt).await?;
        failpoint::reach(Point::DotSent);
        Ok(())
    }
}
