//! OAUTHBEARER: tokens that the client makes up, and tokens from an endpoint.

use super::*;

const MODULE: &str = "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule";
const HANDLER: (&str, &str) = (
    "sasl.login.callback.handler.class",
    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler",
);
const ENDPOINT: (&str, &str) = ("sasl.oauthbearer.token.endpoint.url", "https://id/token");
const RETRIEVER: &str = "sasl.oauthbearer.jwt.retriever.class";
const JWT_BEARER: (&str, &str) =
    (RETRIEVER, "org.apache.kafka.common.security.oauthbearer.JwtBearerJwtRetriever");

fn oauth(options: &str, more: Pairs, features: Features) -> Result<Translated, String> {
    let jaas = format!("{MODULE} required {options};");
    let base = [
        ("security.protocol", "SASL_PLAINTEXT"),
        ("sasl.mechanism", "OAUTHBEARER"),
        ("sasl.jaas.config", jaas.as_str()),
    ];
    client(Role::Producer, &[&base, more].concat(), features).map_err(|errors| errors.to_string())
}

fn accepted(options: &str, more: Pairs) -> Translated {
    oauth(options, more, FULL_BUILD).expect("valid options")
}

fn refused(options: &str, more: Pairs) -> String {
    oauth(options, more, FULL_BUILD).expect_err("a problem")
}

/// The settings of a producer with OAUTHBEARER.
fn p_oauth(changes: Pairs) -> BTreeMap<String, String> {
    let base = [("security.protocol", "sasl_plaintext"), ("sasl.mechanism", "OAUTHBEARER")];
    p(&[&base, changes].concat())
}

/// Row 38.
#[test]
fn unsecured_tokens_carry_their_claims() {
    let options = "unsecuredLoginStringClaim_sub=\"alice\" unsecuredLoginListClaim_scope=\"|r|w\" \
                   unsecuredLoginLifetimeSeconds=\"60\"";
    let expected = p_oauth(&[
        ("enable.sasl.oauthbearer.unsecure.jwt", "true"),
        ("sasl.oauthbearer.config", "principal=alice scope=r,w lifeSeconds=60"),
    ]);
    let translated = accepted(options, &[]);
    assert_eq!(translated.librdkafka, expected);
    assert!(!format!("{translated:?}").contains("alice"), "what a JAAS text held stays out of Debug");
}

#[test]
fn unsecured_claims_become_words() {
    let sub = "unsecuredLoginStringClaim_sub=a";
    let rows = [
        (sub.to_owned(), "principal=a"),
        (format!("{sub} unsecuredLoginListClaim_scope=''"), "principal=a"),
        (format!("{sub} unsecuredLoginListClaim_scope='|'"), "principal=a"),
        (format!("{sub} unsecuredLoginListClaim_scope='|r||w|'"), "principal=a scope=r,w"),
        (format!("{sub} unsecuredLoginListClaim_scope=',r,w'"), "principal=a scope=r,w"),
        (format!("{sub} unsecuredLoginFoo='b c'"), "principal=a"),
        (format!("{sub} unsecuredLoginPrincipalClaimName=''"), "principal=a"),
        (
            "unsecuredLoginExtension_z=1z unsecuredLoginExtension_b='v=1' unsecuredLoginScopeClaimName=roles \
             unsecuredLoginPrincipalClaimName=azp unsecuredLoginStringClaim_azp=u \
             unsecuredLoginListClaim_roles=' r w' unsecuredLoginLifetimeSeconds='9'"
                .replace("=1z", "='1z'"),
            "principal=u scope=r,w lifeSeconds=9 principalClaimName=azp scopeClaimName=roles extension_b=v=1 \
             extension_z=1z",
        ),
    ];
    for (options, expected) in rows {
        let translated = accepted(&options, &[]);
        assert_eq!(translated.librdkafka["sasl.oauthbearer.config"], expected, "{options}");
    }
}

#[test]
fn claims_that_librdkafka_cannot_make_are_refused() {
    let not_here = "is not available here; only principal and scope are";
    let one_word = "must be one word without quotes and backslashes";
    let no_extension = "is not the name of an extension";
    let lifetime = "unsecuredLoginLifetimeSeconds must be a whole number from 1 to 2147483647";
    let sub_missing = "unsecuredLoginStringClaim_sub is missing".to_owned();
    let user = "unsecuredLoginPrincipalClaimName=user";
    let rows = [
        ("", sub_missing.clone()),
        ("unsecuredLoginStringClaim_sub=''", sub_missing.clone()),
        ("unsecuredLoginNumberClaim_n='1'", sub_missing),
        (user, "unsecuredLoginStringClaim_user is missing".to_owned()),
        ("S unsecuredLoginStringClaim_scope=x", format!("unsecuredLoginStringClaim_scope {not_here}")),
        ("S unsecuredLoginNumberClaim_n='1'", format!("unsecuredLoginNumberClaim_n {not_here}")),
        ("S unsecuredLoginListClaim_l='|1'", format!("unsecuredLoginListClaim_l {not_here}")),
        ("unsecuredLoginStringClaim_sub='a b'", format!("unsecuredLoginStringClaim_sub {one_word}")),
        ("unsecuredLoginStringClaim_sub='a\"b'", format!("unsecuredLoginStringClaim_sub {one_word}")),
        ("S unsecuredLoginListClaim_scope='|a b|c'", format!("unsecuredLoginListClaim_scope {one_word}")),
        (
            "S unsecuredLoginListClaim_scope='|a,b|c'",
            "unsecuredLoginListClaim_scope holds a comma, which librdkafka splits at".to_owned(),
        ),
        ("S unsecuredLoginLifetimeSeconds='1.5'", lifetime.to_owned()),
        ("S unsecuredLoginLifetimeSeconds='0'", lifetime.to_owned()),
        ("S unsecuredLoginLifetimeSeconds=''", lifetime.to_owned()),
        ("S unsecuredLoginExtension_a='b c'", format!("unsecuredLoginExtension_a {one_word}")),
        ("S unsecuredLoginExtension_a=''", format!("unsecuredLoginExtension_a {one_word}")),
        ("S unsecuredLoginExtension_a1=x", format!("unsecuredLoginExtension_a1 {no_extension}")),
        ("S unsecuredLoginExtension_auth=x", format!("unsecuredLoginExtension_auth {no_extension}")),
        ("S unsecuredLoginExtension_=x", format!("unsecuredLoginExtension_ {no_extension}")),
    ];
    for (options, expected) in rows {
        let options = options.replace("S ", "unsecuredLoginStringClaim_sub=a ");
        assert_eq!(refused(&options, &[]), format!("sasl.jaas.config: {expected}"), "{options}");
    }
}

#[test]
fn tokens_from_an_endpoint() {
    let token_classes = ["DefaultJwtRetriever", "ClientCredentialsJwtRetriever"];
    let classes = token_classes.map(|name| format!("org.apache.kafka.common.security.oauthbearer.{name}"));
    let expected = p_oauth(&[
        ("sasl.oauthbearer.method", "oidc"),
        ENDPOINT,
        ("sasl.oauthbearer.client.credentials.client.id", "i"),
        ("sasl.oauthbearer.client.credentials.client.secret", "hunter2"),
        ("sasl.oauthbearer.scope", "s t"),
        ("sasl.oauthbearer.extensions", "a=1 2,b=x"),
    ]);
    let options = "clientId=i clientSecret=hunter2 scope='s t' extension_a='1 2' extension_b=x";
    for more in [&[ENDPOINT][..], &[ENDPOINT, HANDLER], &[ENDPOINT, (RETRIEVER, &classes[0])]] {
        let translated = accepted(options, more);
        assert_eq!(translated.librdkafka, expected);
        assert!(!format!("{translated:?}").contains("hunter2"), "{translated:?}");
    }
    let properties = [
        ENDPOINT,
        HANDLER,
        (RETRIEVER, &classes[1]),
        ("sasl.oauthbearer.client.credentials.client.id", "i2"),
        ("sasl.oauthbearer.client.credentials.client.secret", "s2"),
        ("sasl.oauthbearer.scope", "t2"),
        ("sasl.oauthbearer.header.urlencode", "true"),
        ("sasl.oauthbearer.clock.skew.seconds", "1"),
        ("sasl.oauthbearer.expected.audience", "a,b"),
        ("sasl.oauthbearer.jwks.endpoint.url", "https://id/keys"),
        ("sasl.oauthbearer.sub.claim.name", "user"),
        ("sasl.oauthbearer.assertion.claim.iss", "only with an assertion"),
    ];
    let expected = p_oauth(&[
        ("sasl.oauthbearer.method", "oidc"),
        ENDPOINT,
        ("sasl.oauthbearer.client.credentials.client.id", "i2"),
        ("sasl.oauthbearer.client.credentials.client.secret", "s2"),
        ("sasl.oauthbearer.scope", "t2"),
    ]);
    let translated = accepted("clientId=i clientSecret=' s'", &properties);
    assert_eq!(translated.librdkafka, expected);
    assert_eq!(
        translated.notes,
        ["sasl.oauthbearer.header.urlencode is ignored: librdkafka does not encode id and secret"]
    );
}

#[test]
fn assertions_are_passed_on() {
    let assertion = |name: &'static str| -> &'static str {
        Box::leak(format!("sasl.oauthbearer.assertion.{name}").into_boxed_str())
    };
    let same = [
        (assertion("claim.aud"), "a"),
        (assertion("claim.iss"), "i"),
        (assertion("claim.sub"), "s"),
        (assertion("private.key.file"), "/k.pem"),
        (assertion("private.key.passphrase"), "hunter2"),
        (assertion("claim.jti.include"), "true"),
        (assertion("claim.nbf.seconds"), "0"),
    ];
    let changed = [
        (assertion("algorithm"), "es256"),
        (assertion("claim.exp.seconds"), "0"),
        (assertion("template.file"), "/t.json"),
    ];
    let oidc = [
        ("sasl.oauthbearer.method", "oidc"),
        ENDPOINT,
        ("sasl.oauthbearer.grant.type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
    ];
    let expected = [
        (assertion("algorithm"), "ES256"),
        (assertion("claim.exp.seconds"), "1"),
        (assertion("jwt.template.file"), "/t.json"),
    ];
    let translated = accepted("", &[&[ENDPOINT, HANDLER, JWT_BEARER], &same[..], &changed[..]].concat());
    assert_eq!(translated.librdkafka, p_oauth(&[&oidc, &same[..], &expected[..]].concat()));
    assert!(!format!("{translated:?}").contains("hunter2"), "{translated:?}");

    let file = (assertion("file"), "/a.jwt");
    let translated = accepted("", &[&[ENDPOINT, JWT_BEARER, file], &same[..]].concat());
    assert_eq!(translated.librdkafka, p_oauth(&[&oidc[..], &[file]].concat()), "librdkafka refuses both");
    assert_eq!(
        refused("", &[ENDPOINT, JWT_BEARER]),
        "The OAuth configuration option sasl.oauthbearer.assertion.private.key.file value is required"
    );
}

#[test]
fn endpoints_that_do_not_work_are_refused() {
    let url = |value| ("sasl.oauthbearer.token.endpoint.url", value);
    let id = "clientId=i clientSecret=s";
    let needed = "sasl.oauthbearer.client.credentials.client";
    let rows: [(&str, Pairs, String); 11] = [
        (id, &[url("file:///t")], "sasl.oauthbearer.token.endpoint.url: file URLs are not supported".into()),
        (id, &[url("FILE:/t")], "sasl.oauthbearer.token.endpoint.url: file URLs are not supported".into()),
        (
            id,
            &[url("ftp://u:hunter2@h")],
            "sasl.oauthbearer.token.endpoint.url: only http and https URLs are supported".into(),
        ),
        (
            id,
            &[HANDLER],
            "The OAuth configuration option sasl.oauthbearer.token.endpoint.url value is required".into(),
        ),
        ("", &[ENDPOINT], format!("Invalid value null for configuration {needed}.id")),
        ("clientId=i", &[ENDPOINT], format!("Invalid value null for configuration {needed}.secret")),
        (
            "clientId=i clientSecret=' s'",
            &[ENDPOINT],
            "sasl.jaas.config: clientSecret starts with a blank, which librdkafka would drop".into(),
        ),
        (
            "clientId=i clientSecret=s extension_a='1,b=2'",
            &[ENDPOINT],
            "sasl.jaas.config: extension_a holds a comma, which librdkafka splits at".into(),
        ),
        (
            id,
            &[ENDPOINT, (RETRIEVER, "x.Y")],
            format!("{RETRIEVER} names a Java class, which cannot run here"),
        ),
        (
            id,
            &[ENDPOINT, (HANDLER.0, "x.Y")],
            "sasl.login.callback.handler.class names a Java class, which cannot run here".into(),
        ),
        (
            id,
            &[ENDPOINT, ("sasl.oauthbearer.assertion.algorithm", "HS256")],
            "Invalid value HS256 for configuration sasl.oauthbearer.assertion.algorithm: \
             String must be one of (case insensitive): ES256, RS256"
                .into(),
        ),
    ];
    for (options, more, expected) in rows {
        assert_eq!(refused(options, more), expected);
    }
    let no_curl = Features { curl: false, ..FULL_BUILD };
    assert_eq!(
        oauth(id, &[ENDPOINT], no_curl).expect_err("no HTTP"),
        "sasl.oauthbearer.token.endpoint.url needs a build with the curl feature"
    );
    assert!(oauth("unsecuredLoginStringClaim_sub=a", &[], no_curl).is_ok(), "nothing to fetch");
    assert_eq!(
        oauth(id, &[ENDPOINT], PLAIN_BUILD).expect_err("no TLS"),
        "sasl.mechanism OAUTHBEARER needs a build with the ssl feature"
    );
}
