//! Launches: what is asked for, what happens where there is no room, and that there is never a second instance.

use super::super::contract::{spec, token};
use super::arena::{Padded, options, provider};
use crate::support::cloud::{Cloud, Trouble, Weather};
use base64::Engine as _;
use greenroom::providers::ec2::Reach;
use greenroom::providers::{Observed, Provider, ProviderError};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn code(error: &ProviderError) -> (&str, bool) {
    match error {
        ProviderError::Known { fault, again } => (fault.code.as_str(), *again),
        other => panic!("{other:?} has no code"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_of_a_launch_is_said_in_the_call_itself() {
    let Some(cloud) = Cloud::start(Weather::default()).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    cloud.ask("CreateKeyPair", &[("KeyName", "people")]).await;
    let mut options = options(&cloud, folder.path());
    options.key_pair = "people".into();
    options.root_gb = 8;
    let ec2 = provider(options).await;
    let mut spec = spec(&["shop/web"]);
    spec.size = greenroom::model::stack::Size::Large;
    spec.labels.insert("owner".into(), "ada@example.org <script>".into());
    let handle = ec2.ensure(&spec, token(1)).await.unwrap();
    assert_eq!(handle.ports["shop/web"], 8000);
    let inside = handle.inside.as_ref().expect("a machine does not know its public address");
    assert_ne!(inside.address, handle.address);
    assert_eq!(handle.layout.apps, "/srv/apps");

    let calls = cloud.calls("RunInstances");
    assert_eq!(calls.len(), 1);
    let call = &calls[0].0;
    let said = |key: &str| call.get(key).map_or("", String::as_str);
    assert_eq!(said("InstanceType"), "t3.xlarge");
    assert_eq!(said("MetadataOptions.HttpTokens"), "required");
    assert_eq!(said("MetadataOptions.HttpPutResponseHopLimit"), "1");
    assert_eq!(said("KeyName"), "people");
    assert_eq!(
        said("BlockDeviceMapping.1.Ebs.VolumeSize"),
        "16",
        "the size asks for more than the settings"
    );
    assert_eq!(said("BlockDeviceMapping.1.Ebs.DeleteOnTermination"), "true");
    assert_eq!(said("BlockDeviceMapping.1.Ebs.Encrypted"), "true");
    assert_eq!(said("ClientToken").len(), 64);
    let data = base64::engine::general_purpose::STANDARD.decode(said("UserData")).unwrap();
    assert!(data.starts_with(b"#cloud-config\n"));
    let kinds: Vec<&str> = (1..=3)
        .map(|n| call[&format!("TagSpecification.{n}.ResourceType")].as_str())
        .collect();
    assert_eq!(kinds, ["instance", "volume", "network-interface"]);
    for kind in 1..=3 {
        let tags: Vec<(&str, &str)> = (1..)
            .map_while(|n| {
                let at = |what: &str| call.get(&format!("TagSpecification.{kind}.Tag.{n}.{what}"));
                Some((at("Key")?.as_str(), at("Value")?.as_str()))
            })
            .collect();
        assert!(tags.contains(&("greenroom", "greenroom-test")), "{tags:?}");
        assert!(tags.contains(&("greenroom:node", spec.node.as_str())), "{tags:?}");
        assert!(tags.contains(&("greenroom:owner", "ada@example.org _script_")), "{tags:?}");
        assert!(tags.contains(&("greenroom:ports", "8000=shop/web")), "{tags:?}");
    }
    ec2.destroy(&spec.node, token(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn user_data_that_is_too_long_is_refused_before_anything_is_asked() {
    let Some(cloud) = Cloud::start(Weather::default()).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let overhead = "#cloud-config\n# one-time ".len();
    for (length, fits) in [(16_384 - overhead, true), (16_385 - overhead, false)] {
        let mut options = options(&cloud, folder.path());
        options.first_start = Arc::new(Padded(length));
        let ec2 = provider(options).await;
        let spec = spec(&[]);
        let made = ec2.ensure(&spec, token(1)).await;
        assert_eq!(made.is_ok(), fits, "{made:?}");
        assert_eq!(cloud.calls("RunInstances").len(), 1, "what is too long is not even tried");
        ec2.destroy(&spec.node, token(1)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_there_is_no_room_the_next_type_zone_and_market_are_tried_in_order() {
    let Some(cloud) = Cloud::start(Weather::default()).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let subnets = cloud.ask("DescribeSubnets", &[]).await;
    let subnets: Vec<String> = subnets
        .split("<subnetId>")
        .skip(1)
        .take(2)
        .map(|s| s.split('<').next().unwrap().to_owned())
        .collect();
    let mut options = options(&cloud, folder.path());
    options.subnets.clone_from(&subnets);
    options.spot = true;
    options.pace.attempts = 1;
    let ec2 = provider(options).await;
    let first = spec(&[]);
    for (status, code) in [
        (500, "InsufficientInstanceCapacity"),
        (400, "InsufficientFreeAddressesInSubnet"),
        (400, "MaxSpotInstanceCountExceeded"),
        (400, "SpotMaxPriceTooLow"),
        (400, "Unsupported"),
    ] {
        cloud.trouble("RunInstances", Trouble::refuse(status, code, "Not here."), 1);
    }
    ec2.ensure(&first, token(1)).await.unwrap();
    let tried: Vec<(String, usize, bool)> = cloud
        .calls("RunInstances")
        .iter()
        .map(|(call, _)| {
            let subnet = subnets
                .iter()
                .position(|s| *s == call["NetworkInterface.1.SubnetId"])
                .unwrap();
            (
                call["InstanceType"].clone(),
                subnet,
                call.contains_key("InstanceMarketOptions.MarketType"),
            )
        })
        .collect();
    let wanted = [
        ("t3.small", 0, true),
        ("t3.small", 1, true),
        ("t3a.small", 0, true),
        ("t3a.small", 1, true),
        ("t3.small", 0, false),
        ("t3.small", 1, false),
    ];
    assert_eq!(tried, wanted.map(|(name, subnet, spot)| (name.to_owned(), subnet, spot)));
    let tokens: BTreeSet<String> = cloud
        .calls("RunInstances")
        .iter()
        .map(|(call, _)| call["ClientToken"].clone())
        .collect();
    assert_eq!(tokens.len(), 6, "another question has another token");

    // Nowhere at all: that is said, and passes.
    let second = spec(&[]);
    cloud.trouble(
        "RunInstances",
        Trouble::refuse(500, "InsufficientInstanceCapacity", "Not here."),
        8,
    );
    let error = ec2.ensure(&second, token(1)).await.unwrap_err();
    assert_eq!(code(&error), ("ec2-capacity", true));
    ec2.ensure(&second, token(1)).await.unwrap();
    for node in [&first.node, &second.node] {
        ec2.destroy(node, token(1)).await.unwrap();
        assert_eq!(cloud.tagged("greenroom:node", node.as_str()).await, [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_hundred_launches_at_once_none_is_doubled_and_none_is_left() {
    const COUNT: usize = 200;
    let Some(cloud) = Cloud::start(Weather::default()).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(&cloud, folder.path());
    options.pace.spacing = Duration::from_millis(500);
    options.pace.attempts = 1;
    let ec2 = provider(options.clone()).await;
    cloud.weather(Weather {
        storm: Some(9),
        ..Weather::default()
    });
    // Answers that stay lost: these callers fail, and come again as after a restart of the server.
    cloud.trouble("RunInstances", Trouble::DropAfter, 20);
    let specs: Vec<_> = (0..COUNT).map(|_| spec(&["shop/web"])).collect();
    let began = Instant::now();
    let launch = async |ec2: &greenroom::providers::ec2::Ec2| {
        let launches = specs.iter().map(|spec| ec2.ensure(spec, token(1)));
        futures_util::future::join_all(launches).await
    };
    let first = launch(&ec2).await;
    let failed = first.iter().filter(|made| made.is_err()).count();
    let again = provider(options).await;
    let mut made = Vec::new();
    for _ in 0..8 {
        made = launch(&again).await;
        if made.iter().all(Result::is_ok) {
            break;
        }
    }
    let ids: BTreeSet<String> = made.into_iter().map(|handle| handle.unwrap().external_id).collect();
    assert_eq!(ids.len(), COUNT);
    let there = cloud.tagged("greenroom", "greenroom-test").await;
    let instances = there.iter().filter(|line| line.starts_with("i-")).count();
    assert_eq!(instances, COUNT, "{failed} failed at first; {:?}", began.elapsed());
    assert!(failed >= 20, "only {failed} answers were lost");
    cloud.weather(Weather::default());
    let destroyed = futures_util::future::join_all(specs.iter().map(|spec| again.destroy(&spec.node, token(1)))).await;
    assert!(
        destroyed.iter().all(Result::is_ok),
        "{:?}",
        destroyed.iter().find(|d| d.is_err())
    );
    assert_eq!(cloud.tagged("greenroom", "greenroom-test").await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_was_ended_behind_our_back_is_gone_and_the_node_gets_another() {
    let Some(cloud) = Cloud::start(Weather::default()).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let ec2 = provider(options(&cloud, folder.path())).await;
    let spec = spec(&["shop/web"]);
    let first = ec2.ensure(&spec, token(1)).await.unwrap();
    cloud.ask("TerminateInstances", &[("InstanceId.1", &first.external_id)]).await;
    assert_eq!(ec2.observe(&spec.node).await.unwrap(), Observed::Gone);
    assert_eq!(ec2.revive(&spec.node).await.unwrap(), Observed::Gone);
    assert!(ec2.list_owned().await.unwrap().is_empty());
    let second = ec2.ensure(&spec, token(1)).await.unwrap();
    assert_ne!(
        second.external_id, first.external_id,
        "its token would have given back the one that is gone"
    );
    cloud
        .ask("TerminateInstances", &[("InstanceId.1", &second.external_id)])
        .await;
    ec2.destroy(&spec.node, token(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_is_only_seen_later_is_not_taken_for_gone() {
    let weather = Weather {
        blind: Duration::from_millis(300),
        ..Weather::default()
    };
    let Some(cloud) = Cloud::start(weather).await else { return };
    let folder = tempfile::tempdir().unwrap();
    let ec2 = provider(options(&cloud, folder.path())).await;
    let spec = spec(&[]);
    // It is launched, nobody hears of it, and it does not show yet: destroying must wait for it.
    cloud.trouble("RunInstances", Trouble::DropAfter, 5);
    let error = ec2.ensure(&spec, token(1)).await.unwrap_err();
    assert_eq!(code(&error), ("ec2-unreachable", true));
    ec2.destroy(&spec.node, token(1)).await.unwrap();
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(cloud.tagged("greenroom:node", spec.node.as_str()).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_launch_that_was_begun_with_other_settings_is_adopted() {
    let Some(cloud) = Cloud::start(Weather::default()).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut first = options(&cloud, folder.path());
    let mut second = first.clone();
    first.root_gb = 20;
    second.root_gb = 30;
    first.pace.attempts = 1;
    second.pace.settle = Duration::from_secs(30);
    cloud.weather(Weather {
        blind: Duration::from_secs(2),
        ..Weather::default()
    });
    let spec = spec(&[]);
    cloud.trouble("RunInstances", Trouble::DropAfter, 1);
    provider(first).await.ensure(&spec, token(1)).await.unwrap_err();
    let ec2 = provider(second).await;
    let error = ec2.ensure(&spec, token(1)).await.unwrap_err();
    assert_eq!(code(&error), ("ec2-mismatch", true));
    tokio::time::sleep(Duration::from_secs(2)).await;
    ec2.ensure(&spec, token(1)).await.unwrap();
    let there = cloud.tagged("greenroom:node", spec.node.as_str()).await;
    assert_eq!(there.iter().filter(|line| line.starts_with("i-")).count(), 1, "{there:?}");
    ec2.destroy(&spec.node, token(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_elastic_address_is_got_once_kept_over_sleep_and_given_back() {
    let Some(cloud) = Cloud::start(Weather::default()).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(&cloud, folder.path());
    options.reach = Reach::Elastic;
    options.pace.attempts = 1;
    let ec2 = provider(options).await;
    let spec = spec(&["shop/web"]);
    cloud.trouble("AllocateAddress", Trouble::DropAfter, 1);
    ec2.ensure(&spec, token(1)).await.unwrap_err();
    let handle = ec2.ensure(&spec, token(1)).await.unwrap();
    assert_eq!(cloud.calls("AllocateAddress").len(), 1);
    ec2.stop(&spec.node, token(1)).await.unwrap();
    let started = ec2.start(&spec.node, token(1)).await.unwrap();
    assert_eq!(started.address, handle.address);
    ec2.destroy(&spec.node, token(1)).await.unwrap();
    assert_eq!(cloud.tagged("greenroom:node", spec.node.as_str()).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_listing_answers_everybody_who_looks() {
    let Some(cloud) = Cloud::start(Weather::default()).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(&cloud, folder.path());
    options.pace.fresh = Duration::from_secs(60);
    let ec2 = provider(options).await;
    let specs: Vec<_> = (0..12).map(|_| spec(&[])).collect();
    for made in futures_util::future::join_all(specs.iter().map(|spec| ec2.ensure(spec, token(1)))).await {
        made.unwrap();
    }
    let before = cloud.calls("DescribeInstances").len();
    for _ in 0..10 {
        for spec in &specs {
            assert_eq!(ec2.observe(&spec.node).await.unwrap(), Observed::Running);
        }
    }
    let asked = cloud.calls("DescribeInstances").len() - before;
    assert!(asked <= 1, "{asked} listings for 120 looks");
    for spec in &specs {
        ec2.destroy(&spec.node, token(1)).await.unwrap();
    }
}
