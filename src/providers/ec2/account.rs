//! The way to an account: credentials and region as every AWS tool finds them, over our own HTTP client.

use super::Ec2Options;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::ProvideCredentials;
use aws_sdk_ec2::config::retry::RetryConfig;
use aws_smithy_http_client::{Builder, tls};

/// A client, and whose it is.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) client: Client,
    /// The region, where one was found.
    pub(super) region: Option<String>,
    /// Why there are no credentials, where there are none.
    pub(super) no_credentials: Option<String>,
}

/// Finds out the account. Asks instance and container metadata where nothing nearer says it, so it may take a few seconds.
pub(super) async fn find(options: &Ec2Options) -> Account {
    let crypto = tls::rustls_provider::CryptoMode::Ring;
    let http = Builder::new().tls_provider(tls::Provider::Rustls(crypto)).build_https();
    let pace = &options.pace;
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(pace.connect)
        .operation_attempt_timeout(pace.attempt)
        .build();
    let retries = RetryConfig::adaptive()
        .with_max_attempts(pace.attempts)
        .with_initial_backoff(pace.backoff);
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(http)
        .timeout_config(timeouts)
        .retry_config(retries);
    if let Some(region) = some(&options.region) {
        loader = loader.region(Region::new(region));
    }
    if let Some(profile) = some(&options.profile) {
        loader = loader.profile_name(profile);
    }
    if let Some(endpoint) = some(&options.endpoint) {
        loader = loader.endpoint_url(endpoint);
    }
    if let Some(credentials) = &options.credentials {
        loader = loader.credentials_provider(credentials.clone());
    }
    let shared = loader.load().await;
    let no_credentials = match shared.credentials_provider() {
        None => Some("no credentials are configured".to_owned()),
        Some(provider) => provider.provide_credentials().await.err().map(|error| {
            // The error itself only says that something went wrong.
            aws_sdk_ec2::error::DisplayErrorContext(error).to_string()
        }),
    };
    Account {
        client: Client::new(&shared),
        region: shared.region().map(ToString::to_string),
        no_credentials,
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}
