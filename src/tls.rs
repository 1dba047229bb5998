//! One crypto provider for the whole process: ring, chosen once, before the first client is made.

/// Makes ring the process's crypto provider. A second call changes nothing.
pub fn install() {
    let _ = rustls::crypto::ring::default_provider().install_default();
}
