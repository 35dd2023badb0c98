//! Which means are chosen, and what is said where there are none.

use serde_json::json;
use trogdor_core::{Node, NodeName, TaskId, Topology};

use super::*;
use crate::plan::FaultId;
use crate::tools::Tools;

fn spec(json: serde_json::Value) -> NodeDegradeSpec {
    serde_json::from_value(json).unwrap()
}

/// What is planned on a device `eth0`: what each step does, or the reasons.
fn planned(spec: &NodeDegradeSpec, features: Features, hook: Hook) -> Result<Vec<String>, Vec<String>> {
    let json = json!([{"ifname": "eth0", "flags": ["UP"], "mtu": 1500, "link_type": "ether",
                       "address": "02:00:00:00:00:01"}]);
    let all: Vec<Device> = serde_json::from_value(json).unwrap();
    let chosen = choose(&all, &spec.network_device).unwrap();
    let means = Means { features, all, chosen, hooks: vec![hook], queue: 7 };
    let (id, task, node) = (FaultId::placeholder(), TaskId::from("t"), NodeName::from("node0"));
    let (topology, tools) = (Topology::new([Node::local("node0", 8888)]), Tools::new(""));
    let site = Site { id: &id, task: &task, node: &node, topology: &topology, tools: &tools };
    let mut making = Making { spec, site: &site, means: &means, plan: Plan::default(), reasons: Vec::new() };
    making.everything();
    if !making.reasons.is_empty() {
        return Err(making.reasons);
    }
    Ok(making.plan.steps.iter().map(|step| step.action().what()).collect())
}

fn everything_works() -> Features {
    Features { netem: Ok(()), ..Features::unknown() }
}

#[test]
fn netem_is_used_where_it_is_and_where_nobody_else_filters() {
    let spec =
        spec(json!({"latencyMs": 50, "lossPercent": 1.5, "duplicatePercent": 2, "reorderPercent": 25}));
    let hook = Hook { has_default_root: true, ..Hook::default() };
    let what = planned(&spec, everything_works(), hook.clone()).unwrap();
    let expected = [
        "make the device tg00000000n0 (netem limit 400000 delay 50ms 7ms distribution paretonormal \
         loss 1.5% duplicate 2% reorder 25%)",
        "divert packets that arrive on eth0 to tg00000000n0",
    ];
    assert_eq!(what, expected);

    let filtered = Hook { ingress: vec![serde_json::from_value(json!({"pref": 1})).unwrap()], ..hook };
    let what = planned(&spec, everything_works(), filtered).unwrap();
    let expected = [
        "delay what is in packet queue 7 by 50 ms, ± 7 ms, 25 % at once",
        "of packets that arrive on eth0: lose 1.5 %, queue the others in 7",
        "make the devices tg00000000c0 and tg00000000b0, which turn packets back to eth0",
        "let eth0 take the copies that come back to it",
        "divert copies of some packets that arrive on eth0 to tg00000000c0",
    ];
    assert_eq!(what, expected);
}

#[test]
fn what_the_kernel_cannot_do_is_told_all_at_once() {
    let no = |what: &str| Err(what.to_owned());
    let spec = spec(json!({"latencyMs": 1, "rateLimitKbit": 1, "lossPercent": 1, "duplicatePercent": 1}));
    let features = Features {
        divert: no("no ifb"),
        copies: Ok(()),
        rate: Ok(()),
        netem: no("no netem"),
        queue: no("no queue"),
        loss: no("no numgen"),
    };
    let reasons = planned(&spec, features, Hook::default()).unwrap_err();
    for (reason, expected) in reasons.iter().zip([
        ("rateLimitKbit needs ifb", "no ifb"),
        ("latencyMs needs netem", "no queue"),
        ("lossPercent needs netem", "no numgen"),
        ("duplicatePercent needs veth", "no ifb"),
    ]) {
        assert!(reason.starts_with(expected.0) && reason.ends_with(expected.1), "{reason}");
    }
    assert_eq!(reasons.len(), 4, "{reasons:?}");
}

#[test]
fn the_lower_rate_has_the_earlier_place() {
    let rates = [1, 2, 1000, 1001, 1010, 8000, 100_000, i32::MAX.unsigned_abs()];
    let prefs: Vec<_> = rates.map(rate_pref).to_vec();
    assert!(prefs.is_sorted(), "{prefs:?}");
    assert!(prefs[2] < prefs[4] && prefs[7] <= 0xffff, "{prefs:?}");
}

#[test]
fn whoever_may_not_change_the_network_is_told_with_all_other_reasons() {
    let outcome = std::thread::spawn(|| {
        use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
        let mut sets = capabilities(None).unwrap();
        sets.effective.remove(CapabilitySet::NET_ADMIN);
        set_capabilities(None, sets).unwrap();
        let (id, task, node) = (FaultId::placeholder(), TaskId::from("t"), NodeName::from("node0"));
        let (topology, tools) = (Topology::default(), Tools::new(""));
        let site = Site { id: &id, task: &task, node: &node, topology: &topology, tools: &tools };
        plan(&spec(json!({"networkDevice": "no such", "latencyMs": 1})), &site).unwrap_err()
    });
    let FaultError::Refused(reasons) = outcome.join().unwrap() else { panic!("not refused") };
    assert!(reasons[0].contains("run it as root"), "{reasons:?}");
    assert!(reasons[1].contains("there is no network device \"no such\" (known: lo"), "{reasons:?}");
}
