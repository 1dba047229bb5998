//! The check of an account, before anyone launches.

use super::super::contract::{spec, token};
use super::arena::{options, provider};
use crate::support::cloud::{Cloud, Trouble, Weather};
use greenroom::providers::{Finding, Provider};

fn find<'a>(all: &'a [Finding], what: &str) -> &'a Finding {
    all.iter()
        .find(|finding| finding.what.contains(what))
        .unwrap_or_else(|| panic!("nothing of {what} in {all:#?}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_has_everything_is_good_and_nothing_was_made() {
    let Some(cloud) = Cloud::start(Weather::default()).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let ec2 = provider(options(&cloud, folder.path())).await;
    let spec = spec(&[]);
    ec2.ensure(&spec, token(1)).await.unwrap();
    let all = ec2.check().await;
    let bad: Vec<&Finding> = all.iter().filter(|finding| finding.ok == Some(false)).collect();
    assert!(bad.is_empty(), "{bad:#?}");
    for what in [
        "server's address",
        "credentials",
        "region us-east-1",
        "image",
        "default network",
        "types for small",
        "launching a t3.small",
        "DescribeInstances",
        "TerminateInstances",
        "CreateImage",
    ] {
        assert_eq!(find(&all, what).ok, Some(true), "{what}: {all:#?}");
    }
    assert_eq!(find(&all, "quota").ok, None, "what cannot be known is not said to be good");
    let there = cloud.tagged("greenroom", "greenroom-test").await;
    assert_eq!(there.iter().filter(|line| line.starts_with("i-")).count(), 1);
    assert!(there[0].ends_with("running"), "{there:?}");
    ec2.destroy(&spec.node, token(1)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_is_missing_is_told_in_one_pass() {
    let Some(cloud) = Cloud::start(Weather::default()).await else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut wrong = options(&cloud, folder.path());
    wrong.server_url = "http://localhost:7400".into();
    wrong.subnets = vec!["subnet-0badbad0".into()];
    wrong.security_groups = vec!["sg-0badbad0".into()];
    wrong.key_pair = "nobodys".into();
    wrong.types[0] = vec!["z9.mega".into()];
    let said = "You are not authorized to perform this operation. User: arn:aws:iam::1:user/gr is not authorized to perform: \
                ec2:RunInstances on resource: arn:aws:ec2:us-east-1:1:instance/*. Encoded authorization failure message: AAAA";
    cloud.trouble("RunInstances", Trouble::refuse(403, "UnauthorizedOperation", said), 1);
    let all = provider(wrong).await.check().await;
    for (what, next) in [
        ("server's address", "agents.url"),
        ("subnet-0badbad0", "ec2.subnets"),
        ("sg-0badbad0", "ec2.security_groups"),
        ("key pair nobodys", "ec2.key_pair"),
        ("types for small", "ec2.types_small"),
        ("launching", "`ec2:RunInstances` on `arn:aws:ec2:us-east-1:1:instance/*`"),
    ] {
        let finding = find(&all, what);
        assert_eq!(finding.ok, Some(false), "{finding:?}");
        assert!(finding.next.contains(next), "{finding:?}");
    }
    assert_eq!(find(&all, "types for large").ok, Some(true), "what is good is said too");

    let mut elsewhere = options(&cloud, folder.path());
    elsewhere.image = "self/no-such-*".into();
    let all = provider(elsewhere).await.check().await;
    assert_eq!(find(&all, "image").ok, Some(false));
}
