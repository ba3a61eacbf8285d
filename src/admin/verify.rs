//! Whether the queue is sound.

use super::{
    protocol::{Answer, FindingView, VerifyView},
    service::{FAILED, Service, TEMPORARY, done, failed},
};
use crate::queue::{
    InspectError,
    verify::{Finding, Report},
};

impl Service {
    pub(super) async fn verify(&self) -> Answer {
        let queue = self.queue.clone();
        match tokio::task::spawn_blocking(move || queue.verify()).await {
            Ok(Ok(report)) => done(verify_view(&report)),
            Ok(Err(error @ InspectError::Changed)) => failed(TEMPORARY, error.to_string()),
            Ok(Err(error)) => failed(FAILED, error.to_string()),
            Err(error) => failed(FAILED, error.to_string()),
        }
    }
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
