//! The names of endpoints, asked of the built-in DNS server over UDP and TCP.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};

use hickory_server::proto::op::{Message, Query, ResponseCode};
use hickory_server::proto::rr::{Name, RData, RecordType};

use crate::common::{Ourkv, PATIENCE};

fn question(name: &str) -> Vec<u8> {
    let mut message = Message::query();
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), RecordType::A));
    message.to_vec().unwrap()
}

fn over_udp(server: &str, name: &str) -> Message {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.send_to(&question(name), server).unwrap();
    let mut answer = [0; 512];
    let length = socket.recv(&mut answer).unwrap();
    Message::from_vec(&answer[..length]).unwrap()
}

fn over_tcp(server: &str, name: &str) -> Message {
    let mut stream = TcpStream::connect(server).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let question = question(name);
    let length = u16::try_from(question.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], &question].concat()).unwrap();
    let mut length = [0; 2];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut answer).unwrap();
    Message::from_vec(&answer).unwrap()
}

fn addresses(answer: &Message) -> Vec<String> {
    let data = answer.answers.iter().map(|record| &record.data);
    data.filter_map(|data| match data {
        RData::A(address) => Some(address.to_string()),
        _ => None,
    })
    .collect()
}

#[test]
fn a_connection_domain_leads_to_its_instance_until_it_is_deleted() {
    let server = Ourkv::start();
    let dns = server.dns();
    let created = server.normal(&[("InstanceClass", "redis.basic.small.default")]);
    let name = created["ConnectionDomain"].as_str().unwrap();
    let address = created["PrivateIpAddr"].as_str().unwrap();
    assert_eq!(addresses(&over_udp(&dns, name)), [address]);
    assert_eq!(addresses(&over_tcp(&dns, &name.to_uppercase())), [address]);
    let id = created["InstanceId"].as_str().unwrap();
    server.client().call("DeleteInstance", &[("InstanceId", id)]).expect_ok();
    server.until("the name is gone", |_| {
        over_udp(&dns, name).metadata.response_code == ResponseCode::NXDomain
    });
}

/// What this machine can't serve at its own address is served at another one, and the name says
/// which.
#[test]
fn a_name_leads_to_the_address_that_serves() {
    let server = Ourkv::start();
    let (vpc, vswitch) = server.vswitch("cn-hongkong-b", "172.16.0.0/24");
    let created = server.normal(&[
        ("NetworkType", "VPC"),
        ("VpcId", &vpc),
        ("VSwitchId", &vswitch),
        ("PrivateIpAddress", "172.16.0.10"),
    ]);
    assert_eq!(created["PrivateIpAddr"], "172.16.0.10");
    let found = addresses(&over_udp(&server.dns(), created["ConnectionDomain"].as_str().unwrap()));
    let client = redis::Client::open(format!("redis://{}:6379/", found[0])).unwrap();
    let mut connection = client.get_connection().unwrap();
    let () = redis::cmd("AUTH").arg(crate::common::PASSWORD).query(&mut connection).unwrap();
}
