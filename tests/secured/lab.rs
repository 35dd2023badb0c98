//! An authority with one certificate for every role, one of another authority, and one that is over;
//! and a client that is not ours (OpenSSL's), so that a refusal is seen as anybody would see it.

use std::io::{self, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use openssl::ssl::{SslConnector, SslFiletype, SslMethod};
use tempfile::TempDir;
use trogdor_bin::tls::{Authority, Request, Role};
use trogdor_core::SystemClock;

/// What came of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An answer of HTTP.
    Answer(u16, String),
    /// No answer: why, in OpenSSL's words.
    Refused(String),
}

pub struct Lab {
    folder: TempDir,
    authority: Authority,
}

pub fn now_ms() -> i64 {
    SystemClock::shared().now().wall_ms
}

impl Lab {
    /// Certificates by the names of the roles, `foreign` and `expired` (both for `exec`).
    pub fn new() -> Lab {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::create(&folder.path().join("ca"), now_ms(), 30).unwrap();
        let other = Authority::create(&folder.path().join("other"), now_ms(), 30).unwrap();
        let lab = Lab { folder, authority };
        for role in Role::ALL {
            lab.issue(role.name(), role, 3600);
        }
        lab.issue("expired", Role::Exec, -3600 * 49);
        lab.issue_by(&other, "foreign", Role::Exec, 3600);
        lab
    }

    /// A certificate that ends so many seconds from now.
    pub fn issue(&self, name: &str, role: Role, seconds: i64) -> PathBuf {
        self.issue_by(&self.authority, name, role, seconds)
    }

    fn issue_by(&self, authority: &Authority, name: &str, role: Role, seconds: i64) -> PathBuf {
        let hosts = if role.is_daemon() { &["localhost", "127.0.0.1"][..] } else { &[] };
        let hosts = hosts.iter().map(|&host| host.to_owned()).collect();
        let mut request = Request::for_days(name, role, hosts, now_ms(), 1);
        request.not_before_ms = now_ms() - 3_600_000 * 72;
        request.not_after_ms = now_ms() + seconds * 1000;
        let folder = self.path(name);
        authority.issue(&request).unwrap().write(&folder).unwrap();
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The options that make a program the owner of a certificate.
    pub fn tls(&self, name: &str) -> [String; 2] {
        ["--tls".to_owned(), self.path(name).display().to_string()]
    }

    /// One request over TLS, with this certificate or none.
    pub async fn send(&self, port: u16, who: Option<&str>, request: &str) -> Outcome {
        match self.ask(port, who, request).await {
            Ok(answer) => {
                let (head, body) = answer.split_once("\r\n\r\n").unwrap();
                Outcome::Answer(head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
            }
            Err(why) => Outcome::Refused(why),
        }
    }

    /// The same: the whole answer, or why there is none.
    pub async fn ask(&self, port: u16, who: Option<&str>, request: &str) -> Result<String, String> {
        let mut tls = SslConnector::builder(SslMethod::tls_client()).unwrap();
        tls.set_ca_file(self.folder.path().join("ca/ca.pem")).unwrap();
        if let Some(who) = who {
            tls.set_certificate_file(self.path(who).join("cert.pem"), SslFiletype::PEM).unwrap();
            tls.set_private_key_file(self.path(who).join("key.pem"), SslFiletype::PEM).unwrap();
        }
        let (tls, request) = (tls.build(), request.to_owned());
        tokio::task::spawn_blocking(move || exchange(&tls, port, &request)).await.unwrap()
    }
}

fn exchange(tls: &SslConnector, port: u16, request: &str) -> Result<String, String> {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let mut answer = Vec::new();
    let exchanged = match tls.connect("localhost", stream) {
        Err(error) => Err(error.to_string()),
        Ok(mut stream) => stream
            .write_all(request.as_bytes())
            .and_then(|()| read(&mut stream, &mut answer))
            .map_err(|error| error.to_string()),
    };
    let answer = String::from_utf8(answer).unwrap();
    if answer.contains("\r\n\r\n") {
        return Ok(answer);
    }
    Err(exchanged.expect_err("an answer or an error"))
}

/// Reads an answer to its end, and a feed, which has none, to its first event.
fn read(stream: &mut impl io::Read, answer: &mut Vec<u8>) -> io::Result<()> {
    let has = |answer: &[u8], words: &[u8]| answer.windows(words.len()).any(|part| part == words);
    let mut part = [0; 1 << 14];
    loop {
        let len = stream.read(&mut part)?;
        answer.extend_from_slice(&part[..len]);
        let is_feed = has(&answer[..answer.len().min(1000)], b"text/event-stream");
        if len == 0 || (is_feed && has(answer, b"data: ")) {
            return Ok(());
        }
    }
}

/// A request as text.
pub fn request(method: &str, path: &str, body: &str) -> String {
    format!(
        "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\
         Content-Type: application/json\r\n\r\n{body}",
        body.len()
    )
}
