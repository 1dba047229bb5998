//! What people are told when EC2 says no: through the real SDK, from the wire to a coded fault.

use super::super::contract::{spec, token};
use super::arena::{options, provider};
use crate::support::cloud::{Cloud, Trouble, Weather};
use greenroom::model::fault::Fault;
use greenroom::providers::{Observed, Provider, ProviderError};

fn fault(error: ProviderError) -> (Fault, bool) {
    match error {
        ProviderError::Known { fault, again } => (*fault, again),
        other => panic!("{other:?} has no code"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_has_a_code_the_clouds_own_words_and_a_next_action() {
    let Some(cloud) = Cloud::start(Weather::default()).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(&cloud, folder.path());
    options.pace.attempts = 1;
    let ec2 = provider(options).await;
    for (status, code, wanted, again) in [
        (403, "UnauthorizedOperation", "ec2-permission", false),
        (401, "AuthFailure", "ec2-credentials", false),
        (400, "RequestExpired", "ec2-clock", false),
        (401, "OptInRequired", "ec2-account", false),
        (400, "VcpuLimitExceeded", "ec2-quota", true),
        (400, "InvalidSubnetID.NotFound", "ec2-setting", false),
        (400, "InvalidParameterCombination", "ec2-setting", false),
        (503, "RequestLimitExceeded", "ec2-throttled", true),
        (500, "InternalError", "ec2-unreachable", true),
        (400, "SomethingNew", "provider-refused", false),
    ] {
        let spec = spec(&[]);
        // Once for each type that is tried.
        cloud.trouble("RunInstances", Trouble::refuse(status, code, "So it is."), 2);
        let (fault, may) = fault(ec2.ensure(&spec, token(1)).await.unwrap_err());
        cloud.calm();
        assert_eq!((fault.code.as_str(), may), (wanted, again), "{code}: {fault:?}");
        assert!(
            fault.why.contains(code) && fault.why.contains("So it is") && fault.why.contains("request-1"),
            "{fault:?}"
        );
        assert!(!fault.next.is_empty());
        ec2.destroy(&spec.node, token(1)).await.unwrap();
        assert_eq!(ec2.observe(&spec.node).await.unwrap(), Observed::Gone);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_moto_refuses_itself_is_understood() {
    let Some(cloud) = Cloud::start(Weather::default()).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let good = options(&cloud, folder.path());
    let mut no_image = good.clone();
    no_image.image = "ami-0badbadbadbadbad0".into();
    let mut no_key = good.clone();
    no_key.key_pair = "nobodys".into();
    let mut no_type = good.clone();
    no_type.types[0] = vec!["z9.mega".into()];
    let mut no_types = good.clone();
    no_types.types[0].clear();
    for (wrong, named) in [
        (no_image, "ec2.image"),
        (no_key, "ec2.key_pair"),
        (no_type, "ec2.types_small"),
        (no_types, "ec2.types_small"),
    ] {
        let (fault, again) = fault(provider(wrong).await.ensure(&spec(&[]), token(1)).await.unwrap_err());
        assert_eq!((fault.code.as_str(), again), ("ec2-setting", false), "{fault:?}");
        assert!(fault.next.contains(named), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_protected_instance_stays_until_someone_lifts_that() {
    let Some(cloud) = Cloud::start(Weather::default()).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let ec2 = provider(options(&cloud, folder.path())).await;
    let spec = spec(&[]);
    let id = ec2.ensure(&spec, token(1)).await.unwrap().external_id;
    cloud.protect(&id, true);
    let (fault, again) = fault(ec2.destroy(&spec.node, token(1)).await.unwrap_err());
    assert_eq!((fault.code.as_str(), again), ("ec2-protected", false));
    assert_eq!(ec2.observe(&spec.node).await.unwrap(), Observed::Running);
    cloud.protect(&id, false);
    ec2.destroy(&spec.node, token(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_is_away_is_called_so() {
    let Some(cloud) = Cloud::start(Weather::default()).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(&cloud, folder.path());
    options.endpoint = "http://127.0.0.1:9".into();
    let ec2 = provider(options).await;
    let (fault, again) = fault(ec2.ensure(&spec(&[]), token(1)).await.unwrap_err());
    assert_eq!((fault.code.as_str(), again), ("ec2-unreachable", true), "{fault:?}");
    let error = ec2.list_owned().await.unwrap_err();
    assert!(error.to_string().contains("EC2 could not list the instances"), "{error}");
}
