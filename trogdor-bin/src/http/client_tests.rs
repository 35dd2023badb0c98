//! Clients against daemons that answer from a script, in order and by the letter: what is tried again
//! and what is not, and what is sent to a coordinator of the Java original.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::timeout;
use trogdor_core::api::{AgentApi as _, ApiError, CoordinatorApi as _};

use super::{AgentClient, ClientOptions, CoordinatorClient};

/// Longer than anything here takes, shorter than anybody's patience.
const SOON: Duration = Duration::from_secs(20);
const SPEC: &str = r#"{"class":"org.apache.kafka.trogdor.task.NoOpTaskSpec","startMs":1,"durationMs":1000}"#;

/// A daemon that gives these answers, one per connection, and then hangs up. An empty answer is none.
async fn scripted(answers: &[(u16, &str)]) -> (SocketAddr, JoinSet<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let answers: Vec<_> = answers.iter().map(|(code, body)| (*code, (*body).to_owned())).collect();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut requests = Vec::new();
        for (code, body) in answers {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 65536];
            let len = stream.read(&mut request).await.unwrap();
            requests.push(String::from_utf8_lossy(&request[..len]).into_owned());
            if code > 0 {
                let len = body.len();
                let text =
                    format!("HTTP/1.1 {code} X\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}");
                stream.write_all(text.as_bytes()).await.unwrap();
            }
        }
        requests
    });
    (address, serving)
}

#[tokio::test]
async fn a_request_without_an_answer_is_tried_again_and_an_answered_one_is_not() {
    let (address, mut serving) =
        scripted(&[(0, ""), (502, "<html>"), (200, r#"{"serverStartMs":7,"new":[1]}"#)]).await;
    let client = CoordinatorClient::new(&address.to_string(), ClientOptions::default());
    assert_eq!(client.status().await.unwrap().server_start_ms, 7);
    assert_eq!(serving.join_next().await.unwrap().unwrap().len(), 3);
    let (address, _serving) = scripted(&[(500, r#"{"code":409,"message":"taken"}"#)]).await;
    let client = CoordinatorClient::new(&address.to_string(), ClientOptions::default());
    assert_eq!(client.status().await, Err(ApiError::Conflict("taken".to_owned())));
    let once = ClientOptions::once();
    let (address, _serving) = scripted(&[(0, ""), (200, "{}")]).await;
    let client = CoordinatorClient::new(&address.to_string(), once);
    assert!(matches!(client.status().await, Err(ApiError::Unreachable(_))));
    let client = CoordinatorClient::new("no port", once);
    assert_eq!(
        client.status().await,
        Err(ApiError::InvalidRequest("\"no port\" is not HOST:PORT".to_owned()))
    );
}

#[tokio::test]
async fn a_silent_daemon_costs_no_more_than_the_time_outs() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let limit = Duration::from_millis(50);
    let options = ClientOptions { max_tries: 3, connect_timeout: limit, answer_timeout: limit };
    let client = AgentClient::new(&listener.local_addr().unwrap().to_string(), options);
    let silence = timeout(SOON, client.watch(0, limit)).await.expect("an end");
    assert!(matches!(silence, Err(ApiError::Unreachable(text)) if text.ends_with("within 150 ms")));
}

#[tokio::test]
async fn a_java_coordinator_is_asked_again_and_again_for_the_end_of_a_task() {
    let running = format!(r#"{{"state":"RUNNING","spec":{SPEC},"startedMs":1,"status":"active"}}"#);
    let done = format!(
        r#"{{"state":"DONE","spec":{SPEC},"startedMs":1,"doneMs":2,"error":"x","cancelled":false,"status":1}}"#
    );
    let missing = json!({"code": 404, "message": "HTTP 404 Not Found"}).to_string();
    let (address, mut serving) =
        scripted(&[(404, &missing), (200, &running), (200, &done), (200, "{}")]).await;
    let client = CoordinatorClient::new(&address.to_string(), ClientOptions::default());
    let state = client.await_task("foo bar".into(), SOON).await.unwrap();
    assert_eq!((state.error(), state.done_ms()), (Some("x"), 2));
    client.shutdown(true).await.unwrap();
    let requests = serving.join_next().await.unwrap().unwrap();
    let lines: Vec<_> = requests.iter().map(|request| request.lines().next().unwrap()).collect();
    assert!(lines[0].starts_with("GET /coordinator/tasks/foo%20bar/wait?timeoutMs="), "{lines:?}");
    assert_eq!(lines[2], "GET /coordinator/tasks/foo%20bar HTTP/1.1");
    assert!(requests[3].ends_with("\r\n\r\n{\"stopAgents\":true}"), "{}", requests[3]);
    assert!(requests[3].contains("content-type: application/json") && !requests[2].contains("content-type"));
}
