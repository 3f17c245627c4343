//! One question, one answer.

use std::net::Ipv4Addr;
use std::sync::Arc;

use async_trait::async_trait;
use hickory_server::net::runtime::Time;
use hickory_server::proto::op::{
    Edns, Header, HeaderCounts, LowerQuery, Metadata, OpCode, ResponseCode,
};
use hickory_server::proto::rr::{DNSClass, Name, Record, RecordType};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo};
use hickory_server::zone_handler::MessageResponseBuilder;
use tokio::sync::Semaphore;

use super::names::Names;
use super::zone::{Place, Zone, address_record};

/// Questions that are looked up at once; more of them are told to come back.
const LOOKUPS: usize = 256;

/// Bytes of a UDP answer that avoid fragments.
const MAX_PAYLOAD: u16 = 1232;

/// Answers questions about one zone.
#[derive(Clone)]
pub(super) struct Answerer {
    zone: Arc<Zone>,
    names: Arc<dyn Names>,
    lookups: Arc<Semaphore>,
}

/// An answer before it has the form of one.
#[derive(Default)]
struct Answer {
    code: ResponseCode,
    authoritative: bool,
    records: Vec<Record>,
    authorities: Vec<Record>,
}

impl Answer {
    fn refusal(code: ResponseCode) -> Self {
        Self { code, ..Self::default() }
    }
}

impl Answerer {
    pub(super) fn new(zone: Zone, names: Arc<dyn Names>) -> Self {
        Self { zone: Arc::new(zone), names, lookups: Arc::new(Semaphore::new(LOOKUPS)) }
    }

    async fn answer(&self, request: &Request) -> Answer {
        if request.metadata.op_code != OpCode::Query {
            return Answer::refusal(ResponseCode::NotImp);
        }
        if request.version() > 0 {
            return Answer::refusal(ResponseCode::BADVERS);
        }
        match request.queries.queries() {
            [query] if matches!(query.query_class(), DNSClass::IN | DNSClass::ANY) => {
                self.look_up(query).await
            }
            [_] => Answer::refusal(ResponseCode::Refused),
            _ => Answer::refusal(ResponseCode::FormErr),
        }
    }

    async fn look_up(&self, query: &LowerQuery) -> Answer {
        let asked = query.query_type();
        let name = query.original().name();
        match self.zone.place(query.name()) {
            Place::Outside => Answer::refusal(ResponseCode::Refused),
            Place::Apex => self.found(match asked {
                RecordType::SOA => vec![self.zone.soa().clone()],
                RecordType::NS => vec![self.zone.ns().clone()],
                RecordType::ANY => vec![self.zone.soa().clone(), self.zone.ns().clone()],
                _ => Vec::new(),
            }),
            Place::Server => self.addressed(name, asked, self.zone.own_address()),
            Place::Between => self.found(Vec::new()),
            Place::Below => self.endpoint(name, asked).await,
        }
    }

    async fn endpoint(&self, name: &Name, asked: RecordType) -> Answer {
        let Ok(_permit) = self.lookups.try_acquire() else {
            return Answer::refusal(ResponseCode::ServFail);
        };
        let domain = name.to_ascii().trim_end_matches('.').to_ascii_lowercase();
        match self.names.address(&domain).await {
            Ok(Some(address)) => self.addressed(name, asked, Some(address)),
            Ok(None) => Answer { code: ResponseCode::NXDomain, ..self.found(Vec::new()) },
            Err(error) => {
                tracing::warn!(%error, "a name could not be looked up");
                Answer::refusal(ResponseCode::ServFail)
            }
        }
    }

    /// A name that has at most an address: any other type of it exists and is empty.
    fn addressed(&self, name: &Name, asked: RecordType, address: Option<Ipv4Addr>) -> Answer {
        let wanted = matches!(asked, RecordType::A | RecordType::ANY);
        let record = address.filter(|_| wanted).map(|it| address_record(name.clone(), it));
        self.found(record.into_iter().collect())
    }

    /// An answer out of the zone; an empty one says by the SOA how long it holds.
    fn found(&self, records: Vec<Record>) -> Answer {
        let soa = records.is_empty().then(|| self.zone.soa().clone());
        let authorities = soa.into_iter().collect();
        Answer { authoritative: true, records, authorities, ..Answer::default() }
    }
}

#[async_trait]
impl RequestHandler for Answerer {
    async fn handle_request<R: ResponseHandler, T: Time>(
        &self,
        request: &Request,
        mut responses: R,
    ) -> ResponseInfo {
        let answer = self.answer(request).await;
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.response_code = answer.code;
        metadata.authoritative = answer.authoritative;
        let edns = request.edns.as_ref().map(|_| {
            let mut edns = Edns::new();
            edns.set_max_payload(MAX_PAYLOAD).set_rcode_high(answer.code.high());
            edns
        });
        let mut response = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &edns {
            response.edns(edns);
        }
        let response = response.build(metadata, &answer.records, &answer.authorities, &[], &[]);
        match responses.send_response(response).await {
            Ok(info) => info,
            Err(error) => {
                tracing::debug!(%error, "a DNS answer could not be sent");
                ResponseInfo::from(Header { metadata, counts: HeaderCounts::default() })
            }
        }
    }
}
