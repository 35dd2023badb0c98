//! What specs say of the Kafka clients of their tasks: the fields that nearly all classes have, and the
//! settings that they come to. Which client a class makes, and with which defaults, is its own business.

use trogdor_core::json::{Field, Kind};

use crate::client_config::{
    JavaProperties, PROPERTIES, References, Role, Translated, merge, translate_referring,
};

pub(crate) const BOOTSTRAP_SERVERS: Field =
    Field::new("bootstrapServers", Kind::Text, "", "the cluster, host:port[,host:port …]");
pub(crate) const COMMON_CLIENT_CONF: Field = Field::new(
    "commonClientConf",
    PROPERTIES,
    "{}",
    "properties of all clients, by their Java names; secrets may be references",
);
pub(crate) const ADMIN_CLIENT_CONF: Field = Field::new(
    "adminClientConf",
    PROPERTIES,
    "{}",
    "properties of the admin client, by their Java names; secrets may be references",
);
pub(crate) const PRODUCER_CONF: Field = Field::new(
    "producerConf",
    PROPERTIES,
    "{}",
    "properties of producers, by their Java names; secrets may be references",
);
pub(crate) const CONSUMER_CONF: Field = Field::new(
    "consumerConf",
    PROPERTIES,
    "{}",
    "properties of consumers, by their Java names; secrets may be references",
);

/// Clients made by one worker; Java counts them per process to make ids.
pub(crate) const FIRST: u32 = 1;

/// What all clients of a task have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SpecClients<'s> {
    bootstrap_servers: &'s str,
    common: &'s JavaProperties,
    /// Where secrets come from that the properties only refer to.
    references: &'s References,
}

impl<'s> SpecClients<'s> {
    /// From the fields that classes have for it.
    pub(crate) fn new(
        bootstrap_servers: &'s str,
        common: &'s JavaProperties,
        references: &'s References,
    ) -> SpecClients<'s> {
        SpecClients { bootstrap_servers, common, references }
    }

    /// The settings of a client, the `number`th of its worker: the class's defaults, then what all have
    /// in common, then its own properties.
    ///
    /// # Errors
    /// All problems with the properties in one text.
    pub(crate) fn settings(
        &self,
        (role, number): (Role, u32),
        defaults: &[(&str, &str)],
        own: &JavaProperties,
    ) -> Result<Translated, String> {
        let first = ("bootstrap.servers", self.bootstrap_servers);
        let defaults = std::iter::once(&first).chain(defaults);
        let defaults = defaults.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let merged = merge(&defaults, self.common, own);
        translate_referring(&merged, role, number, self.references).map_err(|errors| errors.to_string())
    }

    /// The settings of the admin client that creates a task's topics.
    ///
    /// # Errors
    /// As [`settings`](Self::settings).
    pub(crate) fn topic_creator(&self, own: &JavaProperties) -> Result<Translated, String> {
        self.settings((Role::Admin, FIRST), &[("request.timeout.ms", "25000")], own)
    }
}

/// Refuses the settings of a transactional producer: no record would be taken outside of a transaction.
///
/// # Errors
/// They are.
pub(crate) fn without_transactions(settings: Translated) -> Result<Translated, String> {
    match settings.librdkafka.contains_key("transactional.id") {
        true => {
            Err("transactional.id is set, but this workload begins no transactions; use ProduceBench"
                .to_owned())
        }
        false => Ok(settings),
    }
}
