//! Texts of fault journals. What was read is described, written and read again; nothing is undone.

#![no_main]

use libfuzzer_sys::fuzz_target;
use trogdor::faults::fuzzing::journal;

fuzz_target!(|text: &[u8]| {
    let Ok(Some(record)) = journal(text) else { return };
    let mut again = serde_json::to_vec(&record.header).expect("a header can be written");
    again.push(b'\n');
    for step in &record.steps {
        let action = step.action();
        let _ = (action.what(), action.undo_text(), action.scope());
        again.extend(serde_json::to_vec(step).expect("a step can be written"));
        again.push(b'\n');
    }
    assert_eq!(journal(&again), Ok(Some(record)));
});
