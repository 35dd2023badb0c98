//! Logging in by user name and password: PLAIN, and SCRAM (RFC 5802), whose arithmetic is OpenSSL's. The words go in
//! as they are, without SASLprep: Kafka's brokers and librdkafka leave them alone too.

use bytes::Bytes;
use kafka_protocol::error::ResponseError;
use kafka_protocol::messages::{SaslAuthenticateRequest, SaslHandshakeRequest};
use kafka_protocol::protocol::StrBytes;
use std::time::Duration;

use super::connection::Connection;
use super::failure::Failure;
use super::settings::Login;
use crate::trouble::in_plain_words;

/// Says who the client is.
///
/// # Errors
/// The broker does not believe it, does not know the mechanism, or is not the one it claims to be.
pub(super) async fn log_in(connection: &mut Connection, login: &Login) -> Result<(), Failure> {
    let mechanism = &login.mechanism;
    let shake = SaslHandshakeRequest::default().with_mechanism(StrBytes::from_string(mechanism.clone()));
    let answer = connection.call(&shake, Duration::ZERO).await?;
    if let Some(error) = ResponseError::try_from_code(answer.error_code) {
        let known: Vec<_> = answer.mechanisms.iter().map(|name| name.as_str()).collect();
        let (known, text) = (known.join(","), error.to_string());
        return Err(Failure::Final(match error {
            ResponseError::UnsupportedSaslMechanism => {
                format!("Unsupported SASL mechanism: broker's supported mechanisms: {known}")
            }
            ResponseError::IllegalSaslState => {
                in_plain_words("not valid in current SASL state").unwrap_or(text)
            }
            _ => text,
        }));
    }
    match mechanism.as_str() {
        "PLAIN" => {
            let words = format!("\0{}\0{}", login.user, login.password);
            say(connection, words.into_bytes()).await.map(drop)
        }
        _ => scram(connection, login).await,
    }
}

/// One step of the exchange.
async fn say(connection: &mut Connection, words: Vec<u8>) -> Result<Bytes, Failure> {
    let request = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from(words));
    let answer = connection.call(&request, Duration::ZERO).await?;
    match answer.error_code {
        0 => Ok(answer.auth_bytes),
        code => Err(Failure::of_code(code, answer.error_message.as_deref())),
    }
}

#[cfg(not(feature = "ssl"))]
async fn scram(_connection: &mut Connection, login: &Login) -> Result<(), Failure> {
    Err(Failure::Final(format!("sasl.mechanism {} needs a build with the ssl feature", login.mechanism)))
}

#[cfg(feature = "ssl")]
async fn scram(connection: &mut Connection, login: &Login) -> Result<(), Failure> {
    let nonce = uuid::Uuid::new_v4().simple().to_string();
    let client = scram::Client::new(login, &nonce);
    let first = say(connection, client.first().into_bytes()).await?;
    let (last, proof_of_server) = client.answer(&first).map_err(Failure::Final)?;
    let verdict = say(connection, last.into_bytes()).await?;
    scram::check(&verdict, &proof_of_server).map_err(Failure::Final)
}

#[cfg(feature = "ssl")]
mod scram {
    //! The messages of SCRAM as text, and their arithmetic. Pure but for its one random word, an argument.

    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use openssl::hash::MessageDigest;
    use openssl::pkey::PKey;
    use openssl::sign::Signer;

    use super::Login;

    /// Fewer rounds than this are no protection; more than that are an attack on the client.
    const ROUNDS: std::ops::RangeInclusive<usize> = 4096..=10_000_000;

    /// No channel binding, no other identity.
    const HEADER: &str = "n,,";

    pub(super) struct Client<'a> {
        digest: MessageDigest,
        password: &'a [u8],
        nonce: &'a str,
        /// The first message without its header.
        bare: String,
    }

    impl<'a> Client<'a> {
        pub(super) fn new(login: &'a Login, nonce: &'a str) -> Client<'a> {
            let digest = match login.mechanism.as_str() {
                "SCRAM-SHA-256" => MessageDigest::sha256(),
                _ => MessageDigest::sha512(),
            };
            let user = login.user.replace('=', "=3D").replace(',', "=2C");
            let bare = format!("n={user},r={nonce}");
            Client { digest, password: login.password.as_bytes(), nonce, bare }
        }

        pub(super) fn first(&self) -> String {
            format!("{HEADER}{}", self.bare)
        }

        /// The second message, and what the server has to prove in turn.
        pub(super) fn answer(&self, server_first: &[u8]) -> Result<(String, Vec<u8>), String> {
            let server_first = std::str::from_utf8(server_first).map_err(|_| broken())?;
            let field = |name: &str| server_first.split(',').find_map(|field| field.strip_prefix(name));
            let nonce = field("r=").filter(|nonce| nonce.starts_with(self.nonce)).ok_or_else(broken)?;
            let salt = field("s=").and_then(|salt| STANDARD.decode(salt).ok()).ok_or_else(broken)?;
            let rounds: usize = field("i=").and_then(|rounds| rounds.parse().ok()).ok_or_else(broken)?;
            if !ROUNDS.contains(&rounds) {
                return Err(format!("SASL authentication failed: {rounds} rounds of SCRAM are refused"));
            }
            let last_bare = format!("c={},r={nonce}", STANDARD.encode(HEADER));
            let signed = format!("{},{server_first},{last_bare}", self.bare);
            let arithmetic = || -> Result<_, openssl::error::ErrorStack> {
                let mut salted = vec![0; self.digest.size()];
                openssl::pkcs5::pbkdf2_hmac(self.password, &salt, rounds, self.digest, &mut salted)?;
                let client_key = self.hmac(&salted, b"Client Key")?;
                let stored_key = openssl::hash::hash(self.digest, &client_key)?;
                let signature = self.hmac(&stored_key, signed.as_bytes())?;
                let proof: Vec<u8> =
                    client_key.iter().zip(&signature).map(|(key, sign)| key ^ sign).collect();
                let server_key = self.hmac(&salted, b"Server Key")?;
                Ok((proof, self.hmac(&server_key, signed.as_bytes())?))
            };
            let (proof, server_proof) = arithmetic().map_err(|error| error.to_string())?;
            Ok((format!("{last_bare},p={}", STANDARD.encode(proof)), server_proof))
        }

        fn hmac(&self, key: &[u8], text: &[u8]) -> Result<Vec<u8>, openssl::error::ErrorStack> {
            Signer::new(self.digest, &*PKey::hmac(key)?)?.sign_oneshot_to_vec(text)
        }
    }

    /// Checks that the server knows the password too.
    pub(super) fn check(server_last: &[u8], expected: &[u8]) -> Result<(), String> {
        let server_last = std::str::from_utf8(server_last).map_err(|_| broken())?;
        if let Some(error) = server_last.strip_prefix("e=") {
            return Err(format!("SASL authentication failed: {error}"));
        }
        let proof = server_last.split(',').find_map(|field| field.strip_prefix("v="));
        match proof.and_then(|proof| STANDARD.decode(proof).ok()) {
            Some(proof) if proof.len() == expected.len() && openssl::memcmp::eq(&proof, expected) => Ok(()),
            _ => {
                Err("SASL authentication failed: the server cannot prove that it knows the password"
                    .to_owned())
            }
        }
    }

    fn broken() -> String {
        "SASL authentication failed: the server's SCRAM message is broken".to_owned()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        fn login(mechanism: &str, user: &str, password: &str) -> Login {
            Login { mechanism: mechanism.to_owned(), user: user.to_owned(), password: password.to_owned() }
        }

        /// The exchange of RFC 7677, section 3.
        #[test]
        fn the_published_exchange_comes_out() {
            let login = login("SCRAM-SHA-256", "user", "pencil");
            let client = Client::new(&login, "rOprNGfwEbeRWgbNEkqO");
            assert_eq!(client.first(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
            let server_first =
                b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
            let (last, proof) = client.answer(server_first).unwrap();
            assert_eq!(
                last,
                "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
                 p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
            );
            assert_eq!(check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", &proof), Ok(()));
            assert!(check(b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G5=", &proof).is_err());
            assert_eq!(
                check(b"e=invalid-proof", &proof),
                Err("SASL authentication failed: invalid-proof".to_owned())
            );
        }

        #[test]
        fn user_names_are_escaped_and_servers_are_not_trusted() {
            let login = login("SCRAM-SHA-512", "a=b,c", "p");
            let client = Client::new(&login, "abc");
            assert_eq!(client.first(), "n,,n=a=3Db=2Cc,r=abc");
            for broken in
                ["r=xyz,s=AAAA,i=4096", "r=abcd,s=!,i=4096", "r=abcd,s=AAAA", "r=abcd,s=AAAA,i=1", ""]
            {
                assert!(client.answer(broken.as_bytes()).is_err(), "{broken}");
            }
            assert!(client.answer(b"r=abcd,s=AAAA,i=4096").is_ok());
        }
    }
}
