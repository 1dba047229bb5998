//! Whether launches can work, before anyone launches: credentials, permissions, image, types, network, the server's own address.
//! What changes something is only tried (EC2's `DryRun`), so nothing is made and nothing costs.

use super::super::{Bootstrap, Finding, NodeSpec, ProviderError};
use super::errors::{self, Failed};
use super::launch::Base;
use super::{Inner, Reach, tags};
use crate::model::fault::Fault;
use crate::model::id::{NodeId, StackId};
use crate::model::stack::Size;
use aws_sdk_ec2::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;
use aws_sdk_ec2::types::{Filter, LocationType, ResourceType, Subnet};
use std::collections::{BTreeMap, BTreeSet};

const SIZES: [Size; 3] = [Size::Small, Size::Medium, Size::Large];
const POLICY: &str = "docs/ec2.md has the whole policy";

impl Inner {
    /// See the module.
    pub(super) async fn check(&self) -> Vec<Finding> {
        let mut found = vec![self.address_of_server(), self.credentials(), self.region()];
        if found[1..].iter().any(|finding| finding.ok == Some(false)) {
            return found;
        }
        let base = self.image(&mut found).await;
        let subnets = self.subnets(&mut found).await;
        self.groups(&subnets, &mut found).await;
        self.key_pair(&mut found).await;
        self.types(&subnets, &mut found).await;
        self.launches(base, &mut found).await;
        self.other_permissions(&mut found).await;
        found.push(Finding::unknown(
            "quota of virtual processors",
            "EC2 does not tell it before a launch goes over it",
            "Look at \"Running On-Demand Standard instances\" under Service Quotas in the AWS console",
        ));
        found
    }

    fn address_of_server(&self) -> Finding {
        let url = &self.options.server_url;
        let what = format!("the server's address, {url}");
        let host = url.split("://").nth(1).unwrap_or_default();
        let here = ["localhost", "127.", "[::1]", "0.0.0.0"]
            .iter()
            .any(|start| host.starts_with(start));
        if here || host.is_empty() {
            let next = "Set agents.url (or server.public_url) to the address that instances reach this server at";
            return Finding::bad(what, "no instance reaches that", next);
        }
        Finding::good(what, "instances must reach it; the first launch shows whether they do")
    }

    fn credentials(&self) -> Finding {
        match &self.account.no_credentials {
            None => Finding::good("credentials", "found"),
            Some(why) => {
                let fault = Fault::new("ec2-credentials", "");
                Finding::bad("credentials", why.chars().take(300).collect::<String>(), fault.next)
            }
        }
    }

    fn region(&self) -> Finding {
        match &self.account.region {
            Some(region) => Finding::good(format!("region {region}"), "set"),
            None => Finding::bad("region", "none is set", "Set ec2.region, or AWS_REGION"),
        }
    }

    async fn image(&self, found: &mut Vec<Finding>) -> Option<Base> {
        let what = format!("image {}", self.options.image);
        match self.find_image(&self.options.image).await {
            Ok(Some(image)) => {
                let architecture = image.architecture().map(aws_sdk_ec2::types::ArchitectureValues::as_str);
                let ours = if cfg!(target_arch = "aarch64") { "arm64" } else { "x86_64" };
                let id = image.image_id().unwrap_or_default();
                found.push(match architecture {
                    Some(architecture) if architecture != ours => {
                        let why =
                            format!("{id} is for {architecture}, and the agent's program, which is this server's, for {ours}");
                        Finding::bad(what, why, format!("Set ec2.image to one for {ours}"))
                    }
                    _ => Finding::good(what, format!("{id}, {}", image.name().unwrap_or("without a name"))),
                });
                Some(Base {
                    id: id.to_owned(),
                    root_device: image.root_device_name().unwrap_or("/dev/xvda").to_owned(),
                })
            }
            Ok(None) => {
                let next = "Set ec2.image to an image's id, or to OWNER/NAME with stars in the name";
                found.push(Finding::bad(what, "there is none in this region", next));
                None
            }
            Err(error) => {
                found.push(refused(what, &error));
                None
            }
        }
    }

    async fn subnets(&self, found: &mut Vec<Finding>) -> Vec<Subnet> {
        let mut all = Vec::new();
        if self.options.subnets.is_empty() {
            let default = Filter::builder().name("default-for-az").values("true").build();
            match self.client().describe_subnets().filters(default).send().await {
                Ok(answer) if answer.subnets().is_empty() => found.push(Finding::bad(
                    "the default network's subnets",
                    "this region has no default network",
                    "Set ec2.subnets",
                )),
                Ok(answer) => {
                    let why = format!("EC2 chooses one of {}", answer.subnets().len());
                    found.push(Finding::good("the default network's subnets", why));
                    all = answer.subnets.unwrap_or_default();
                }
                Err(error) => found.push(failed("permission ec2:DescribeSubnets", "list subnets", &error)),
            }
        }
        for id in &self.options.subnets {
            let what = format!("subnet {id}");
            match self.client().describe_subnets().subnet_ids(id).send().await {
                Ok(answer) => {
                    for subnet in answer.subnets.unwrap_or_default() {
                        found.push(Self::subnet(&what, &subnet));
                        all.push(subnet);
                    }
                }
                Err(error) => found.push(failed(&what, "look at the subnet", &error)),
            }
        }
        all
    }

    fn subnet(what: &str, subnet: &Subnet) -> Finding {
        let free = subnet.available_ip_address_count().unwrap_or(0);
        if free == 0 {
            return Finding::bad(what, "it has no free addresses", Fault::new("ec2-subnet-full", "").next);
        }
        let zone = subnet.availability_zone().unwrap_or("an unknown zone");
        Finding::good(what, format!("in {zone}, {free} free addresses"))
    }

    async fn groups(&self, subnets: &[Subnet], found: &mut Vec<Finding>) {
        let networks: BTreeSet<&str> = subnets.iter().filter_map(Subnet::vpc_id).collect();
        if networks.len() > 1 {
            let next = "Set ec2.subnets to subnets of one network";
            found.push(Finding::bad(
                "one network",
                format!("the subnets are in {}", networks.len()),
                next,
            ));
        }
        for id in &self.options.security_groups {
            let what = format!("security group {id}");
            let groups = match self.client().describe_security_groups().group_ids(id).send().await {
                Ok(answer) => answer.security_groups.unwrap_or_default(),
                Err(error) => {
                    found.push(failed(&what, "look at the security group", &error));
                    continue;
                }
            };
            for group in groups {
                let elsewhere = group
                    .vpc_id()
                    .filter(|network| !networks.is_empty() && !networks.contains(network));
                if let Some(network) = elsewhere {
                    let why = format!("it is in {network}, where none of the subnets is");
                    found.push(Finding::bad(
                        &what,
                        why,
                        "Set ec2.security_groups to groups of the subnets' own network",
                    ));
                    continue;
                }
                let port = i32::from(self.options.first_port);
                let open = group.ip_permissions().iter().any(|rule| {
                    let all = rule.ip_protocol() == Some("-1");
                    all || (rule.from_port().unwrap_or(0) <= port && port <= rule.to_port().unwrap_or(0))
                });
                found.push(if open {
                    Finding::good(&what, format!("it lets something in at port {port}"))
                } else {
                    let next =
                        format!("Let the server and its people in at ports {port} and up, in this or another of the groups");
                    Finding::unknown(&what, format!("it lets nothing in at port {port}, where apps are"), next)
                });
            }
        }
    }

    async fn key_pair(&self, found: &mut Vec<Finding>) {
        let name = &self.options.key_pair;
        if name.is_empty() {
            return;
        }
        let what = format!("key pair {name}");
        match self.client().describe_key_pairs().key_names(name).send().await {
            Ok(_) => found.push(Finding::good(what, "found")),
            Err(error) => found.push(failed(&what, "look at the key pair", &error)),
        }
    }

    async fn types(&self, subnets: &[Subnet], found: &mut Vec<Finding>) {
        let wanted: BTreeSet<String> = self.options.types.iter().flatten().cloned().collect();
        let zones: BTreeSet<String> = subnets
            .iter()
            .filter_map(|s| s.availability_zone().map(str::to_owned))
            .collect();
        let by = |name: &str, values: Vec<String>| Filter::builder().name(name).set_values(Some(values)).build();
        let mut asked = self
            .client()
            .describe_instance_type_offerings()
            .location_type(LocationType::AvailabilityZone);
        asked = asked.filters(by("instance-type", wanted.iter().cloned().collect()));
        if !zones.is_empty() {
            asked = asked.filters(by("location", zones.iter().cloned().collect()));
        }
        let mut pages = asked.into_paginator().send();
        let mut offered = BTreeSet::new();
        while let Some(page) = pages.next().await {
            match page {
                Ok(page) => {
                    let types = page
                        .instance_type_offerings()
                        .iter()
                        .filter_map(|offer| offer.instance_type());
                    offered.extend(types.map(|one| one.as_str().to_owned()));
                }
                Err(error) => {
                    found.push(failed(
                        "permission ec2:DescribeInstanceTypeOfferings",
                        "list the instance types",
                        &error,
                    ));
                    return;
                }
            }
        }
        for size in SIZES {
            let types = self.options.types_of(size);
            let (there, missing): (Vec<_>, Vec<_>) = types.iter().partition(|one| offered.contains(one.as_str()));
            let what = format!("types for {size} nodes");
            let names = |all: &[&String]| all.iter().map(|one| one.as_str()).collect::<Vec<_>>().join(", ");
            let next = format!("Correct ec2.types_{size}");
            found.push(match (there.is_empty(), missing.is_empty()) {
                (true, _) => Finding::bad(what, format!("the zones offer none of: {}", names(&missing)), next),
                (false, true) => Finding::good(what, names(&there)),
                (false, false) => Finding::unknown(what, format!("{}; not offered: {}", names(&there), names(&missing)), next),
            });
        }
    }

    // The very call of a launch, only tried: it takes the permissions to pass the profile and to tag, too.
    async fn launches(&self, base: Option<Base>, found: &mut Vec<Finding>) {
        let Some(base) = base else { return };
        let spec = NodeSpec {
            node: NodeId::from_bits(0),
            stack: StackId::from_bits(0),
            stack_name: "check".to_owned(),
            size: Size::Small,
            ports: Vec::new(),
            readable: Vec::new(),
            labels: BTreeMap::new(),
            image: None,
            bootstrap: Bootstrap {
                server_url: String::new(),
                token: String::new(),
            },
        };
        let mut tried = BTreeSet::new();
        for choice in self.choices(&spec) {
            // One type for each subnet and market: permissions do not tell types apart as a rule.
            if !tried.insert((choice.subnet.clone(), choice.spot)) {
                continue;
            }
            let call = self.call(&spec, &BTreeMap::new(), &base, &choice);
            let what = format!("launching a {choice}");
            found.push(tried_to(what, "launch", call.dry_run(true).send().await));
        }
    }

    async fn other_permissions(&self, found: &mut Vec<Finding>) {
        match self.look().await {
            Ok(fleet) => {
                let count = fleet.values().map(Vec::len).sum::<usize>();
                found.push(Finding::good(
                    "permission ec2:DescribeInstances",
                    format!("{count} instances of ours"),
                ));
                self.orders(fleet.values().flatten().next().map(|seen| seen.id.as_str()), found)
                    .await;
            }
            Err(error) => found.push(refused("permission ec2:DescribeInstances".to_owned(), &error)),
        }
        match self.beside().await {
            Ok(_) => found.push(Finding::good(
                "permissions ec2:DescribeAddresses and ec2:DescribeVolumes",
                "granted",
            )),
            Err(error) => found.push(refused(
                "permissions ec2:DescribeAddresses and ec2:DescribeVolumes".to_owned(),
                &error,
            )),
        }
        if self.options.reach == Reach::Elastic {
            let owned = [tags::tag(tags::OWNER, &self.options.owner)];
            let asked = self.client().allocate_address().dry_run(true);
            let asked = asked.set_tag_specifications(Some(tags::on(&[ResourceType::ElasticIp], &owned)));
            found.push(tried_to(
                "permission ec2:AllocateAddress".to_owned(),
                "get an elastic address",
                asked.send().await,
            ));
        }
    }

    // These are allowed by the tags of what they are for, so they can only be tried on something of ours.
    async fn orders(&self, instance: Option<&str>, found: &mut Vec<Finding>) {
        let Some(id) = instance else {
            let names = "permissions ec2:StopInstances, StartInstances, TerminateInstances and CreateImage";
            found.push(Finding::unknown(names, "there is no instance of ours to try them on", POLICY));
            return;
        };
        let client = self.client();
        let stopped = client.stop_instances().instance_ids(id).dry_run(true).send().await;
        found.push(tried_to("permission ec2:StopInstances".to_owned(), "stop instances", stopped));
        let started = client.start_instances().instance_ids(id).dry_run(true).send().await;
        found.push(tried_to(
            "permission ec2:StartInstances".to_owned(),
            "start instances",
            started,
        ));
        let ended = client.terminate_instances().instance_ids(id).dry_run(true).send().await;
        found.push(tried_to(
            "permission ec2:TerminateInstances".to_owned(),
            "end instances",
            ended,
        ));
        let name = format!("{}-check", self.options.owner);
        let baked = client.create_image().instance_id(id).name(name).dry_run(true).send().await;
        found.push(tried_to("permission ec2:CreateImage".to_owned(), "make images", baked));
    }
}

fn tried_to<T, E, R>(what: String, doing: &str, answer: Result<T, SdkError<E, R>>) -> Finding
where
    E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    match answer.map_err(|error| errors::failed(doing, &error)) {
        Ok(_) => Finding::good(what, "granted"),
        Err(failed) if failed.was_tried() => Finding::good(what, "granted"),
        Err(failed) => of(what, failed),
    }
}

fn failed<E, R>(what: &str, doing: &str, error: &SdkError<E, R>) -> Finding
where
    E: ProvideErrorMetadata + RequestId + std::error::Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    of(what.to_owned(), errors::failed(doing, error))
}

fn of(what: String, failed: Failed) -> Finding {
    Finding::bad(what, failed.fault.why, failed.fault.next)
}

fn refused(what: String, error: &ProviderError) -> Finding {
    match error {
        ProviderError::Known { fault, .. } => Finding::bad(what, fault.why.clone(), fault.next.clone()),
        other => Finding::bad(what, other.to_string(), ""),
    }
}
