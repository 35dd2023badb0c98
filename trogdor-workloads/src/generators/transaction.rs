//! Transaction generators: they tell a producer, before each message, whether a transaction begins
//! or ends. The sequences are those of the Java original. They do not know the producer: what to do
//! with the last, incomplete transaction is the worker's business.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use trogdor_core::json::{Checker, Family, Field, Kind, Object};

/// Where transactions begin and end, as it stands in a spec.
#[derive(Serialize, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum TransactionGenerator {
    /// Transactions of equally many messages.
    Uniform {
        /// Messages in a transaction, at least 1.
        #[serde(default)]
        messages_per_transaction: i32,
    },
    /// Transactions of equal duration.
    Interval {
        /// How long a transaction stays open, in ms, at least 1.
        #[serde(default)]
        transaction_interval_ms: i32,
    },
}

/// What to do before the next message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransactionAction {
    /// Begin a transaction, then ask again.
    Begin,
    /// Commit the open transaction, then ask again.
    Commit,
    /// Abort the open transaction, then ask again. No generator asks for it today.
    Abort,
    /// Send the message.
    NoOp,
}

/// The running form of a [`TransactionGenerator`].
#[derive(Clone, Debug)]
pub struct Transactions {
    generator: TransactionGenerator,
    open: Option<Open>,
}

/// The open transaction.
#[derive(Clone, Copy, Debug)]
struct Open {
    begun_ms: i64,
    messages: i32,
}

impl TransactionGenerator {
    /// The running form, without an open transaction.
    pub fn start(&self) -> Transactions {
        Transactions { generator: *self, open: None }
    }

    /// What the original refuses while parsing, in its words.
    pub fn problems(&self) -> Vec<String> {
        let sentence = match self {
            TransactionGenerator::Uniform { messages_per_transaction: ..1 } => TOO_FEW_MESSAGES,
            TransactionGenerator::Interval { transaction_interval_ms: ..1 } => TOO_SHORT_INTERVAL,
            _ => return Vec::new(),
        };
        vec![sentence.to_owned()]
    }
}

impl Transactions {
    /// What to do next. To be called until it says [`TransactionAction::NoOp`], once more for every
    /// message. `now_ms` is a clock that never goes back, in ms.
    pub fn next(&mut self, now_ms: i64) -> TransactionAction {
        let Some(open) = &mut self.open else {
            self.open = Some(Open { begun_ms: now_ms, messages: 0 });
            return TransactionAction::Begin;
        };
        let complete = match self.generator {
            TransactionGenerator::Uniform { messages_per_transaction } => {
                open.messages >= messages_per_transaction
            }
            TransactionGenerator::Interval { transaction_interval_ms } => {
                now_ms.saturating_sub(open.begun_ms) >= transaction_interval_ms.into()
            }
        };
        if complete {
            self.open = None;
            return TransactionAction::Commit;
        }
        open.messages = open.messages.saturating_add(1);
        TransactionAction::NoOp
    }

    /// Whether a transaction has begun and not ended.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }
}

/// The transaction generators, told apart by `type`.
pub static TRANSACTION: Family = Family {
    name: "transaction generator",
    tag: "type",
    members: &[("uniform", &UNIFORM), ("interval", &INTERVAL)],
};

const TOO_FEW_MESSAGES: &str = "Cannot have less than one message per transaction.";
const TOO_SHORT_INTERVAL: &str = "Cannot have a negative interval";

static UNIFORM: Object = Object::new("uniform transaction generator", UNIFORM_FIELDS).checked(check_uniform);
const UNIFORM_FIELDS: &[Field] =
    &[Field::new("messagesPerTransaction", Kind::Int, "", "length of a transaction; at least 1")
        .unit("records")];

static INTERVAL: Object =
    Object::new("interval transaction generator", INTERVAL_FIELDS).checked(check_interval);
const INTERVAL_FIELDS: &[Field] =
    &[Field::new("transactionIntervalMs", Kind::Int, "", "how long a transaction stays open; at least 1")];

fn check_uniform(fields: &Map<String, Value>, checker: &mut Checker<'_>) {
    at_least_one(fields, "messagesPerTransaction", TOO_FEW_MESSAGES, checker);
}

fn check_interval(fields: &Map<String, Value>, checker: &mut Checker<'_>) {
    at_least_one(fields, "transactionIntervalMs", TOO_SHORT_INTERVAL, checker);
}

fn at_least_one(fields: &Map<String, Value>, name: &str, sentence: &str, checker: &mut Checker<'_>) {
    if fields.get(name).and_then(Value::as_i64).is_none_or(|number| number < 1) {
        checker.refuse(name, sentence);
    }
}

#[cfg(test)]
mod tests {
    use super::TransactionAction::{Begin, Commit, NoOp};
    use super::*;
    use trogdor_core::json::{NoClasses, read, to_java_string};

    fn parsed(text: &str) -> Result<TransactionGenerator, String> {
        let value = read(text.as_bytes(), &Kind::Family(&TRANSACTION), &NoClasses);
        Ok(serde_json::from_value(value.map_err(|e| e.0[0].text.clone())?).unwrap())
    }

    fn uniform(messages_per_transaction: i32) -> TransactionGenerator {
        TransactionGenerator::Uniform { messages_per_transaction }
    }

    fn interval(transaction_interval_ms: i32) -> TransactionGenerator {
        TransactionGenerator::Interval { transaction_interval_ms }
    }

    fn actions(
        generator: TransactionGenerator,
        times_ms: impl IntoIterator<Item = i64>,
    ) -> Vec<TransactionAction> {
        let mut transactions = generator.start();
        times_ms.into_iter().map(|now_ms| transactions.next(now_ms)).collect()
    }

    #[test]
    fn uniform_transactions_hold_equally_many_messages() {
        assert_eq!(
            actions(uniform(2), [0; 9]),
            [Begin, NoOp, NoOp, Commit, Begin, NoOp, NoOp, Commit, Begin]
        );
        assert_eq!(actions(uniform(1), [0; 4]), [Begin, NoOp, Commit, Begin]);
    }

    #[test]
    fn interval_transactions_are_committed_when_their_time_is_over() {
        let times_ms = [1000, 1000, 1099, 1100, 1300, 1399, 1400, 1400];
        let expected = [Begin, NoOp, NoOp, Commit, Begin, NoOp, Commit, Begin];
        assert_eq!(actions(interval(100), times_ms), expected);
    }

    #[test]
    fn a_clock_at_the_end_of_its_range_does_no_harm() {
        assert_eq!(actions(interval(1), [i64::MIN, i64::MAX]), [Begin, Commit]);
        assert_eq!(actions(interval(1), [i64::MAX, i64::MIN]), [Begin, NoOp]);
    }

    #[test]
    fn a_transaction_is_open_from_begin_to_commit() {
        let mut transactions = uniform(1).start();
        let mut open = Vec::new();
        for _ in 0..4 {
            transactions.next(0);
            open.push(transactions.is_open());
        }
        assert_eq!(open, [true, true, false, true]);
    }

    #[test]
    fn the_running_form_leaves_the_spec_as_it_was() {
        let generator = uniform(2);
        generator.start().next(0);
        assert_eq!(generator.start().next(0), Begin);
        assert_eq!(to_java_string(&generator), r#"{"type":"uniform","messagesPerTransaction":2}"#);
    }

    #[test]
    fn generators_are_written_as_they_were_read() {
        let rows = [
            (
                r#"{"type":"uniform","messagesPerTransaction":"10000"}"#,
                r#"{"type":"uniform","messagesPerTransaction":10000}"#,
            ),
            (
                r#"{"transactionIntervalMs":1.9,"type":"interval"}"#,
                r#"{"type":"interval","transactionIntervalMs":1}"#,
            ),
        ];
        for (text, expected) in rows {
            assert_eq!(to_java_string(&parsed(text).unwrap()), expected);
        }
    }

    #[test]
    fn fewer_than_one_is_refused_in_javas_words() {
        for text in [r#"{"type":"uniform"}"#, r#"{"type":"uniform","messagesPerTransaction":0}"#] {
            assert_eq!(parsed(text).unwrap_err(), TOO_FEW_MESSAGES);
        }
        for text in [r#"{"type":"interval"}"#, r#"{"type":"interval","transactionIntervalMs":-1}"#] {
            assert_eq!(parsed(text).unwrap_err(), TOO_SHORT_INTERVAL);
        }
        assert_eq!(uniform(0).problems(), [TOO_FEW_MESSAGES]);
        assert_eq!(interval(0).problems(), [TOO_SHORT_INTERVAL]);
        assert_eq!(uniform(1).problems(), Vec::<String>::new());
    }
}
