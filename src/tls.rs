//! TLS: one cryptography provider for the whole process.

/// Makes ring the provider. A program that embeds evenkeel may have chosen one before: it stays.
pub(crate) fn install_provider() {
    // An error means that there is a provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
