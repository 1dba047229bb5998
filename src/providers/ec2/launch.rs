//! Launching an instance so that there is never a second one. What is asked is on disk before it is asked, under a token made of
//! what is asked; where the answer is lost, exactly the same is asked again. Only a clear no leads to the next choice.

use super::super::{NodeSpec, ProviderError};
use super::errors::{self, Failed, Then};
use super::record::{self, Choice, Record};
use super::{Inner, tags};
use crate::model::fault::Fault;
use crate::model::secret;
use aws_sdk_ec2::operation::run_instances::builders::RunInstancesFluentBuilder;
use aws_sdk_ec2::types::{
    BlockDeviceMapping, EbsBlockDevice, HttpTokensState, IamInstanceProfileSpecification, InstanceInterruptionBehavior,
    InstanceMarketOptionsRequest, InstanceMetadataEndpointState, InstanceMetadataOptionsRequest,
    InstanceNetworkInterfaceSpecification, InstanceType, MarketType, ResourceType, ShutdownBehavior, SpotInstanceType,
    SpotMarketOptions, VolumeType,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::collections::BTreeMap;

/// The most that EC2 takes, before it is written in base64.
pub(super) const LONGEST_USER_DATA: usize = 16 * 1024;

/// An image to start from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    pub(super) id: String,
    pub(super) root_device: String,
}

impl Inner {
    /// Launches an instance for a node that has none; gives its id.
    pub(super) async fn launch(&self, spec: &NodeSpec, ports: &BTreeMap<String, u16>) -> Result<String, ProviderError> {
        let base = self.base(spec.image.as_deref()).await?;
        let user_data = self.user_data(spec).await?;
        let mut record = record::read(&self.root, &spec.node)?;
        // What may have been done comes first, and nothing else before it is clear.
        let mut choices = self.choices(spec);
        if let Some(asked) = record.asked.take() {
            choices.retain(|choice| *choice != asked);
            choices.insert(0, asked);
        }
        let mut last = None;
        for choice in choices {
            record.asked = Some(choice.clone());
            record.asked_at = super::now();
            record.instance = None;
            record::write(&self.root, &spec.node, &record)?;
            self.point("asked")?;
            let token = token(&self.options.owner, spec, &record, &choice);
            let call = self
                .call(spec, ports, &base, &choice)
                .user_data(&user_data)
                .client_token(token);
            let _place = self.launches.acquire().await;
            match call.send().await {
                Ok(answer) => {
                    self.point("answered")?;
                    let id = answer.instances().first().and_then(|instance| instance.instance_id());
                    let Some(id) = id else {
                        return Err(ProviderError::Retry {
                            why: "EC2 launched an instance and did not say which".to_owned(),
                        });
                    };
                    record.instance = Some(id.to_owned());
                    record::write(&self.root, &spec.node, &record)?;
                    self.point("recorded")?;
                    tracing::info!(node = %spec.node, instance = id, %choice, "launched");
                    return Ok(id.to_owned());
                }
                Err(error) => {
                    let failed = errors::failed(&format!("launch a {choice}"), &error);
                    match failed.then {
                        Then::Elsewhere => {
                            tracing::info!(node = %spec.node, %choice, why = %failed.fault.why, "no room");
                            last = Some(failed);
                        }
                        // Nothing came of it, and what comes next may be asked differently.
                        Then::Stop => {
                            record.asked = None;
                            record::write(&self.root, &spec.node, &record)?;
                            return Err(failed.into());
                        }
                        Then::Later
                            if failed.code == "IdempotentParameterMismatch" || failed.code == "IdempotentInstanceTerminated" =>
                        {
                            return Err(self.mismatched(spec, record, failed)?);
                        }
                        Then::Later | Then::Unknown => return Err(failed.into()),
                    }
                }
            }
        }
        record.asked = None;
        record::write(&self.root, &spec.node, &record)?;
        Err(last.map_or_else(
            || {
                let fault = Fault::new("ec2-setting", "EC2 could not launch an instance");
                let fault = fault.why(format!("the settings name no instance type for a {} node", spec.size));
                ProviderError::Known {
                    fault: Box::new(fault.next("Set ec2.types_small, types_medium and types_large")),
                    again: false,
                }
            },
            ProviderError::from,
        ))
    }

    // An instance was launched with this token and is not to be seen: it will be, or it is gone. Once it would show, the next
    // launch gets another token.
    fn mismatched(&self, spec: &NodeSpec, mut record: Record, failed: Failed) -> Result<ProviderError, ProviderError> {
        if self.is_settled(&record) {
            record.generation += 1;
            record.asked = None;
            record::write(&self.root, &spec.node, &record)?;
        }
        Ok(failed.into())
    }

    async fn user_data(&self, spec: &NodeSpec) -> Result<String, ProviderError> {
        let made = self.options.first_start.user_data(spec).await;
        let text = made.map_err(|why| ProviderError::Retry {
            why: format!("the user-data cannot be made: {why}"),
        })?;
        if text.len() > LONGEST_USER_DATA {
            return Err(ProviderError::Denied {
                why: format!("the user-data has {} bytes and EC2 takes {LONGEST_USER_DATA}", text.len()),
            });
        }
        Ok(STANDARD.encode(text))
    }

    /// What is tried, in order: each type in each subnet, as spot instances first where these are wanted.
    pub(super) fn choices(&self, spec: &NodeSpec) -> Vec<Choice> {
        let options = &self.options;
        let anywhere = [String::new()];
        let subnets = if options.subnets.is_empty() {
            &anywhere[..]
        } else {
            &options.subnets
        };
        let markets: &[bool] = if options.spot { &[true, false] } else { &[false] };
        let mut all = Vec::new();
        for &spot in markets {
            for instance_type in options.types_of(spec.size) {
                for subnet in subnets {
                    all.push(Choice {
                        instance_type: instance_type.clone(),
                        subnet: subnet.clone(),
                        spot,
                    });
                }
            }
        }
        all
    }

    /// The call for a choice, without its user-data and token.
    pub(super) fn call(
        &self,
        spec: &NodeSpec,
        ports: &BTreeMap<String, u16>,
        base: &Base,
        choice: &Choice,
    ) -> RunInstancesFluentBuilder {
        let options = &self.options;
        let needed = i32::try_from(spec.size.disk_mb() / 1024).unwrap_or(i32::MAX);
        let volume = EbsBlockDevice::builder()
            .volume_size(options.root_gb.max(needed))
            .volume_type(VolumeType::from(options.root_type.as_str()))
            .delete_on_termination(true)
            .encrypted(true);
        let root = BlockDeviceMapping::builder()
            .device_name(&base.root_device)
            .ebs(volume.build());
        // Tokens keep a page of an app, fetched by a fooled server, from reading the role's keys; one hop keeps containers from it.
        let metadata = InstanceMetadataOptionsRequest::builder()
            .http_tokens(HttpTokensState::Required)
            .http_endpoint(InstanceMetadataEndpointState::Enabled)
            .http_put_response_hop_limit(1);
        let mut interface = InstanceNetworkInterfaceSpecification::builder()
            .device_index(0)
            .delete_on_termination(true)
            .associate_public_ip_address(options.reach == super::Reach::Public);
        if !choice.subnet.is_empty() {
            interface = interface.subnet_id(&choice.subnet);
        }
        if !options.security_groups.is_empty() {
            interface = interface.set_groups(Some(options.security_groups.clone()));
        }
        let mut kinds = vec![ResourceType::Instance, ResourceType::Volume, ResourceType::NetworkInterface];
        let mut call = self
            .client()
            .run_instances()
            .image_id(&base.id)
            .instance_type(InstanceType::from(choice.instance_type.as_str()))
            .min_count(1)
            .max_count(1)
            .block_device_mappings(root.build())
            .metadata_options(metadata.build())
            .network_interfaces(interface.build())
            // An app that powers its machine off is asleep, not gone.
            .instance_initiated_shutdown_behavior(ShutdownBehavior::Stop);
        if !options.key_pair.is_empty() {
            call = call.key_name(&options.key_pair);
        }
        if !options.instance_profile.is_empty() {
            let profile = IamInstanceProfileSpecification::builder().name(&options.instance_profile);
            call = call.iam_instance_profile(profile.build());
        }
        if choice.spot {
            // Persistent, because only then can it be stopped: stacks sleep.
            let spot = SpotMarketOptions::builder()
                .spot_instance_type(SpotInstanceType::Persistent)
                .instance_interruption_behavior(InstanceInterruptionBehavior::Stop);
            let market = InstanceMarketOptionsRequest::builder()
                .market_type(MarketType::Spot)
                .spot_options(spot.build());
            call = call.instance_market_options(market.build());
            kinds.push(ResourceType::SpotInstancesRequest);
        }
        let tags = tags::of_node(&options.owner, spec, ports);
        call.set_tag_specifications(Some(tags::on(&kinds, &tags)))
    }
}

// The same for the same question, and for no other.
fn token(owner: &str, spec: &NodeSpec, record: &Record, choice: &Choice) -> String {
    let asked = format!("{owner}\n{}\n{}\n{choice}", spec.node, record.generation);
    secret::hash(&asked)
}
