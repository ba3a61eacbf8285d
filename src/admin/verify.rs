//! Whether the queue is sound, and how far the look at it has come.

use super::{
    protocol::{Answer, FindingView, ProgressView, VerifyView},
    service::{FAILED, Service, TEMPORARY, done, failed, progress},
};
use crate::queue::{
    InspectError, Progress,
    verify::{Finding, Report},
};
use tokio::sync::mpsc;

impl Service {
    pub(super) async fn verify(&self, told: &mpsc::Sender<Answer>) -> Answer {
        let (queue, told) = (self.queue.clone(), told.clone());
        // Who is slow to read hears less often, and holds nothing up.
        let mut tell = move |come: Progress| drop(come_so_far(come).map(|answer| told.try_send(answer)));
        match tokio::task::spawn_blocking(move || queue.verify(&mut tell)).await {
            Ok(Ok(report)) => done(verify_view(&report)),
            Ok(Err(error @ InspectError::Changed)) => failed(TEMPORARY, error.to_string()),
            Ok(Err(error)) => failed(FAILED, error.to_string()),
            Err(error) => failed(FAILED, error.to_string()),
        }
    }
}

/// How far it has come, as an answer before the last one.
pub(super) fn come_so_far(come: Progress) -> Result<Answer, Answer> {
    progress(ProgressView { done: come.done, of: come.of })
}

pub(super) fn verify_view(report: &Report) -> VerifyView {
    let totals = &report.totals;
    VerifyView {
        sound: report.is_sound(),
        damaged: totals.damaged,
        messages: totals.messages,
        segments: totals.segments,
        journal_octets: totals.journal_octets,
        receipts: totals.receipts,
        statuses: totals.statuses,
        departures: totals.departures,
        content_files: totals.content_files,
        content_octets: totals.content_octets,
        checksums: totals.checksums,
        leftovers: totals.leftovers,
        torn_octets: totals.torn_octets,
        findings: report.findings.iter().map(finding_view).collect(),
    }
}

fn finding_view(finding: &Finding) -> FindingView {
    FindingView {
        file: finding.file.clone(),
        offset: finding.offset,
        id: finding.queue_id.map(|id| id.to_string()),
        problem: finding.problem.word().to_owned(),
        meaning: finding.problem.to_string(),
    }
}
