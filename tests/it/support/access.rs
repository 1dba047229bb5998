//! A way in: tokens made straight in the database of a server that is not running.

use greenroom::clock::{SystemClock, SystemIds};
use greenroom::config::Settings;
use greenroom::control::{Control, Parts};
use greenroom::git::Mirrors;
use greenroom::plans::Bundles;
use greenroom::providers::Providers;
use greenroom::recipes::bundle::Bundle;
use greenroom::store::Store;
use greenroom::wire::auth::NewToken;
use std::sync::Arc;

/// Makes the first account of this database, which is an admin, and a token of it.
pub async fn token(url: &str) -> String {
    let store = Store::open(url, Arc::new(SystemClock), Arc::new(SystemIds)).await.unwrap();
    let control = Control::new(Parts {
        store: store.clone(),
        settings: Arc::new(Settings::default()),
        providers: Providers::default(),
        mirrors: Mirrors::new("/nonexistent"),
        bundles: Bundles::open(store.clone(), &Bundle::shipped(), "shipped").await.unwrap(),
        postgres: None,
    });
    let link = control.first_link().await.unwrap().expect("the database is new");
    let session = control.sign_in_with_link(link.url.rsplit('/').next().unwrap()).await.unwrap();
    let admin = control.authenticate_session(&session).await.unwrap();
    let request = NewToken {
        name: "test".into(),
        role: None,
        expires_in: None,
    };
    let token = control.create_token(&admin, &request).await.unwrap().secret.unwrap();
    store.close().await;
    token
}
