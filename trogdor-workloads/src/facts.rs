//! What a recording tells of the client and the machine that it was made with. Secrets are left out.

use std::collections::BTreeMap;

use rdkafka::client::{Client, ClientContext};
use serde::Serialize;

use crate::client_config::{Translated, redact};

/// A client as a recording tells it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ClientFacts {
    /// Its library.
    library: String,
    /// Its settings in force, librdkafka's names.
    settings: BTreeMap<String, String>,
}

impl ClientFacts {
    /// Those of a client that was made with these settings.
    pub(crate) fn of<C: ClientContext>(client: &Client<C>, given: &Translated) -> ClientFacts {
        let mut settings = crate::native::settings_in_force(client);
        settings.extend(given.librdkafka.clone());
        let (_, version) = rdkafka::util::get_rdkafka_version();
        ClientFacts { library: format!("librdkafka {version}"), settings: redact(&settings) }
    }
}

/// The machine as a recording tells it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HostFacts {
    /// System, release and architecture of the kernel.
    kernel: String,
    /// How many processors this process may use.
    cpus: usize,
    /// Memory of the machine, bytes; absent where the system does not tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    /// Which boot of which machine it is: the same on all nodes that share a clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    boot: Option<String>,
    /// The version of this program.
    trogdor: &'static str,
}

impl HostFacts {
    /// Those of this machine.
    pub(crate) fn read() -> HostFacts {
        let kernel = nix::sys::utsname::uname().map(|name| {
            let parts = [name.sysname(), name.release(), name.machine()];
            parts.map(|part| part.to_string_lossy().into_owned()).join(" ")
        });
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
        let memory = std::fs::read_to_string("/proc/meminfo").ok();
        HostFacts {
            kernel: kernel.unwrap_or_default(),
            cpus: std::thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: memory.as_deref().and_then(memory_bytes),
            boot: boot.map(|boot| boot.trim().to_owned()),
            trogdor: env!("CARGO_PKG_VERSION"),
        }
    }
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    total.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use rdkafka::producer::{BaseProducer, Producer as _};

    use super::*;
    use crate::client_config::{JavaProperties, Role, translate};

    #[test]
    fn settings_are_those_in_force_and_hold_no_secrets() {
        let mut given = JavaProperties::new();
        for (name, value) in [
            ("bootstrap.servers", "localhost:1"),
            ("linger.ms", "7"),
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanism", "PLAIN"),
            (
                "sasl.jaas.config",
                "org.apache.kafka.common.security.plain.PlainLoginModule required username=\"u\" password=\"dunkel\";",
            ),
        ] {
            given.insert(name.to_owned(), value.to_owned());
        }
        let translated = translate(&given, Role::Producer, 1).unwrap();
        let producer: BaseProducer = crate::kafka::client_config(&translated).create().unwrap();
        let facts = ClientFacts::of(producer.client(), &translated);
        assert!(facts.library.starts_with("librdkafka 2."), "{facts:?}");
        assert_eq!(facts.settings["queue.buffering.max.ms"], "7");
        // A default that nobody set.
        assert_eq!(facts.settings["socket.keepalive.enable"], "false");
        assert!(facts.settings.contains_key("request.required.acks") || facts.settings.contains_key("acks"));
        assert!(!serde_json::to_string(&facts).unwrap().contains("dunkel"));
    }

    #[test]
    fn the_size_of_the_memory_is_read() {
        let rows = [
            ("MemTotal:       24684440 kB\nMemFree: 1 kB\n", Some(24_684_440 * 1024)),
            ("MemFree: 1 kB\n", None),
            ("MemTotal: many kB\n", None),
        ];
        for (text, expected) in rows {
            assert_eq!(memory_bytes(text), expected, "{text}");
        }
    }
}
