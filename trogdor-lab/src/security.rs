//! A secured broker: its listeners, certificates, users and their passwords, as lines of its configuration and as
//! properties for clients. Who may do what is in `acls.rs`; nothing here talks to a broker.

use std::{collections::BTreeMap, fs, path::Path};

use crate::{
    certificates::Authority,
    error::{LabError, Trying},
};

/// A way to log in, each with a listener of its own kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// SASL_PLAINTEXT with PLAIN.
    Plain,
    /// SASL_PLAINTEXT with SCRAM-SHA-256.
    Scram256,
    /// SASL_PLAINTEXT with SCRAM-SHA-512.
    Scram512,
    /// SASL_SSL with SCRAM-SHA-512.
    TlsScram512,
    /// SSL with a client certificate, which the broker demands.
    Certificate,
}

impl Login {
    /// All of them.
    pub const ALL: [Login; 5] =
        [Login::Plain, Login::Scram256, Login::Scram512, Login::TlsScram512, Login::Certificate];
}

/// What a client needs to log in as one user. `Debug` shows passwords: they are good for one throwaway broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// `127.0.0.1:PORT` of the listener, for `bootstrap.servers`.
    pub bootstrap: String,
    /// All other properties, by the names that Java clients use. Stores are PEM files in the broker's directory.
    pub properties: BTreeMap<String, String>,
}

/// The ports of the listeners that ask for a login.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SecuredPorts {
    pub(crate) sasl_plaintext: u16,
    pub(crate) sasl_ssl: u16,
    pub(crate) ssl: u16,
}

/// The names of the users of a secured broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Users(Vec<String>);

/// The folder of certificates in the directory of the node.
const FOLDER: &str = "tls";
const PLAIN_MODULE: &str = "org.apache.kafka.common.security.plain.PlainLoginModule";
const SCRAM_MODULE: &str = "org.apache.kafka.common.security.scram.ScramLoginModule";

impl Users {
    /// Names that need no quoting anywhere: not in JAAS, not in a certificate, not in a path.
    pub(crate) fn new(names: impl IntoIterator<Item = impl Into<String>>) -> Result<Self, LabError> {
        let mut names: Vec<String> = names.into_iter().map(Into::into).collect();
        names.sort();
        names.dedup();
        let is_fine = |char: char| char.is_ascii_alphanumeric() || "-_".contains(char);
        match names.iter().find(|name| name.is_empty() || !name.chars().all(is_fine)) {
            Some(user) => Err(LabError::BadUser { user: user.clone() }),
            None => Ok(Self(names)),
        }
    }

    /// What the format tool is told, so that the users are there from the start.
    pub(crate) fn format_args(&self) -> Vec<String> {
        let credentials = |user: &String| {
            ["SCRAM-SHA-256", "SCRAM-SHA-512"].map(|mechanism| {
                let password = password(user);
                ["--add-scram".to_owned(), format!("{mechanism}=[name={user},password={password}]")]
            })
        };
        self.0.iter().flat_map(credentials).flatten().collect()
    }

    /// Makes the certificates, in files that only the owner of the directory can reach.
    pub(crate) fn write_certificates(&self, directory: &Path) -> Result<(), LabError> {
        let folder = directory.join(FOLDER);
        fs::create_dir(&folder).trying(|| format!("make `{}`", folder.display()))?;
        let authority = Authority::new()?;
        let put = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).trying(|| format!("write `{}`", path.display()))
        };
        put("ca.pem", authority.certificate())?;
        put("server.pem", authority.server()?.key_store())?;
        for user in &self.0 {
            put(&format!("{user}.pem"), authority.client(user)?.key_store())?;
        }
        Ok(())
    }

    /// The lines of the broker's configuration. The plain listener stays open: whoever comes through it is a super
    /// user, and so is the controller's own listener.
    pub(crate) fn config(&self, directory: &Path) -> Vec<(String, String)> {
        let file = |name: &str| directory.join(FOLDER).join(name).display().to_string();
        let plain: String =
            self.0.iter().map(|user| format!(" user_{user}=\"{}\"", password(user))).collect();
        let sasl = "listener.name.sasl_plaintext";
        let protocols = "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT,\
                         SASL_SSL:SASL_SSL,SSL:SSL";
        let entries = [
            ("listener.security.protocol.map", protocols.to_owned()),
            ("sasl.enabled.mechanisms", "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512".to_owned()),
            (&format!("{sasl}.plain.sasl.jaas.config"), format!("{PLAIN_MODULE} required{plain};")),
            (&format!("{sasl}.scram-sha-256.sasl.jaas.config"), format!("{SCRAM_MODULE} required;")),
            (&format!("{sasl}.scram-sha-512.sasl.jaas.config"), format!("{SCRAM_MODULE} required;")),
            ("listener.name.sasl_ssl.sasl.enabled.mechanisms", "SCRAM-SHA-512".to_owned()),
            ("listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config", format!("{SCRAM_MODULE} required;")),
            ("listener.name.ssl.ssl.client.auth", "required".to_owned()),
            ("ssl.keystore.type", "PEM".to_owned()),
            ("ssl.keystore.location", file("server.pem")),
            ("ssl.truststore.type", "PEM".to_owned()),
            ("ssl.truststore.location", file("ca.pem")),
            ("ssl.principal.mapping.rules", "RULE:^CN=([^,]+).*$/$1/,DEFAULT".to_owned()),
            ("authorizer.class.name", "org.apache.kafka.metadata.authorizer.StandardAuthorizer".to_owned()),
            ("super.users", "User:ANONYMOUS".to_owned()),
            ("allow.everyone.if.no.acl.found", "false".to_owned()),
        ];
        entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
    }

    /// How a client logs in.
    pub(crate) fn access(
        &self,
        directory: &Path,
        ports: SecuredPorts,
        login: Login,
        user: &str,
    ) -> Result<Access, LabError> {
        if !self.0.iter().any(|known| known == user) {
            return Err(LabError::UnknownUser { user: user.to_owned(), known: self.0.join(", ") });
        }
        let file = |name: &str| directory.join(FOLDER).join(name).display().to_string();
        let scram = |mechanism| (mechanism, SCRAM_MODULE);
        let (port, protocol, sasl) = match login {
            Login::Plain => (ports.sasl_plaintext, "SASL_PLAINTEXT", Some(("PLAIN", PLAIN_MODULE))),
            Login::Scram256 => (ports.sasl_plaintext, "SASL_PLAINTEXT", Some(scram("SCRAM-SHA-256"))),
            Login::Scram512 => (ports.sasl_plaintext, "SASL_PLAINTEXT", Some(scram("SCRAM-SHA-512"))),
            Login::TlsScram512 => (ports.sasl_ssl, "SASL_SSL", Some(scram("SCRAM-SHA-512"))),
            Login::Certificate => (ports.ssl, "SSL", None),
        };
        let mut properties = BTreeMap::from([("security.protocol".to_owned(), protocol.to_owned())]);
        let mut set = |name: &str, value: String| drop(properties.insert(name.to_owned(), value));
        if let Some((mechanism, module)) = sasl {
            let password = password(user);
            set("sasl.mechanism", mechanism.to_owned());
            set(
                "sasl.jaas.config",
                format!("{module} required username=\"{user}\" password=\"{password}\";"),
            );
        }
        if matches!(login, Login::TlsScram512 | Login::Certificate) {
            set("ssl.truststore.type", "PEM".to_owned());
            set("ssl.truststore.location", file("ca.pem"));
        }
        if login == Login::Certificate {
            set("ssl.keystore.type", "PEM".to_owned());
            set("ssl.keystore.location", file(&format!("{user}.pem")));
        }
        Ok(Access { bootstrap: format!("127.0.0.1:{port}"), properties })
    }
}

impl SecuredPorts {
    /// As they stand in `listeners`.
    pub(crate) fn listeners(self) -> String {
        let Self { sasl_plaintext, sasl_ssl, ssl } = self;
        format!(
            "SASL_PLAINTEXT://127.0.0.1:{sasl_plaintext},SASL_SSL://127.0.0.1:{sasl_ssl},SSL://127.0.0.1:{ssl}"
        )
    }
}

/// The same in every lab, so that a formatted directory can be kept: what it opens lives on loopback for a minute.
fn password(user: &str) -> String {
    format!("{user}-secret")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_would_need_quoting_is_refused() {
        let error = Users::new(["alice", "b\"ob"]).unwrap_err().to_string();
        assert!(error.contains("b\"ob"), "{error}");
        assert_eq!(Users::new(["bob", "alice", "bob"]).unwrap(), Users(vec!["alice".into(), "bob".into()]));
    }

    #[test]
    fn a_user_who_is_not_there_is_named_with_those_who_are() {
        let users = Users::new(["alice", "bob"]).unwrap();
        let ports = SecuredPorts { sasl_plaintext: 1, sasl_ssl: 2, ssl: 3 };
        let error = users.access(Path::new("/x"), ports, Login::Plain, "eve").unwrap_err().to_string();
        assert_eq!(error, "the broker has no user `eve`; it has: alice, bob");
        let access = users.access(Path::new("/x"), ports, Login::Certificate, "bob").unwrap();
        assert_eq!(access.bootstrap, "127.0.0.1:3");
        assert_eq!(access.properties["ssl.keystore.location"], "/x/tls/bob.pem");
        assert_eq!(access.properties.get("sasl.mechanism"), None);
    }
}
