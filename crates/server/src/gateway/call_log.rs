//! What is kept of a call: a log line, metrics, and the audit line.

use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use ourkv_domain::audit::AuditLine;
use ourkv_domain::ids::InstanceId;
use ourkv_store::Store;

/// How a call ended, for the log.
pub(super) enum Outcome {
    /// Answered, with success or a documented refusal.
    Answered,
    /// Our own failure, with its chain.
    Failed(Box<dyn std::error::Error + Send + Sync>),
}

/// Everything that is kept of one call, gathered while it runs.
pub(super) struct CallLog {
    /// The audit line so far.
    pub(super) line: AuditLine,
    /// The action, once it is known to exist: the label of metrics, so it must not be free text.
    pub(super) action: Option<&'static str>,
    /// The instance that it is about or that it made; free text never gets here.
    pub(super) instance: Option<InstanceId>,
    /// Whether the audit line was part of the action's own transaction.
    pub(super) audited: bool,
    /// How it ended.
    pub(super) outcome: Outcome,
}

impl CallLog {
    /// The log of a call that just came in.
    pub(super) fn new(request_id: &str, peer: SocketAddr) -> Self {
        Self {
            line: AuditLine {
                request_id: request_id.to_owned(),
                at: Timestamp::UNIX_EPOCH,
                action: String::new(),
                account: None,
                access_key: None,
                source: peer.to_string(),
                parameters: String::new(),
                status: 0,
                code: None,
            },
            action: None,
            instance: None,
            audited: false,
            outcome: Outcome::Answered,
        }
    }

    /// Writes it all down. Calls without a known caller are logged and not audited: a stranger
    /// must not be able to fill the store.
    pub(super) fn finish(mut self, store: &Store, status: u16, took: Duration) {
        self.line.status = status;
        self.measure(took);
        self.trace(took);
        if !self.audited && self.line.account.is_some() {
            let line = self.line;
            store.write_later(move |tx| tx.append_audit(&line));
        }
    }

    fn measure(&self, took: Duration) {
        let action = self.action.unwrap_or("none");
        let code = self.line.code.clone().unwrap_or_else(|| "OK".into());
        metrics::counter!("ourkv_calls_total", "action" => action, "code" => code).increment(1);
        metrics::histogram!("ourkv_call_seconds", "action" => action).record(took.as_secs_f64());
    }

    fn trace(&self, took: Duration) {
        let line = &self.line;
        let (action, code) = (self.action.unwrap_or("none"), line.code.as_deref().unwrap_or("OK"));
        let duration_ms = took.as_secs_f64() * 1e3;
        let instance = self.instance.as_ref().map(tracing::field::display);
        match &self.outcome {
            Outcome::Answered => tracing::info!(
                request.id = %line.request_id, action.name = action, instance.id = instance, code,
                status = line.status,
                source = %line.source, duration_ms, "call answered"
            ),
            Outcome::Failed(error) => tracing::error!(
                request.id = %line.request_id, action.name = action, instance.id = instance, code,
                status = line.status,
                source = %line.source, duration_ms, error = %chain(&**error), "call failed"
            ),
        }
    }
}

/// An error and its sources in one line.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}
