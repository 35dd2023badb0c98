//! Names of cipher suites: Java's, which are those of the standard, as OpenSSL has them. It deliberately knows
//! the rule and no list, so a suite that OpenSSL lacks is found out by OpenSSL.

/// The suites as one OpenSSL list. Those of TLS 1.3 are left out: they are always on.
pub(super) fn openssl(suites: &[String]) -> Result<String, String> {
    let mut names = Vec::new();
    for suite in
        suites.iter().filter(|suite| !is_tls13(suite) && *suite != "TLS_EMPTY_RENEGOTIATION_INFO_SCSV")
    {
        // Java's words.
        names.push(openssl_name(suite).ok_or_else(|| format!("Unsupported CipherSuite: {suite}"))?);
    }
    Ok(names.join(":"))
}

fn is_tls13(suite: &str) -> bool {
    ["TLS_AES_", "TLS_CHACHA20_"].iter().any(|start| suite.starts_with(start))
}

/// OpenSSL's name of a suite of TLS 1.2 or before.
fn openssl_name(suite: &str) -> Option<String> {
    let is_plain = suite.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let (exchange, cipher) = suite.strip_prefix("TLS_").filter(|_| is_plain)?.split_once("_WITH_")?;
    let cipher = cipher.replace("AES_", "AES").replace("_CBC", "");
    // The digest goes without saying in OpenSSL's name for ChaCha20.
    let cipher = cipher.strip_suffix("_SHA256").filter(|c| c.ends_with("_POLY1305")).unwrap_or(&cipher);
    let exchange = if exchange == "RSA" { String::new() } else { format!("{exchange}-") };
    Some(format!("{exchange}{cipher}").replace('_', "-"))
}
