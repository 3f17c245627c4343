//! The server is asked over real sockets.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hickory_server::proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_server::proto::rr::{DNSClass, Name, RData, RecordType};
use ourkv_store::StoreError;
use rstest::rstest;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::*;

const KNOWN: &str = "r-j6cxxxxxxxxxxxxx.redis.rds.aliyuncs.com";
const BROKEN: &str = "r-broken.redis.rds.aliyuncs.com";
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 42, 0, 7);
const PATIENCE: Duration = Duration::from_secs(10);

struct One;

#[async_trait]
impl Names for One {
    async fn address(&self, domain: &str) -> Result<Option<Ipv4Addr>, StoreError> {
        match domain {
            KNOWN => Ok(Some(ADDRESS)),
            BROKEN => Err(StoreError::Conflict),
            _ => Ok(None),
        }
    }
}

async fn start() -> (Dns, SocketAddr) {
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    Dns::bind(any, "rds.aliyuncs.com", Arc::new(One)).await.unwrap()
}

fn question(name: &str, asked: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.id = 4711;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), asked));
    message
}

async fn over_udp(server: SocketAddr, question: &Message) -> Message {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    socket.send_to(&question.to_vec().unwrap(), server).await.unwrap();
    let mut buffer = [0; 4096];
    let received = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await;
    Message::from_vec(&buffer[..received.expect("no answer").unwrap()]).unwrap()
}

async fn exchange(stream: &mut TcpStream, question: &Message) -> Message {
    let bytes = question.to_vec().unwrap();
    stream.write_u16(u16::try_from(bytes.len()).unwrap()).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let length = tokio::time::timeout(PATIENCE, stream.read_u16()).await.expect("no answer");
    let mut answer = vec![0; usize::from(length.unwrap())];
    stream.read_exact(&mut answer).await.unwrap();
    Message::from_vec(&answer).unwrap()
}

async fn over_tcp(server: SocketAddr, question: &Message) -> Message {
    exchange(&mut TcpStream::connect(server).await.unwrap(), question).await
}

/// The same answer over both protocols.
async fn ask(server: SocketAddr, question: &Message) -> Message {
    let answer = over_udp(server, question).await;
    assert_eq!(over_tcp(server, question).await, answer);
    assert_eq!(answer.metadata.id, question.metadata.id);
    answer
}

#[tokio::test]
async fn an_endpoint_has_its_serving_address() {
    let (dns, server) = start().await;
    for name in [KNOWN.to_owned(), KNOWN.to_uppercase(), format!("{KNOWN}.")] {
        let answer = ask(server, &question(&name, RecordType::A)).await;
        assert_eq!(answer.metadata.response_code, ResponseCode::NoError, "{name}");
        assert!(answer.metadata.authoritative && !answer.metadata.recursion_available);
        let [record] = answer.answers.as_slice() else { panic!("{answer}") };
        assert_eq!(record.data, RData::A(ADDRESS.into()));
        assert_eq!(record.ttl, 5);
        assert_eq!(record.name, answer.queries[0].name);
    }
    dns.shutdown().await.unwrap();
}

#[rstest]
#[case::ipv6(KNOWN, RecordType::AAAA, ResponseCode::NoError)]
#[case::text(KNOWN, RecordType::TXT, ResponseCode::NoError)]
#[case::unknown("r-nobody.redis.rds.aliyuncs.com", RecordType::A, ResponseCode::NXDomain)]
#[case::below_a_known_one(
    "x.r-j6cxxxxxxxxxxxxx.redis.rds.aliyuncs.com",
    RecordType::A,
    ResponseCode::NXDomain
)]
#[case::between("redis.rds.aliyuncs.com", RecordType::A, ResponseCode::NoError)]
#[case::apex("rds.aliyuncs.com", RecordType::A, ResponseCode::NoError)]
#[tokio::test]
async fn what_is_not_there_is_denied_with_the_soa(
    #[case] name: &str,
    #[case] asked: RecordType,
    #[case] code: ResponseCode,
) {
    let (dns, server) = start().await;
    let answer = ask(server, &question(name, asked)).await;
    assert_eq!(answer.metadata.response_code, code);
    assert!(answer.metadata.authoritative && answer.answers.is_empty());
    assert_eq!(answer.authorities[0].record_type(), RecordType::SOA);
    dns.shutdown().await.unwrap();
}

#[rstest]
#[case::elsewhere("example.com", RecordType::A, ResponseCode::Refused)]
#[case::parent("aliyuncs.com", RecordType::NS, ResponseCode::Refused)]
#[case::broken(BROKEN, RecordType::A, ResponseCode::ServFail)]
#[tokio::test]
async fn refuses_and_fails_without_claiming_anything(
    #[case] name: &str,
    #[case] asked: RecordType,
    #[case] code: ResponseCode,
) {
    let (dns, server) = start().await;
    let answer = ask(server, &question(name, asked)).await;
    assert_eq!(answer.metadata.response_code, code);
    assert!(!answer.metadata.authoritative);
    assert!(answer.answers.is_empty() && answer.authorities.is_empty());
    dns.shutdown().await.unwrap();
}

#[tokio::test]
async fn the_zone_names_its_server() {
    let (dns, server) = start().await;
    let ns = ask(server, &question("rds.aliyuncs.com", RecordType::NS)).await;
    let RData::NS(host) = &ns.answers[0].data else { panic!("{ns}") };
    let address = ask(server, &question(&host.0.to_ascii(), RecordType::A)).await;
    assert_eq!(address.answers[0].data, RData::A(Ipv4Addr::LOCALHOST.into()));
    let soa = ask(server, &question("rds.aliyuncs.com", RecordType::SOA)).await;
    let RData::SOA(soa) = &soa.answers[0].data else { panic!("{soa}") };
    assert_eq!(soa.mname, host.0);
    dns.shutdown().await.unwrap();
}

#[tokio::test]
async fn answers_only_what_it_understands() {
    let (dns, server) = start().await;
    let mut update = question(KNOWN, RecordType::A);
    update.metadata.op_code = OpCode::Notify;
    let mut chaos = question(KNOWN, RecordType::A);
    chaos.queries[0].query_class = DNSClass::CH;
    let mut future = question(KNOWN, RecordType::A);
    future.edns.insert(Edns::new()).set_version(1);
    for (question, code) in [
        (update, ResponseCode::NotImp),
        (chaos, ResponseCode::Refused),
        (future, ResponseCode::BADVERS),
    ] {
        // As numbers: 16 has two names.
        let answered = ask(server, &question).await.metadata.response_code;
        assert_eq!(u16::from(answered), u16::from(code));
    }
    dns.shutdown().await.unwrap();
}

#[tokio::test]
async fn survives_garbage() {
    let (dns, server) = start().await;
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let whole = question(KNOWN, RecordType::A).to_vec().unwrap();
    for cut in 0..whole.len() {
        socket.send_to(&whole[..cut], server).await.unwrap();
        let mut stream = TcpStream::connect(server).await.unwrap();
        stream.write_u16(u16::try_from(cut).unwrap()).await.unwrap();
        stream.write_all(&whole[..cut]).await.unwrap();
    }
    let answer = ask(server, &question(KNOWN, RecordType::A)).await;
    assert_eq!(answer.answers.len(), 1);
    dns.shutdown().await.unwrap();
}

#[tokio::test]
async fn one_connection_may_ask_often() {
    let (dns, server) = start().await;
    let mut stream = TcpStream::connect(server).await.unwrap();
    for _ in 0..50 {
        let answer = exchange(&mut stream, &question(KNOWN, RecordType::A)).await;
        assert_eq!(answer.answers.len(), 1);
    }
    dns.shutdown().await.unwrap();
}

#[tokio::test]
async fn connections_beyond_the_bound_do_not_silence_udp() {
    let (dns, server) = start().await;
    let mut idle = Vec::new();
    for _ in 0..200 {
        idle.push(TcpStream::connect(server).await.unwrap());
    }
    let answer = over_udp(server, &question(KNOWN, RecordType::A)).await;
    assert_eq!(answer.answers.len(), 1);
    // Idle connections are closed, so a patient one has its turn.
    drop(idle);
    let answer = over_tcp(server, &question(KNOWN, RecordType::A)).await;
    assert_eq!(answer.answers.len(), 1);
    dns.shutdown().await.unwrap();
}

#[tokio::test]
async fn nothing_listens_after_the_end() {
    let (dns, server) = start().await;
    dns.shutdown().await.unwrap();
    assert!(TcpStream::connect(server).await.is_err());
    UdpSocket::bind(server).await.unwrap();
}

#[tokio::test]
async fn says_why_it_cannot_listen() {
    let (dns, server) = start().await;
    let Err(error) = Dns::bind(server, "rds.aliyuncs.com", Arc::new(One)).await else {
        panic!("two servers on one port")
    };
    assert!(error.to_string().contains(&server.to_string()), "{error}");
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    assert!(matches!(Dns::bind(any, "a..b", Arc::new(One)).await, Err(DnsError::BadSuffix(_))));
    dns.shutdown().await.unwrap();
}
