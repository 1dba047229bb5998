//! What EC2 answers, as faults of ours: under a code, with whose turn it is and what to do next.

use super::super::ProviderError;
use crate::model::fault::Fault;
use aws_sdk_ec2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;
use std::error::Error;

/// What is to be done about an error, besides telling people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing was done, and it is no use trying.
    Stop,
    /// Nothing was done; another type, zone or market may have room.
    Elsewhere,
    /// Nothing was done; the same may work later.
    Later,
    /// It may have been done: only the same call may be made again.
    Unknown,
}

/// A call that failed.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) code: String,
    pub(super) then: Then,
    pub(super) fault: Fault,
}

impl From<Failed> for ProviderError {
    fn from(failed: Failed) -> Self {
        Self::Known {
            again: failed.then != Then::Stop,
            fault: Box::new(failed.fault),
        }
    }
}

impl Failed {
    /// Whether EC2 says that there is no such thing (any more).
    pub(super) fn is_not_found(&self) -> bool {
        self.code.ends_with(".NotFound") || matches!(self.code.as_str(), "InvalidAMIID.Unavailable" | "InvalidAMIID.NotFound")
    }

    /// Whether EC2 says that it would have done what was only tried.
    pub(super) fn was_tried(&self) -> bool {
        self.code == "DryRunOperation"
    }
}

/// Why this call failed. `doing` completes "EC2 could not …".
pub(super) fn failed<E, R>(doing: &str, error: &SdkError<E, R>) -> Failed
where
    E: ProvideErrorMetadata + RequestId + Error + Send + Sync + 'static,
    R: std::fmt::Debug + Send + Sync + 'static,
{
    if let SdkError::ServiceError(service) = error
        && let Some(code) = service.err().code()
    {
        let message = service.err().message().unwrap_or_default();
        let mut known = of_code(doing, code, message);
        if let Some(id) = service.err().request_id() {
            // What AWS's support asks for first.
            known.fault.why = format!("{} (request {id})", known.fault.why);
        }
        return known;
    }
    let why = DisplayErrorContext(error).to_string();
    let (code, then) = match error {
        SdkError::ConstructionFailure(_) => ("ec2-credentials", Then::Stop),
        SdkError::DispatchFailure(failure) if failure.is_user() => ("ec2-setting", Then::Stop),
        // The message is all that tells missing credentials and regions from broken lines.
        SdkError::DispatchFailure(_) if speaks_of_credentials(&why) => ("ec2-credentials", Then::Stop),
        SdkError::DispatchFailure(_) if why.contains("egion") && why.contains("resolv") => ("ec2-setting", Then::Stop),
        _ => ("ec2-unreachable", Then::Unknown),
    };
    Failed {
        code: String::new(),
        then,
        fault: Fault::new(code, format!("EC2 could not {doing}")).why(shortened(&why)),
    }
}

fn speaks_of_credentials(why: &str) -> bool {
    let why = why.to_ascii_lowercase();
    why.contains("credentials") || why.contains("identity resolver")
}

// The words of each layer's debugging output help nobody.
fn shortened(why: &str) -> String {
    let text = why.split(" (").next().unwrap_or(why);
    text.chars().take(400).collect()
}

/// The fault for an error code of EC2, as also the reasons of instances' ends carry it.
pub(super) fn of_code(doing: &str, code: &str, message: &str) -> Failed {
    let what = format!("EC2 could not {doing}");
    let bare = code.trim_start_matches("Client.").trim_start_matches("Server.");
    let (ours, then, next) = table(bare);
    let mut fault = Fault::new(ours, what).why(if message.is_empty() {
        bare.to_owned()
    } else {
        format!("{bare}: {}", without_encoded(message))
    });
    if ours == "ec2-permission" {
        if let Some(permission) = permission(message) {
            fault = fault.next(format!(
                "Allow {permission} to the account's role; docs/ec2.md has the whole policy, `greenroom provider check ec2` tries all of it"
            ));
        } else if message.contains("ncoded authorization failure message") {
            fault = fault.next(
                "`aws sts decode-authorization-message --encoded-message` tells the rule; `greenroom provider check ec2` tries all that is needed",
            );
        }
    }
    if !next.is_empty() {
        fault = fault.next(next);
    }
    Failed {
        code: bare.to_owned(),
        then,
        fault,
    }
}

// Our code, what then, and a better next action than the code's own.
fn table(code: &str) -> (&'static str, Then, &'static str) {
    use Then::{Elsewhere, Later, Stop, Unknown};
    match code {
        "UnauthorizedOperation" | "AccessDenied" | "AccessDeniedException" => ("ec2-permission", Stop, ""),
        "AuthFailure"
        | "InvalidClientTokenId"
        | "SignatureDoesNotMatch"
        | "UnrecognizedClientException"
        | "MissingAuthenticationToken"
        | "IncompleteSignature" => ("ec2-credentials", Stop, ""),
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => (
            "ec2-credentials",
            Stop,
            "Sign in to AWS again, or give the server a role that renews itself",
        ),
        "RequestExpired" | "RequestTimeTooSkewed" | "InvalidSignatureException" => ("ec2-clock", Stop, ""),
        "OptInRequired" | "PendingVerification" | "Blocked" | "AccountDisabled" | "InvalidAccountStatus" | "NotSubscribed" => {
            ("ec2-account", Stop, "")
        }
        "VcpuLimitExceeded"
        | "InstanceLimitExceeded"
        | "MaxSpotInstanceCountExceeded"
        | "MaxSpotFleetRequestCountExceeded"
        | "InstanceTypeCountLimitExceeded" => ("ec2-quota", Elsewhere, ""),
        "VolumeLimitExceeded"
        | "MaxIOPSLimitExceeded"
        | "VolumeTypeNotAvailableInZone"
        | "AddressLimitExceeded"
        | "SnapshotLimitExceeded"
        | "ConcurrentSnapshotLimitExceeded"
        | "NetworkInterfaceLimitExceeded"
        | "PrivateIpAddressLimitExceeded"
        | "TagLimitExceeded"
        | "ResourceLimitExceeded"
        | "ResourceCountExceeded"
        | "AmiQuotaExceeded" => ("ec2-quota", Stop, ""),
        "InsufficientInstanceCapacity"
        | "InsufficientHostCapacity"
        | "InsufficientCapacity"
        | "InsufficientReservedInstanceCapacity"
        | "InsufficientCapacityOnHost"
        | "InsufficientVolumeCapacity"
        | "InsufficientAddressCapacity"
        | "SpotMaxPriceTooLow"
        | "InsufficientSpotInstanceCapacity"
        | "SpotInstanceTermination"
        | "SpotInstanceShutdown" => ("ec2-capacity", Elsewhere, ""),
        "InsufficientFreeAddressesInSubnet" => ("ec2-subnet-full", Elsewhere, ""),
        "InvalidAMIID.NotFound" | "InvalidAMIID.Malformed" | "InvalidAMIID.Unavailable" => (
            "ec2-setting",
            Stop,
            "Set ec2.image to an image of this region; `greenroom provider check ec2` looks it up",
        ),
        "InvalidSubnetID.NotFound"
        | "InvalidSubnetID.Malformed"
        | "MissingInput"
        | "VPCIdNotSpecified"
        | "DefaultVpcDoesNotExist" => ("ec2-setting", Stop, "Set ec2.subnets to subnets of this region"),
        "InvalidGroup.NotFound"
        | "InvalidGroupId.Malformed"
        | "InvalidSecurityGroupID.NotFound"
        | "InvalidSecurityGroupId.Malformed" => (
            "ec2-setting",
            Stop,
            "Set ec2.security_groups to groups of the subnets' own network",
        ),
        "InvalidKeyPair.NotFound" => (
            "ec2-setting",
            Stop,
            "Set ec2.key_pair to a key pair of this region, or leave it empty",
        ),
        "InvalidInstanceType" | "InvalidInstanceType.NotFound" => {
            ("ec2-setting", Stop, "Correct ec2.types_small, types_medium and types_large")
        }
        "InvalidIamInstanceProfileArn.Malformed" | "InvalidIamInstanceProfile.NotFound" => (
            "ec2-setting",
            Stop,
            "Set ec2.instance_profile to the name of an instance profile, or leave it empty",
        ),
        // A type that a zone does not have answers so; another zone or type may do.
        "Unsupported" => (
            "ec2-setting",
            Elsewhere,
            "Set ec2.types_small, types_medium and types_large to types that the subnets' zones offer",
        ),
        "InvalidParameterCombination"
        | "InvalidParameterValue"
        | "InvalidParameter"
        | "UnsupportedOperation"
        | "MissingParameter"
        | "UnknownParameter"
        | "InvalidBlockDeviceMapping"
        | "InvalidUserData.Malformed"
        | "InvalidRequest"
        | "UnknownEndpoint" => ("ec2-setting", Stop, ""),
        "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException"
        | "EC2ThrottledException"
        | "SlowDown"
        | "TooManyRequestsException"
        | "RequestThrottled"
        | "BandwidthLimitExceeded"
        | "InstanceCreditSpecification.RequestLimitExceeded" => ("ec2-throttled", Later, ""),
        "IdempotentParameterMismatch" | "IdempotentInstanceTerminated" => ("ec2-mismatch", Later, ""),
        "IncorrectInstanceState"
        | "IncorrectState"
        | "InvalidState"
        | "IncorrectSpotRequestState"
        | "VolumeInUse"
        | "InvalidIPAddress.InUse"
        | "Resource.AlreadyAssociated" => ("ec2-state", Later, ""),
        "OperationNotPermitted" => ("ec2-protected", Stop, ""),
        "InvalidInstanceID.NotFound"
        | "InvalidInstanceID.Malformed"
        | "InvalidInstanceID"
        | "InstanceInitiatedShutdown"
        | "UserInitiatedShutdown" => ("ec2-instance-lost", Later, ""),
        "InternalError" | "InternalFailure" | "ServiceUnavailable" | "Unavailable" | "RequestTimeout" => {
            ("ec2-unreachable", Unknown, "")
        }
        _ => ("provider-refused", Stop, ""),
    }
}

// "… is not authorized to perform: ec2:RunInstances on resource: …"
fn permission(message: &str) -> Option<String> {
    let rest = message.split("perform: ").nth(1)?;
    let mut words = rest.split_whitespace();
    let action = words.next()?;
    let on = rest
        .split("on resource: ")
        .nth(1)
        .and_then(|rest| rest.split_whitespace().next())
        .map(|resource| resource.trim_end_matches('.'));
    Some(match on {
        Some(resource) => format!("`{action}` on `{resource}`"),
        None => format!("`{action}`"),
    })
}

// The encoded part has hundreds of letters that only one command reads.
fn without_encoded(message: &str) -> String {
    let text = message
        .split("Encoded authorization failure message")
        .next()
        .unwrap_or(message);
    text.trim().trim_end_matches('.').chars().take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::fault::{Turn, explain};

    #[test]
    fn what_users_meet_has_a_code_a_turn_and_a_next_action() {
        for (code, ours, then, turn) in [
            ("UnauthorizedOperation", "ec2-permission", Then::Stop, Turn::Platform),
            ("AuthFailure", "ec2-credentials", Then::Stop, Turn::Platform),
            ("ExpiredToken", "ec2-credentials", Then::Stop, Turn::Platform),
            ("RequestExpired", "ec2-clock", Then::Stop, Turn::Platform),
            ("OptInRequired", "ec2-account", Then::Stop, Turn::Platform),
            ("VcpuLimitExceeded", "ec2-quota", Then::Elsewhere, Turn::Platform),
            ("InstanceLimitExceeded", "ec2-quota", Then::Elsewhere, Turn::Platform),
            ("MaxSpotInstanceCountExceeded", "ec2-quota", Then::Elsewhere, Turn::Platform),
            ("VolumeLimitExceeded", "ec2-quota", Then::Stop, Turn::Platform),
            ("InsufficientInstanceCapacity", "ec2-capacity", Then::Elsewhere, Turn::Cloud),
            ("SpotMaxPriceTooLow", "ec2-capacity", Then::Elsewhere, Turn::Cloud),
            (
                "InsufficientFreeAddressesInSubnet",
                "ec2-subnet-full",
                Then::Elsewhere,
                Turn::Platform,
            ),
            ("InvalidAMIID.NotFound", "ec2-setting", Then::Stop, Turn::Platform),
            ("InvalidSubnetID.NotFound", "ec2-setting", Then::Stop, Turn::Platform),
            ("InvalidGroup.NotFound", "ec2-setting", Then::Stop, Turn::Platform),
            ("InvalidKeyPair.NotFound", "ec2-setting", Then::Stop, Turn::Platform),
            ("InvalidParameterCombination", "ec2-setting", Then::Stop, Turn::Platform),
            ("Unsupported", "ec2-setting", Then::Elsewhere, Turn::Platform),
            ("RequestLimitExceeded", "ec2-throttled", Then::Later, Turn::Nobody),
            ("IdempotentParameterMismatch", "ec2-mismatch", Then::Later, Turn::Nobody),
            ("InvalidInstanceID.NotFound", "ec2-instance-lost", Then::Later, Turn::You),
            ("IncorrectInstanceState", "ec2-state", Then::Later, Turn::Nobody),
            ("OperationNotPermitted", "ec2-protected", Then::Stop, Turn::Platform),
            ("InternalError", "ec2-unreachable", Then::Unknown, Turn::Platform),
            ("SomethingNew", "provider-refused", Then::Stop, Turn::Platform),
        ] {
            let failed = of_code("launch an instance", code, "AWS says so.");
            assert_eq!(
                (failed.fault.code.as_str(), failed.then, failed.fault.turn),
                (ours, then, turn),
                "{code}"
            );
            assert!(explain(ours).is_some() && !failed.fault.next.is_empty(), "{code}");
            assert_eq!(failed.fault.why, format!("{code}: AWS says so"));
        }
        let reason = of_code("start an instance", "Client.VolumeLimitExceeded", "");
        assert_eq!(
            (reason.fault.code.as_str(), reason.fault.why.as_str()),
            ("ec2-quota", "VolumeLimitExceeded")
        );
    }

    #[test]
    fn a_missing_permission_is_named_and_what_is_encoded_is_left_out() {
        let said = "You are not authorized to perform this operation. User: arn:aws:iam::1:user/gr is not authorized to perform: \
                    ec2:RunInstances on resource: arn:aws:ec2:eu-central-1:1:subnet/* because no identity-based policy allows it. Encoded \
                    authorization failure message: AbCd123";
        let fault = of_code("launch an instance", "UnauthorizedOperation", said).fault;
        assert!(
            fault
                .next
                .contains("`ec2:RunInstances` on `arn:aws:ec2:eu-central-1:1:subnet/*`"),
            "{}",
            fault.next
        );
        assert!(!fault.why.contains("AbCd123"), "{}", fault.why);
        let only = of_code(
            "x",
            "UnauthorizedOperation",
            "Not allowed. Encoded authorization failure message: AbCd123",
        )
        .fault;
        assert!(only.next.contains("decode-authorization-message"), "{}", only.next);
    }
}
