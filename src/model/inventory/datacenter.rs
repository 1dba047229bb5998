//! A datacenter: a site that can serve, and for whom it stands by.

use super::{Document, Values};
use crate::model::name::DatacenterName;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A site.
pub type Datacenter = Document<DatacenterName, DatacenterSpec>;

/// What a site is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DatacenterSpec {
    /// The datacenter whose work it takes over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standby_for: Option<DatacenterName>,
    /// Values for templates on all its nodes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub values: Values,
}
