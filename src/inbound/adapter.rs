//! samotop's session behind ours: its context and typed store, and its dispatch of parsers and actions with a queue of
//! replies. No other file names samotop.

use super::{
    Gate, Peer,
    conversation::{Conversation, Next},
};
use crate::{
    mail::Reply,
    smtp::{Command, command},
};
use samotop_core::{
    common::S1Fut,
    smtp::{Action, DriverControl, Interpret, Interpretter, ParseResult, Parser, SmtpContext, SmtpSession},
};
use std::{future::ready, marker::PhantomData, sync::Arc};

/// A line as understood, or what to answer in its place.
#[derive(Debug)]
struct Heard(Result<Command, Reply>);

/// Our grammar as a samotop parser. The driver hands over one line at a time, so all input is used up.
#[derive(Debug)]
struct Grammar;

impl Parser<Heard> for Grammar {
    fn parse(&self, input: &[u8], _state: &SmtpContext) -> ParseResult<Heard> {
        Ok((input.len(), Heard(command::parse(input))))
    }
}

/// Our conversation as a samotop action.
struct Answer<G>(PhantomData<fn() -> G>);

impl<G> std::fmt::Debug for Answer<G> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Answer")
    }
}

impl<G: Gate> Action<Heard> for Answer<G> {
    fn apply<'a, 's, 'f>(&'a self, heard: Heard, state: &'s mut SmtpContext) -> S1Fut<'f, ()>
    where
        'a: 'f,
        's: 'f,
    {
        if let Some(conversation) = state.get_mut::<Conversation<G>>() {
            let (reply, next) = conversation.answer(heard.0);
            if let Some(reply) = reply {
                say(&mut state.session, &reply);
            }
            match next {
                // The driver finds a chunk in the store.
                Next::Command | Next::Verify | Next::Chunk(_) => {}
                Next::Data => state.session.mode = Some(SmtpSession::DATA_MODE),
                Next::StartTls => state.session.say(DriverControl::StartTls),
                Next::Close | Next::Abandon => state.session.say(DriverControl::Shutdown),
            }
            state.set(next);
        }
        Box::pin(ready(()))
    }
}

fn say(session: &mut SmtpSession, reply: &Reply) {
    let mut octets = Vec::with_capacity(64);
    reply.write_to(&mut octets);
    session.say(DriverControl::Response(octets));
}

/// One session's half of samotop.
pub(super) struct Talk<G> {
    context: SmtpContext,
    dispatch: Interpretter,
    gate: PhantomData<fn() -> G>,
}

impl<G: Gate> Talk<G> {
    /// `cipher` is TLS version and cipher, where the connection is under TLS.
    pub(super) fn new(gate: Arc<G>, peer: Peer, cipher: Option<Arc<str>>) -> Self {
        let mut context = SmtpContext::default();
        context.set(Conversation::new(gate, peer, cipher));
        let dispatch =
            Interpretter::default().parse::<Heard>().with(Grammar).and_apply(Answer::<G>(PhantomData));
        Self { context, dispatch, gate: PhantomData }
    }

    /// Answers a line without its end; replies are appended to `out`.
    pub(super) async fn hear(&mut self, line: &[u8], out: &mut Vec<u8>) -> Next {
        // Half of a login is no command, and is kept out of samotop's buffers.
        if let Some(conversation) = self.conversation().filter(|c| c.awaits_response()) {
            let (reply, next) = conversation.respond(line);
            reply.iter().for_each(|reply| reply.write_to(out));
            return next;
        }
        self.context.session.input = line.to_vec();
        // Our parser takes every input: there is nothing here that could fail.
        let _ = self.dispatch.interpret(&mut self.context).await;
        // A session is idle for most of its time, and holds no octets then.
        self.context.session.input = Vec::new();
        self.drain(out)
    }

    /// Answers what never became a line.
    pub(super) fn complain(&mut self, complaint: Reply, out: &mut Vec<u8>) -> Next {
        let Some(conversation) = self.conversation() else { return Next::Abandon };
        conversation.forget_login();
        let (reply, next) = conversation.answer(Err(complaint));
        reply.iter().for_each(|reply| reply.write_to(out));
        next
    }

    /// Our own state, in samotop's typed store.
    pub(super) fn conversation(&mut self) -> Option<&mut Conversation<G>> {
        self.context.get_mut()
    }

    fn drain(&mut self, out: &mut Vec<u8>) -> Next {
        let mut next = Next::Command;
        for control in self.context.session.output.drain(..) {
            match control {
                DriverControl::Response(octets) => out.extend_from_slice(&octets),
                DriverControl::Shutdown => next = Next::Close,
                DriverControl::StartTls => next = Next::StartTls,
            }
        }
        if self.context.session.mode.take().is_some() {
            next = Next::Data;
        }
        // samotop has no words for these.
        match (next, self.context.get()) {
            (Next::Close, Some(Next::Abandon)) => Next::Abandon,
            (Next::Command, Some(Next::Verify)) => Next::Verify,
            (Next::Command, Some(Next::Chunk(chunk))) => Next::Chunk(*chunk),
            _ => next,
        }
    }
}
