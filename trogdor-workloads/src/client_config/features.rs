//! What this build's librdkafka can do. A setting that needs more is refused by the name of the feature,
//! before librdkafka refuses it in words that name no remedy.

/// What librdkafka was built with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Features {
    /// TLS, and with it SCRAM and OAUTHBEARER.
    pub ssl: bool,
    /// Kerberos.
    pub gssapi: bool,
    /// HTTP, for OAUTHBEARER tokens from an endpoint.
    pub curl: bool,
    /// Compression by zstd.
    pub zstd: bool,
    /// Compression by gzip.
    pub libz: bool,
}

impl Features {
    /// The features of this build. The crate's own features say which; Kerberos brings TLS along, and zstd and
    /// gzip are always on.
    pub const fn of_this_build() -> Features {
        Features {
            ssl: cfg!(any(feature = "ssl", feature = "gssapi")),
            gssapi: cfg!(feature = "gssapi"),
            curl: cfg!(feature = "curl"),
            zstd: true,
            libz: true,
        }
    }
}
