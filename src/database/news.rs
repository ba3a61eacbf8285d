//! What nodes tell each other by NOTIFY. Nothing depends on its arriving: what was missed is found by looking.

use super::Database;
use sqlx::postgres::{PgListener, PgPoolOptions};
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

/// Where all nodes listen. A payload is `EPOCH WHAT NAME`.
pub const CHANNEL: &str = "waxseal";
/// A listener that has not heard this node's own sign of life for so long has a dead connection.
const SILENCE: Duration = Duration::from_secs(20);
/// Between two attempts to listen.
const AGAIN: Duration = Duration::from_secs(1);

/// What another node has told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The tokens of this account are other ones now.
    Tokens(String),
    /// Something may have been missed: look at everything.
    Missed,
    /// Another node has asked something of this one.
    Asked,
    /// Another node has answered.
    Answered,
}

/// What [`CHANNEL`] is notified with where the tokens of an account are other ones now.
pub fn tokens_payload(account: &str, from: &Database) -> String {
    format!("{} tokens {account}", from.epoch())
}

/// Where only this run of this node listens. A payload is a word.
pub(super) fn own_channel(database: &Database) -> String {
    format!("{CHANNEL}_{:x}", database.epoch().cast_unsigned())
}

/// Reads a payload; `None` for this node's own, and for what a later program tells.
fn read(payload: &str, epoch: i64) -> Option<News> {
    let mut words = payload.splitn(3, ' ');
    let from: i64 = words.next()?.parse().ok()?;
    match (words.next()?, words.next()?) {
        _ if from == epoch => None,
        ("tokens", account) => Some(News::Tokens(account.to_owned())),
        _ => None,
    }
}

/// Listens until `stop`, on a connection of its own.
pub(super) async fn listen(database: &Database, stop: &CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            // Whether the database answers is told elsewhere.
            _ = hear(database) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(AGAIN) => {}
        }
    }
}

/// Listens for as long as the connection lives; gives back why it ended.
async fn hear(database: &Database) -> sqlx::Error {
    let heard = async {
        let pool = PgPoolOptions::new().max_connections(1).connect_with(database.0.options.clone()).await?;
        let mut listener = PgListener::connect_with(&pool).await?;
        // The pool is for this one connection; its end is noticed by the silence.
        listener.ignore_pool_close_event(true);
        let own = own_channel(database);
        listener.listen_all([CHANNEL, own.as_str()]).await?;
        tell(database, News::Missed);
        loop {
            let Ok(told) = timeout(SILENCE, listener.try_recv()).await else {
                return Err(sqlx::Error::PoolTimedOut);
            };
            match told? {
                Some(told) if told.channel() == CHANNEL => {
                    if let Some(news) = read(told.payload(), database.epoch()) {
                        tell(database, news);
                    }
                }
                Some(told) => match told.payload() {
                    "asked" => tell(database, News::Asked),
                    "answered" => tell(database, News::Answered),
                    // Its own sign of life.
                    _ => {}
                },
                // It has connected anew, and whatever was told meanwhile is lost.
                None => tell(database, News::Missed),
            }
        }
    };
    let ended: Result<std::convert::Infallible, sqlx::Error> = heard.await;
    match ended {
        Err(error) => error,
        Ok(never) => match never {},
    }
}

fn tell(database: &Database, news: News) {
    // Nobody may be listening.
    let _ = database.0.news.send(news);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_hears_the_others_and_not_itself() {
        assert_eq!(read("-7 tokens support", 1), Some(News::Tokens("support".into())));
        assert_eq!(read("-7 tokens support", -7), None);
        for unknown in ["", "x", "-7", "-7 tokens", "-7 weather fine", "support tokens 7"] {
            assert_eq!(read(unknown, 1), None, "{unknown}");
        }
    }
}
