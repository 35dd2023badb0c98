//! A broker that tells where it is, and then of no brokers, as one does that has just started.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::thread;

use bytes::{Bytes, BytesMut};
use kafka_protocol::messages::metadata_response::{MetadataResponseBroker, MetadataResponseTopic};
use kafka_protocol::messages::{
    ApiKey, ApiVersionsResponse, BrokerId, MetadataRequest, MetadataResponse, RequestHeader, ResponseHeader,
    api_versions_response::ApiVersion,
};
use kafka_protocol::protocol::{Decodable as _, Encodable, HeaderVersion, StrBytes};

const METADATA_VERSION: i16 = 12;
const API_VERSIONS_VERSION: i16 = 3;
const NODE: BrokerId = BrokerId(1);
const UNKNOWN_TOPIC: i16 = 3;

/// Serves until the process ends; gives its address.
pub(super) fn starting_broker() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        // Whoever bootstraps is told where to go, and there nothing is known.
        for (number, stream) in listener.incoming().enumerate() {
            let brokers = if number == 0 { vec![itself(port)] } else { Vec::new() };
            thread::spawn(move || serve(stream.unwrap(), &brokers));
        }
    });
    format!("127.0.0.1:{port}")
}

fn itself(port: u16) -> MetadataResponseBroker {
    let host = StrBytes::from_static_str("127.0.0.1");
    MetadataResponseBroker::default().with_node_id(NODE).with_host(host).with_port(port.into())
}

/// Until the other side has gone.
fn serve(mut stream: TcpStream, brokers: &[MetadataResponseBroker]) -> Option<()> {
    loop {
        let mut len = [0; 4];
        stream.read_exact(&mut len).ok()?;
        let mut request = vec![0; u32::from_be_bytes(len) as usize];
        stream.read_exact(&mut request).ok()?;
        stream.write_all(&answer(Bytes::from(request), brokers)).ok()?;
    }
}

fn answer(mut request: Bytes, brokers: &[MetadataResponseBroker]) -> BytesMut {
    let number = |at: usize| i16::from_be_bytes([request[at], request[at + 1]]);
    let (api, version) = (ApiKey::try_from(number(0)).unwrap(), number(2));
    let header = RequestHeader::decode(&mut request, api.request_header_version(version)).unwrap();
    match api {
        ApiKey::ApiVersions => {
            let served = [(ApiKey::Metadata, METADATA_VERSION), (ApiKey::ApiVersions, API_VERSIONS_VERSION)];
            let served = served.map(|(api, max)| {
                ApiVersion::default().with_api_key(api as i16).with_min_version(0).with_max_version(max)
            });
            // A version that is too late is answered in the first one.
            let (version, error_code) = if version > API_VERSIONS_VERSION { (0, 35) } else { (version, 0) };
            let answer = ApiVersionsResponse::default().with_api_keys(served.to_vec());
            framed(&header, &answer.with_error_code(error_code), version)
        }
        ApiKey::Metadata => {
            let asked = MetadataRequest::decode(&mut request, version).unwrap().topics.unwrap_or_default();
            let topics = asked.into_iter().map(|topic| {
                MetadataResponseTopic::default().with_name(topic.name).with_error_code(UNKNOWN_TOPIC)
            });
            let answer = MetadataResponse::default().with_brokers(brokers.to_vec()).with_controller_id(NODE);
            framed(&header, &answer.with_topics(topics.collect()), version)
        }
        api => panic!("it serves no {api:?}"),
    }
}

fn framed<A: Encodable + HeaderVersion>(request: &RequestHeader, answer: &A, version: i16) -> BytesMut {
    let mut body = BytesMut::new();
    let header = ResponseHeader::default().with_correlation_id(request.correlation_id);
    header.encode(&mut body, A::header_version(version)).unwrap();
    answer.encode(&mut body, version).unwrap();
    let mut frame = BytesMut::from(&(body.len() as u32).to_be_bytes()[..]);
    frame.extend_from_slice(&body);
    frame
}
