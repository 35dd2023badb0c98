//! A real browser that is asked while its page lives. It speaks its debugging protocol over two named pipes, so
//! that no port is opened.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};

use crate::support::LIMIT;

/// A page in Chromium; both end when dropped.
pub struct Page {
    _chromium: Child,
    questions: pipe::Sender,
    answers: BufReader<pipe::Receiver>,
    asked: u64,
    session: Option<String>,
}

impl Page {
    /// Opens an address; the folder is for this browser alone.
    pub async fn open(folder: &Path, url: &str) -> Page {
        let paths = ["questions", "answers"].map(|name| folder.join(name));
        paths.iter().for_each(|path| mkfifo(path, Mode::S_IRUSR | Mode::S_IWUSR).unwrap());
        let [questions, answers] = &paths;
        // Opened for both, so that nobody waits for the other side.
        let pipes = pipe::OpenOptions::new().read_write(true).clone();
        let mut chromium = Command::new("sh");
        chromium.args(["-c", "exec chromium \"$@\" 3<\"$QUESTIONS\" 4>\"$ANSWERS\"", "sh"]);
        chromium.env("QUESTIONS", questions).env("ANSWERS", answers);
        // A test may run as root, without a display, and without a network to ask for updates.
        chromium.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
        chromium.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
        chromium.args(["--window-size=1200,2000", "--remote-debugging-pipe"]);
        chromium.arg(format!("--user-data-dir={}", folder.join("profile").display()));
        chromium.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
        let questions = pipes.open_sender(questions).unwrap();
        let answers = BufReader::new(pipes.open_receiver(answers).unwrap());
        let chromium = chromium.spawn().expect("chromium is needed; scripts/prepare --tests installs it");
        let mut page = Page { _chromium: chromium, questions, answers, asked: 0, session: None };
        let target = page.call("Target.createTarget", json!({"url": url})).await;
        let attached = json!({"targetId": target["targetId"], "flatten": true});
        let attached = page.call("Target.attachToTarget", attached).await;
        page.session = Some(attached["sessionId"].as_str().expect("a session").to_owned());
        page
    }

    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.try_call(method, params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// Asks for something; gives the result, or the error.
    async fn try_call(&mut self, method: &str, params: Value) -> Result<Value, Value> {
        self.asked += 1;
        let mut question = json!({"id": self.asked, "method": method, "params": params});
        if let Some(session) = &self.session {
            question["sessionId"] = json!(session);
        }
        self.questions.write_all(format!("{question}\0").as_bytes()).await.unwrap();
        loop {
            let mut answer = Vec::new();
            let reading = self.answers.read_until(0, &mut answer);
            let read = tokio::time::timeout(LIMIT, reading).await;
            read.expect("chromium answers; scripts/prepare --tests installs it").unwrap();
            answer.pop();
            let mut answer: Value = serde_json::from_slice(&answer).unwrap();
            if answer["id"] == json!(self.asked) {
                return match answer.get("error") {
                    Some(error) => Err(error.clone()),
                    None => Ok(answer["result"].take()),
                };
            }
        }
    }

    /// The value of an expression in the page.
    pub async fn eval(&mut self, expression: &str) -> Value {
        self.try_eval(expression).await.unwrap_or_else(|error| panic!("{expression}: {error}"))
    }

    async fn try_eval(&mut self, expression: &str) -> Result<Value, Value> {
        let asked = json!({"expression": expression, "returnByValue": true});
        let mut answer = self.try_call("Runtime.evaluate", asked).await?;
        match answer.get("exceptionDetails") {
            Some(thrown) => Err(thrown.clone()),
            None => Ok(answer["result"]["value"].take()),
        }
    }

    /// Waits until an expression is true. A page that is not there yet throws.
    pub async fn until(&mut self, expression: &str) {
        let mut last = Ok(Value::Null);
        let looking = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(50));
            loop {
                ticks.tick().await;
                last = self.try_eval(expression).await;
                if last == Ok(Value::Bool(true)) {
                    return;
                }
            }
        };
        if tokio::time::timeout(LIMIT, looking).await.is_err() {
            let shown = self.try_eval("document.documentElement.outerHTML").await;
            panic!("it never came to {expression}: {last:?}\n{shown:?}");
        }
    }

    /// A picture of the page as PNG, for people.
    #[allow(dead_code, reason = "to look at the page by hand")]
    pub async fn picture(&mut self) -> String {
        let picture = self.call("Page.captureScreenshot", json!({"captureBeyondViewport": true})).await;
        picture["data"].as_str().unwrap().to_owned()
    }
}
