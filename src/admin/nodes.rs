//! The nodes that share a store, as this one sees them.

use super::{
    protocol::{NodeView, StoreView},
    service::Service,
};
use crate::{
    database::{Database, Node, Standing},
    mail::Timestamp,
};
use std::time::Duration;
use tokio::time::timeout;

/// How long an operator waits for a database that does not answer.
const PATIENCE: Duration = Duration::from_secs(2);

impl Service {
    /// Whether the database that the nodes share serves; none where this host's disk is the store.
    pub fn store_standing(&self) -> Option<Standing> {
        self.database.as_ref().map(Database::standing)
    }

    /// How the shared store stands; none where this host's disk is the store.
    pub(super) async fn store(&self) -> Option<StoreView> {
        let database = self.database.as_ref()?;
        let nodes = timeout(PATIENCE, database.nodes()).await;
        let standing = database.standing();
        let (nodes, late) = match nodes {
            Ok(nodes) => (nodes.unwrap_or_default(), None),
            Err(_) => (Vec::new(), Some("the database of [store] does not answer".to_owned())),
        };
        Some(StoreView {
            node: database.node().to_owned(),
            trouble: standing.trouble.or(late),
            since: standing.since.map(|since| Timestamp::new(since).to_string()),
            uncopied: self.queue.uncopied().unwrap_or(0),
            nodes: nodes.into_iter().map(node_view).collect(),
        })
    }
}

fn node_view(node: Node) -> NodeView {
    NodeView {
        there: node.is_there(),
        started_at: Timestamp::new(node.started).to_string(),
        silent_seconds: node.silent.as_secs(),
        messages: node.messages,
        name: node.name,
        version: node.program,
    }
}
