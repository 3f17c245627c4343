//! One call: from the bytes of a request to the bytes of its answer.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::http::request::Parts;
use axum::http::{Request, Response, StatusCode, header};
use futures::FutureExt;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use jiff::Timestamp;
use ourkv_control::failpoint;
use ourkv_domain::audit::{AuditLine, masked};
use ourkv_domain::ids::InstanceId;
use ourkv_wire::{Call, Fault, Format, RawRequest, common};
use serde_json::Value;

use super::Gateway;
use super::call_log::{CallLog, Outcome};
use crate::actions::{self, Caller, Ctx, Failure};

/// What is answered to a call, before it is rendered.
struct Answer {
    format: Format,
    action: String,
    result: Result<Value, Fault>,
}

/// Answers one request, whatever it is.
pub(super) async fn answer(
    State(gateway): State<Gateway>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request<Body>,
) -> Response<Body> {
    let began = Instant::now();
    let id = gateway.request_id();
    let (parts, body) = request.into_parts();
    let host = host(&parts);
    let mut log = CallLog::new(&id, peer);
    let answer = gateway.take(&parts, body, &mut log).await;
    let (status, text) = match answer.result {
        Ok(mut value) => {
            log.made(&value);
            if let Some(fields) = value.as_object_mut() {
                fields.insert("RequestId".into(), id.clone().into());
            }
            (200, ourkv_wire::render(answer.format, &answer.action, &value))
        }
        Err(fault) => {
            let status = fault.status;
            (status, ourkv_wire::render_error(answer.format, &fault.envelope(&id, &host)))
        }
    };
    log.finish(&gateway.0.platform.store, status, began.elapsed());
    respond(status, answer.format, &id, text)
}

impl Gateway {
    /// An upper-case UUID.
    pub(super) fn request_id(&self) -> String {
        let uuid = uuid::Builder::from_random_bytes(self.0.platform.mint.uuid_bytes()).into_uuid();
        uuid.as_hyphenated().encode_upper(&mut uuid::Uuid::encode_buffer()).to_owned()
    }

    async fn take(&self, parts: &Parts, body: Body, log: &mut CallLog) -> Answer {
        let now = self.0.platform.clock.now();
        log.line.at = now;
        let (format, action, result) = match self.read(parts, body).await {
            Ok(call) => {
                log.called(&call);
                let (format, action) = (call.format, call.action.clone());
                (format, action, self.dispatch(call, now, log).await)
            }
            Err((fault, format)) => (format, String::new(), Err(fault.into())),
        };
        let result = result.map_err(|failure| log.failed(failure));
        Answer { format, action, result }
    }

    /// Reads the body within its limits and parses the request.
    async fn read(&self, parts: &Parts, body: Body) -> Result<Call, (Fault, Format)> {
        let settings = &self.0.settings;
        let headers: Vec<_> = parts
            .headers
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        let mut raw = RawRequest {
            method: parts.method.as_str(),
            path: parts.uri.path(),
            query: parts.uri.query().unwrap_or_default(),
            headers: &headers,
            body: &[],
        };
        let collect = Limited::new(body, settings.limits.body_bytes).collect();
        let body = match tokio::time::timeout(settings.body_timeout, collect).await {
            Ok(Ok(body)) => body.to_bytes(),
            failed => {
                let fault = match failed {
                    Ok(Err(error)) if error.is::<LengthLimitError>() => {
                        common::body_too_large(settings.limits.body_bytes)
                    }
                    _ => common::body_incomplete(),
                };
                return Err((fault, ourkv_wire::refusal_format(&raw)));
            }
        };
        raw.body = &body;
        ourkv_wire::parse(&raw, &settings.limits)
            .map_err(|rejected| (rejected.fault, rejected.format))
    }

    /// Authenticates the call, finds its action and runs it.
    async fn dispatch(
        &self,
        call: Call,
        now: Timestamp,
        log: &mut CallLog,
    ) -> Result<Value, Failure> {
        let caller = self.authenticate(&call, now).await?;
        log.line.account = Some(caller.account.clone());
        if call.version != "2015-01-01" {
            return Err(common::invalid_version().into());
        }
        let action = actions::find(&call.action).ok_or_else(common::unknown_action)?;
        log.action = Some(action.descriptor().name);
        let ctx = self.context(caller, now, &log.line);
        let run = AssertUnwindSafe(async {
            failpoint::pass(super::FAILPOINTS[0]).await.map_err(Failure::internal)?;
            let value = action.call(&ctx, &call.params).await?;
            failpoint::pass(super::FAILPOINTS[1]).await.map_err(Failure::internal)?;
            Ok(value)
        });
        let result = run.catch_unwind().await.unwrap_or_else(|panic| {
            Err(Failure::internal(format!("the action panicked: {}", text_of(&*panic))))
        });
        log.audited = ctx.is_audited();
        result
    }

    fn context(&self, caller: Caller, now: Timestamp, line: &AuditLine) -> Ctx {
        Ctx::new(self.0.platform.clone(), caller, now, AuditLine { status: 200, ..line.clone() })
    }
}

impl CallLog {
    /// Notes who says they call what.
    fn called(&mut self, call: &Call) {
        self.line.action.clone_from(&call.action);
        self.line.access_key = call.access_key_id.parse().ok();
        self.line.parameters = masked(call.params.iter());
        self.instance = call.params.get("InstanceId").and_then(|id| InstanceId::parse(id).ok());
    }

    /// Notes which instance an answer is about, if it names one.
    fn made(&mut self, answer: &Value) {
        let named = answer.get("InstanceId").and_then(Value::as_str);
        let named = named.and_then(|id| InstanceId::parse(id).ok());
        self.instance = named.or(self.instance.take());
    }

    /// What the caller is told of a failure; one that is ours is logged here, once.
    fn failed(&mut self, failure: Failure) -> Fault {
        let fault = match failure {
            Failure::Fault(fault) => fault,
            Failure::Unavailable(error) => {
                self.outcome = Outcome::Failed(error);
                common::service_unavailable()
            }
            Failure::Internal(error) => {
                self.outcome = Outcome::Failed(error);
                common::internal_error()
            }
        };
        self.line.code = Some(fault.code.clone().into_owned());
        fault
    }
}

fn host(parts: &Parts) -> String {
    let named = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    named.unwrap_or_default().to_owned()
}

fn respond(status: u16, format: Format, id: &str, text: String) -> Response<Body> {
    let response = Response::builder()
        .status(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
        .header(header::CONTENT_TYPE, format.content_type())
        .header("x-acs-request-id", id)
        .body(Body::from(text));
    response.expect("a status, two valid header values and a body make a response")
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
