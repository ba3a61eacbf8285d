//! What one node asks of the others, and their answers: texts, which somebody above understands.

use super::{Database, DatabaseError, News, news::CHANNEL};
use sqlx::Row as _;
use std::{collections::HashMap, time::Duration};
use tokio::{
    sync::broadcast::{Receiver, error::RecvError},
    time::{Instant, sleep, timeout},
};

/// An answer is looked for so often, should the news of it be lost.
const LOOK: Duration = Duration::from_millis(500);
/// A node that was silent for so long is not waited for; one that lives says something every five.
const SILENT: f64 = 12.0;
/// What was asked longer ago than this, nobody waits for any more.
const STALE: f64 = 60.0;

/// What another node said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// The node's name.
    pub node: String,
    /// `None` where it did not answer in time; it may have done what it was asked to all the same.
    pub answer: Option<String>,
}

/// What another node wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    id: i64,
    /// What it asks.
    pub text: String,
}

/// Removes questions when nobody waits for their answers any more, however that came.
struct Asked<'a> {
    database: &'a Database,
    ids: Vec<i64>,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let (database, ids) = (self.database.clone(), std::mem::take(&mut self.ids));
        tokio::spawn(async move {
            let statement = sqlx::query("DELETE FROM waxseal.question WHERE id = ANY ($1)").bind(ids);
            // What is left is swept away by whoever looks for questions.
            let _ = database.run(statement.execute(database.pool())).await;
        });
    }
}

impl Database {
    /// Asks every other node, and waits for what they say for `patience` at most; not for those that say nothing at all.
    ///
    /// # Errors
    /// As [`Database::run`]. What was asked may have been done all the same.
    pub async fn ask_others(&self, text: &str, patience: Duration) -> Result<Vec<Said>, DatabaseError> {
        let end = Instant::now() + patience;
        let mut news = self.news();
        let statement = sqlx::query(
            "WITH there AS (SELECT epoch, name FROM waxseal.node WHERE epoch <> $1 AND NOT is_out),
                  made AS (INSERT INTO waxseal.question (asker, asked, question)
                           SELECT $1, epoch, $2 FROM there RETURNING id, asked)
             SELECT made.id, there.name, pg_notify($3 || '_' || to_hex(there.epoch), 'asked')
             FROM made JOIN there ON there.epoch = made.asked ORDER BY there.name",
        );
        let statement = statement.bind(self.epoch()).bind(text).bind(CHANNEL);
        let asked: Vec<(i64, String)> = self
            .run(async {
                let rows = statement.fetch_all(self.pool()).await?;
                rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
            })
            .await?;
        if asked.is_empty() {
            return Ok(Vec::new());
        }
        let asked_for = Asked { database: self, ids: asked.iter().map(|(id, _)| *id).collect() };
        let mut answers = HashMap::new();
        loop {
            let is_all = self.collect(&asked_for.ids, &mut answers).await?;
            if is_all || Instant::now() >= end {
                break;
            }
            let _ = timeout(LOOK, hear(&mut news, |news| *news == News::Answered)).await;
        }
        let said = |(id, node)| Said { node, answer: answers.remove(&id) };
        Ok(asked.into_iter().map(said).collect())
    }

    /// Collects answers; whether nobody is to be waited for any more.
    async fn collect(&self, ids: &[i64], answers: &mut HashMap<i64, String>) -> Result<bool, DatabaseError> {
        let missing: Vec<i64> = ids.iter().filter(|id| !answers.contains_key(id)).copied().collect();
        let statement = sqlx::query_as::<_, (i64, Option<String>, bool)>(
            "SELECT id, answer, EXISTS (SELECT FROM waxseal.node WHERE epoch = asked AND NOT is_out
                                        AND seen > clock_timestamp() - make_interval(secs => $2))
             FROM waxseal.question WHERE id = ANY ($1)",
        );
        let statement = statement.bind(missing).bind(SILENT);
        let mut is_all = true;
        for (id, answer, is_there) in self.run(statement.fetch_all(self.pool())).await? {
            match answer {
                Some(answer) => drop(answers.insert(id, answer)),
                None => is_all &= !is_there,
            }
        }
        Ok(is_all)
    }

    /// Waits until there may be questions, for `at_most` where no news comes.
    pub async fn until_asked(&self, news: &mut Receiver<News>, at_most: Duration) {
        let _ = timeout(at_most, hear(news, |news| *news == News::Asked)).await;
    }

    /// The questions that this node has not looked at yet. Each is given out once.
    ///
    /// # Errors
    /// As [`Database::run`].
    pub async fn questions(&self) -> Result<Vec<Question>, DatabaseError> {
        let statement = sqlx::query_as(
            "WITH stale AS (DELETE FROM waxseal.question
                            WHERE at < clock_timestamp() - make_interval(secs => 2 * $2))
             UPDATE waxseal.question SET taken = true
             WHERE asked = $1 AND NOT taken AND at > clock_timestamp() - make_interval(secs => $2)
             RETURNING id, question",
        );
        let statement = statement.bind(self.epoch()).bind(STALE);
        let questions: Vec<(i64, String)> = self.run(statement.fetch_all(self.pool())).await?;
        Ok(questions.into_iter().map(|(id, text)| Question { id, text }).collect())
    }

    /// Answers a question.
    ///
    /// # Errors
    /// As [`Database::run`].
    pub async fn answer(&self, question: &Question, text: &str) -> Result<(), DatabaseError> {
        let statement = sqlx::query(
            "WITH told AS (UPDATE waxseal.question SET answer = $2 WHERE id = $1 RETURNING asker)
             SELECT pg_notify($3 || '_' || to_hex(asker), 'answered') FROM told",
        );
        let statement = statement.bind(question.id).bind(text).bind(CHANNEL);
        self.run(statement.execute(self.pool())).await.map(drop)
    }
}

/// Waits for such news, or for the news that some may have been missed.
async fn hear(news: &mut Receiver<News>, is_wanted: impl Fn(&News) -> bool) {
    loop {
        match news.recv().await {
            Ok(heard) if heard == News::Missed || is_wanted(&heard) => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => sleep(Duration::MAX).await,
        }
    }
}
