//! The overview: what goes through, what waits, what an operator should know.

use super::{
    entrance::Visitor,
    frame::{Frame, go, problem, show},
    plot::{Series, plot},
};
use crate::{
    admin::{
        http::Web,
        protocol::{RateView, Request, StatusView},
    },
    meter::{Minute, unix_millis},
};
use askama::Template;
use axum::{
    extract::{Extension, State},
    http::StatusCode,
    response::Response,
};

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    status: StatusView,
    /// Why no mail can be taken, where that is so.
    unready: Vec<String>,
    plots: Vec<Figure>,
}

impl Overview {
    /// What went through of late, in the order of a message's life.
    fn rates(&self) -> impl Iterator<Item = (&'static str, RateView)> {
        let words = ["received", "delivered", "deferred", "failed", "rejected"];
        words.into_iter().map(|word| (word, self.status.rates.get(word).copied().unwrap_or_default()))
    }

    /// The queue's states, in the same order.
    fn states(&self) -> impl Iterator<Item = (&'static str, usize)> {
        let words = ["queued", "active", "deferred", "held", "failed"];
        words.into_iter().map(|word| (word, self.status.queue.get(word).copied().unwrap_or_default()))
    }
}

/// A plot with its title and what its lines are: look and name.
struct Figure {
    title: &'static str,
    lines: Vec<(&'static str, &'static str)>,
    svg: String,
}

impl Figure {
    fn new(title: &'static str, unit: &str, series: &[Series]) -> Self {
        let lines = series.iter().map(|line| (line.look, line.name)).collect();
        Self { title, lines, svg: plot(title, unit, 24, series) }
    }
}

/// Minutes that a point of a plot stands for.
const STEP: usize = 10;

fn per_minute(some: &[Minute], of: fn(&Minute) -> u32) -> Option<f64> {
    Some(f64::from(some.iter().map(of).sum::<u32>()) / some.len() as f64)
}

/// Rate, delay and depth of the last day.
fn figures(minutes: &[Option<Minute>]) -> Vec<Figure> {
    let points = |of: fn(&[Minute]) -> Option<f64>| -> Vec<Option<f64>> {
        let known = minutes.chunks(STEP).map(|some| some.iter().flatten().copied().collect::<Vec<_>>());
        known.map(|some| if some.is_empty() { None } else { of(&some) }).collect()
    };
    let rate = [
        Series { name: "received", look: "a", points: points(|some| per_minute(some, |m| m.received)) },
        Series { name: "delivered", look: "b", points: points(|some| per_minute(some, |m| m.delivered)) },
        Series { name: "failed", look: "c", points: points(|some| per_minute(some, |m| m.failed)) },
    ];
    let delay = [
        Series {
            name: "mean",
            look: "a",
            points: points(|some| {
                let count: u32 = some.iter().map(|m| m.delivered).sum();
                let sum: u64 = some.iter().map(|m| m.delays).sum();
                (count > 0).then(|| sum as f64 / 1000.0 / f64::from(count))
            }),
        },
        Series {
            name: "longest",
            look: "c",
            points: points(|some| {
                let delivered = some.iter().filter(|m| m.delivered > 0);
                delivered.map(|m| f64::from(m.longest) / 1000.0).reduce(f64::max)
            }),
        },
    ];
    let depth = [Series {
        name: "waiting",
        look: "a",
        points: points(|some| some.iter().map(|m| f64::from(m.depth)).reduce(f64::max)),
    }];
    vec![
        Figure::new("Messages a minute", "", &rate),
        Figure::new("Seconds from receipt to delivery", " s", &delay),
        Figure::new("Messages in the queue", "", &depth),
    ]
}

pub(super) async fn page(State(web): State<Web>, Extension(visitor): Extension<Visitor>) -> Response {
    match web.service.ask::<StatusView>(Request::Status).await {
        Ok(status) => {
            let frame = Frame::of(&web, &visitor, "/", "Overview");
            let minutes = web.service.queue.meter().with_day(|day| day.minutes(unix_millis()));
            let page = Overview { frame, status, unready: (web.health)(), plots: figures(&minutes) };
            show(StatusCode::OK, &page)
        }
        Err(why) => problem(&web, &visitor, "/", StatusCode::INTERNAL_SERVER_ERROR, why),
    }
}

/// Re-reads the configuration.
pub(super) async fn reload(State(web): State<Web>, Extension(visitor): Extension<Visitor>) -> Response {
    go(&web, &visitor, "/", web.service.reload().await.map_err(|refusal| refusal.text))
}
