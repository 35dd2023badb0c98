//! The live page in a real browser, at a real coordinator. Without Chromium the test fails, it does not skip.

use std::process::Stdio;

use tokio::process::Command;
use trogdor::workloads::ProduceBenchSpec;

use super::browser::Page;
use super::*;
use crate::support::{kafka, topic, topics};

/// A task id that would break a page that takes it for markup.
const HOSTILE: &str = "</script><img src=x onerror=\"document.title='broken'\">\u{2028}<!--";

#[tokio::test]
async fn the_live_page_follows_a_real_coordinator_and_takes_no_text_for_markup() {
    let folder = tempfile::tempdir().unwrap();
    let (_agent, coordinator) = daemons(folder.path()).await;
    let client = CoordinatorClient::new(&coordinator.target(), ClientOptions::default());
    let create = async |id: &str, spec: Spec| {
        client.create_task(CreateTaskRequest { id: TaskId::from(id), spec }).await.unwrap();
    };
    let mut page = Page::open(folder.path(), &format!("http://{}/", coordinator.target())).await;
    page.until("Number(document.documentElement.dataset.states) >= 2").await;
    assert_eq!(page.eval("document.getElementById('tasks').textContent").await, "Running tasksNone.");

    let produce = ProduceBenchSpec {
        duration_ms: 600_000,
        producer_node: "node0".to_owned(),
        bootstrap_servers: kafka().await.bootstrap().to_owned(),
        target_messages_per_sec: 200,
        max_messages: 1_000_000,
        active_topics: topics(&topic("live"), 1),
        ..ProduceBenchSpec::default()
    };
    create(HOSTILE, Spec::of(&produce).unwrap()).await;
    let mut victim =
        Command::new("sleep").arg("600").stdin(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let pid_file = folder.path().join("victim.pid");
    std::fs::write(&pid_file, victim.id().unwrap().to_string()).unwrap();
    let stop = json!({"class": "org.apache.kafka.trogdor.fault.ProcessStopFaultSpec", "startMs": 0,
        "durationMs": 600_000, "nodeNames": ["node0"], "pidFile": pid_file});
    create("frozen", Spec::from(stop)).await;
    let bad = json!({"class": NO_OP, "startMs": 0, "durationMs": 0});
    create("over", Spec::from(bad)).await;

    // Rates, latencies, both charts, the fault, what has ended.
    let cells = "[...document.querySelectorAll('#tasks tbody td')].map((cell) => cell.textContent)";
    page.until("document.documentElement.dataset.charts === '2'").await;
    page.until(&format!("{cells}.length > 0 && parseFloat({cells}[7]) > 100 && parseFloat({cells}[9]) > 0"))
        .await;
    page.until("document.getElementById('faults').textContent.includes('frozen')").await;
    page.until("document.getElementById('recent').textContent.includes('over')").await;
    let agents = page.eval("document.getElementById('agents').textContent").await.to_string();
    assert!(agents.contains("unreachable") && agents.contains("rust"), "{agents}");
    assert_eq!(page.eval(&format!("{cells}[0]")).await, HOSTILE);
    assert_eq!(page.eval("document.querySelectorAll('canvas').length").await, 2);
    assert_eq!(
        page.eval("document.querySelectorAll('img').length").await,
        0,
        "a task's id became an element"
    );
    assert_eq!(page.eval("document.documentElement.dataset.error || ''").await, "");
    let title = page.eval("document.title").await;
    assert_eq!(title, "2 running · Trogdor live");
    // What the page's policy forbids does nothing.
    let blocked = "(() => { const s = document.createElement('script'); s.textContent = 'window.broken = 1'; \
                   document.body.append(s); return window.broken === undefined; })()";
    assert_eq!(page.eval(blocked).await, true);

    // The coordinator goes: the page says so.
    if let Some(file) = std::env::var_os("TROGDOR_LIVE_PICTURE") {
        std::fs::write(file, page.picture().await).unwrap();
    }
    drop(coordinator);
    page.until("document.getElementById('line').textContent.includes('does not answer')").await;
    victim.kill().await.unwrap();
}
