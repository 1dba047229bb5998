//! An environment: a long-lived place such as production, with what differs there.

use super::{Document, Values};
use crate::model::name::{AppName, DatacenterName, EnvironmentName, RevisionName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A long-lived place.
pub type Environment = Document<EnvironmentName, EnvironmentSpec>;

/// What differs in an environment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EnvironmentSpec {
    /// Whether databases may be restored over what they hold; never true of production.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub restorable: bool,
    /// The bundle of recipes that its nodes are built from, by hash: `sha256:…`; the shipped one where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bundle: Option<String>,
    /// Values for templates on all its nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: Values,
    /// What differs in one datacenter.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub datacenters: BTreeMap<DatacenterName, DatacenterSettings>,
    /// What differs for one app.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub apps: BTreeMap<AppName, AppSettings>,
}

/// What differs in one datacenter of an environment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatacenterSettings {
    /// Values for templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: Values,
}

/// What differs for one app of an environment.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppSettings {
    /// The revision that nodes run which do not say one; the app's default where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<RevisionName>,
    /// Values for templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: Values,
}
