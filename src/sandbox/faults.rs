//! Faults on demand: what the sandbox does wrong, set and cleared while it runs.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// Where a fault strikes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Point {
    /// In place of the greeting.
    Banner,
    /// In place of the reply to every EHLO.
    Ehlo,
    /// In place of the reply to an EHLO on a connection with TLS.
    SecuredEhlo,
    /// In place of the reply to STARTTLS.
    StartTls,
    /// Before the server's side of the TLS handshake.
    Handshake,
    /// In place of the first reply to AUTH, be it a challenge or the verdict. The exchange ends with it.
    Challenge,
    /// In place of the verdict on AUTH.
    Auth,
    /// In place of the reply to MAIL.
    Mail,
    /// In place of the reply to the RCPT of this address; every RCPT where it is `None`.
    Rcpt(Option<String>),
    /// In place of the reply to DATA.
    Data,
    /// After the first line of the content, in the middle of it. A reply is given ahead of the final dot, which gets
    /// none.
    Content,
    /// In place of the reply to the final dot. The message is kept all the same where the fault gives no reply, or one
    /// that says so.
    Dot,
    /// In place of the reply to RSET.
    Reset,
    /// In place of the reply to QUIT.
    Quit,
}

/// What happens there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This reply, given without its CRLF.
    Reply(String),
    /// This reply, and the connection is closed.
    ReplyAndDrop(String),
    /// These octets as they are, and nothing after them.
    Octets(Vec<u8>),
    /// These octets as they are, and the connection is closed.
    OctetsAndDrop(Vec<u8>),
    /// The connection is closed without a word.
    Drop,
    /// The connection is reset: what was not yet read is lost on both sides.
    Reset,
    /// The ordinary reply, after a while.
    Delay(Duration),
    /// Nothing, ever.
    Silence,
}

impl Fault {
    /// Whether a message is kept although this strikes in place of the reply to its final dot.
    pub(super) fn keeps_the_message(&self) -> bool {
        match self {
            Self::Reply(line) | Self::ReplyAndDrop(line) => line.starts_with('2'),
            _ => true,
        }
    }
}

impl Point {
    /// Whether a fault planned for `self` strikes at `here`.
    fn covers(&self, here: &Self) -> bool {
        match (self, here) {
            (Self::Rcpt(None), Self::Rcpt(_)) | (Self::Ehlo, Self::SecuredEhlo) => true,
            (planned, here) => planned == here,
        }
    }
}

#[derive(Debug)]
struct Planned {
    point: Point,
    fault: Fault,
    /// How often it still strikes; `None` is always.
    times: Option<usize>,
}

#[derive(Debug, Default)]
struct Plan {
    planned: Vec<Planned>,
    hide_starttls: bool,
    inject_after_starttls: bool,
    struck: usize,
}

/// The faults of one sandbox; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<Plan>>);

impl Faults {
    /// From now on, `fault` at `point`.
    pub fn always(&self, point: Point, fault: Fault) {
        self.add(point, fault, None);
    }

    /// The next time alone, `fault` at `point`.
    pub fn once(&self, point: Point, fault: Fault) {
        self.add(point, fault, Some(1));
    }

    /// EHLO does not name STARTTLS.
    pub fn hide_starttls(&self, hide: bool) {
        self.plan(|plan| plan.hide_starttls = hide);
    }

    /// The reply to STARTTLS comes with octets in the clear behind it, as an attacker would inject them.
    pub fn inject_after_starttls(&self, inject: bool) {
        self.plan(|plan| plan.inject_after_starttls = inject);
    }

    /// No more faults.
    pub fn clear(&self) {
        self.plan(|plan| *plan = Plan { struck: plan.struck, ..Plan::default() });
    }

    /// How many faults have struck so far, at their points.
    pub fn struck(&self) -> usize {
        self.plan(|plan| plan.struck)
    }

    pub(super) fn starttls_hidden(&self) -> bool {
        self.plan(|plan| plan.hide_starttls)
    }

    pub(super) fn injects(&self) -> bool {
        self.plan(|plan| plan.inject_after_starttls)
    }

    /// The fault that strikes here and now.
    pub(super) fn strike(&self, here: &Point) -> Option<Fault> {
        self.plan(|plan| {
            let at = plan.planned.iter().position(|planned| planned.point.covers(here))?;
            plan.struck += 1;
            let fault = plan.planned[at].fault.clone();
            if let Some(times) = &mut plan.planned[at].times {
                *times -= 1;
                if *times == 0 {
                    plan.planned.remove(at);
                }
            }
            Some(fault)
        })
    }

    fn add(&self, point: Point, fault: Fault, times: Option<usize>) {
        self.plan(|plan| plan.planned.push(Planned { point, fault, times }));
    }

    fn plan<T>(&self, change: impl FnOnce(&mut Plan) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
