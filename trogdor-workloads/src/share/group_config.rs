//! What a share group needs before its first member joins: a cluster that has share groups, and the configuration of
//! the group, such as where a new one starts to read. It belongs to the cluster, not to the members, and is there when
//! all brokers say so.

use std::time::Duration;

use kafka_protocol::messages::describe_configs_request::DescribeConfigsResource;
use kafka_protocol::messages::incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig};
use kafka_protocol::messages::{DescribeConfigsRequest, IncrementalAlterConfigsRequest};
use kafka_protocol::protocol::StrBytes;

use super::cluster::{Cluster, host_port};
use super::connection::Connection;
use super::failure::Failure;
use super::settings::Settings;
use crate::client_config::{HostPort, JavaProperties};

/// The kind of resource that a group is.
const GROUP: i8 = 32;
/// Sets a value.
const SET: i8 = 0;

/// Between two looks, and between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// Makes sure that there are share groups, sets the configuration of the settings' group, and waits until every broker
/// has it. What stands in the way and may pass is noted.
///
/// # Errors
/// The cluster has no share groups, refuses the configuration, or does not answer in time.
pub(crate) async fn prepare_group(
    settings: &Settings,
    configs: &JavaProperties,
    note: impl Fn(&str),
) -> Result<(), String> {
    let mut last = None;
    let tries = async {
        for server in settings.servers.iter().cycle() {
            match prepare(settings, server, configs).await {
                Ok(()) => return Ok(()),
                Err(Failure::Final(text)) => return Err(text),
                Err(Failure::Passing(text)) => {
                    note(&text);
                    last = Some(text);
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
        Err("there is no broker to ask".to_owned())
    };
    let result = match tokio::time::timeout(settings.call_limit, tries).await {
        Ok(result) => result,
        Err(_) => {
            Err(format!("not within {} ms: {}", settings.call_limit.as_millis(), last.unwrap_or_default()))
        }
    };
    result.map_err(|why| format!("share group {:?}: {why}", settings.group))
}

async fn prepare(settings: &Settings, server: &HostPort, configs: &JavaProperties) -> Result<(), Failure> {
    let mut connection = Connection::open(server, settings).await?;
    let context = |failure: Failure| failure.context(format_args!("broker {server}"));
    let metadata = connection.call(&Cluster::request(&[]), Duration::ZERO).await.map_err(context)?;
    if configs.is_empty() {
        return Ok(());
    }
    alter(&mut connection, settings, configs).await?;
    let brokers = metadata.brokers.iter().filter_map(|broker| host_port(&broker.host, broker.port));
    for broker in brokers {
        let mut connection = Connection::open(&broker, settings).await?;
        while !has(&mut connection, settings, configs).await? {
            tokio::time::sleep(PAUSE).await;
        }
    }
    Ok(())
}

async fn alter(
    connection: &mut Connection,
    settings: &Settings,
    configs: &JavaProperties,
) -> Result<(), Failure> {
    let config = |(name, value): (&String, &String)| {
        AlterableConfig::default()
            .with_name(StrBytes::from_string(name.clone()))
            .with_config_operation(SET)
            .with_value(Some(StrBytes::from_string(value.clone())))
    };
    let resource = AlterConfigsResource::default()
        .with_resource_type(GROUP)
        .with_resource_name(StrBytes::from_string(settings.group.clone()))
        .with_configs(configs.iter().map(config).collect());
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![resource]);
    let answer = connection.call(&request, Duration::ZERO).await?;
    match answer.responses.iter().find(|response| response.error_code != 0) {
        Some(refused) => Err(Failure::of_code(refused.error_code, refused.error_message.as_deref())),
        None => Ok(()),
    }
}

/// Whether a broker has the configuration.
async fn has(
    connection: &mut Connection,
    settings: &Settings,
    configs: &JavaProperties,
) -> Result<bool, Failure> {
    let resource = DescribeConfigsResource::default()
        .with_resource_type(GROUP)
        .with_resource_name(StrBytes::from_string(settings.group.clone()))
        .with_configuration_keys(None);
    let request = DescribeConfigsRequest::default().with_resources(vec![resource]);
    let answer = connection.call(&request, Duration::ZERO).await?;
    if let Some(refused) = answer.results.iter().find(|result| result.error_code != 0) {
        return Err(Failure::of_code(refused.error_code, refused.error_message.as_deref()));
    }
    let told = |name: &str, value: &str| {
        let mut entries = answer.results.iter().flat_map(|result| &result.configs);
        entries.any(|entry| &*entry.name == name && entry.value.as_deref() == Some(value))
    };
    Ok(configs.iter().all(|(name, value)| told(name, value)))
}
