//! GSSAPI, which is Kerberos. librdkafka has tickets renewed by a shell command, so whatever gets into that
//! command must be harmless. It deliberately reads neither key tabs nor ticket caches.

use super::super::draft::Draft;
use super::super::jaas::LoginModule;
use super::super::shell;
use super::sasl::missing;

const SERVICE_NAME: &str = "sasl.kerberos.service.name";
const KINIT: &str = "sasl.kerberos.kinit.cmd";
const KINIT_DEFAULT: &str = "/usr/bin/kinit";
const RELOGIN: &str = "sasl.kerberos.min.time.before.relogin";
const RELOGIN_LIMIT_MS: i64 = 86_400_000;

/// Settles who the client is, and how it gets its ticket.
pub(super) fn apply(draft: &mut Draft, module: &LoginModule) -> Result<(), String> {
    let service = service_name(draft, module)?;
    draft.emit(SERVICE_NAME, service);
    let principal = module.option("principal");
    if let Some(principal) = principal {
        refuse_unsafe("sasl.jaas.config: principal", principal)?;
        draft.emit("sasl.kerberos.principal", principal);
    }
    match module.option("keyTab") {
        Some(key_tab) => {
            refuse_unsafe("sasl.jaas.config: keyTab", key_tab)?;
            // librdkafka would ask for a ticket in the name of kafkaclient.
            principal.ok_or_else(|| missing("principal"))?;
            draft.emit("sasl.kerberos.keytab", key_tab);
            renewal(draft)
        }
        None if module.is_true("useTicketCache") => {
            // Somebody else renews the ticket.
            draft.emit(RELOGIN, 0);
            Ok(())
        }
        None => Err(format!("{}; without it set useTicketCache=true", missing("keyTab"))),
    }
}

fn service_name(draft: &Draft, module: &LoginModule) -> Result<String, String> {
    match (draft.text(SERVICE_NAME), module.option("serviceName")) {
        (Some(name), Some(other)) if name != other => {
            Err("Conflicting serviceName values found in JAAS and Kafka configs".to_owned())
        }
        (Some(name), _) | (None, Some(name)) => Ok(name.to_owned()),
        (None, None) => Err("No serviceName defined in either JAAS or Kafka config".to_owned()),
    }
}

fn renewal(draft: &mut Draft) -> Result<(), String> {
    if let Some(relogin_ms) = draft.number(RELOGIN) {
        draft.emit_clamped(RELOGIN, relogin_ms, RELOGIN, 0..=RELOGIN_LIMIT_MS);
        if relogin_ms <= 0 {
            draft.note(format!("{RELOGIN}=0 means for librdkafka that it never gets a ticket itself"));
        }
    }
    let Some(kinit) = draft.text(KINIT).filter(|kinit| *kinit != KINIT_DEFAULT).map(str::to_owned) else {
        return Ok(());
    };
    refuse_unsafe(KINIT, &kinit)?;
    let get = format!("{kinit} -t \"%{{sasl.kerberos.keytab}}\" -k %{{sasl.kerberos.principal}}");
    let renew = get.replacen(" -t", " -R -t", 1);
    draft.emit(KINIT, format!("{renew} || {get}"));
    Ok(())
}

fn refuse_unsafe(name: &str, value: &str) -> Result<(), String> {
    if shell::is_safe(value) { Ok(()) } else { Err(format!("{name} {}", shell::UNSAFE)) }
}
