//! EC2 instances, at a real EC2 API server behind a proxy that brings the weather.

mod account;
mod arena;
mod errors;
mod launches;

use super::contract::keeps_the_contract;
use crate::support::cloud::{Cloud, Weather};
use arena::Ec2Arena;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn instances_keep_the_contract() {
    let Some(cloud) = Cloud::start(Weather::default()).await else {
        return;
    };
    keeps_the_contract(&Ec2Arena::new(cloud).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_keep_the_contract_where_nothing_happens_at_once() {
    let weather = Weather {
        slow: Duration::from_millis(150),
        blind: Duration::from_millis(150),
        page: Some(5),
        storm: None,
    };
    let Some(cloud) = Cloud::start(weather).await else { return };
    keeps_the_contract(&Ec2Arena::new(cloud).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_keep_the_contract_in_a_storm() {
    let Some(cloud) = Cloud::start(Weather::default()).await else {
        return;
    };
    let arena = Ec2Arena::new(cloud.clone()).await;
    cloud.weather(Weather {
        slow: Duration::from_millis(60),
        blind: Duration::from_millis(60),
        page: Some(5),
        // Every fourth call; one that goes wrong is made again, up to five times.
        storm: Some(4),
    });
    keeps_the_contract(&arena).await;
}
