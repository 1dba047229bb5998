//! Contract only: the signatures that steps and control are written against; the body lands separately.
#![expect(missing_docs, reason = "replaced by the real module")]
pub mod bundle {
    #[derive(Debug)]
    pub struct Bundle;
    impl Bundle {
        pub fn shipped() -> Self {
            Self
        }
    }
}
pub mod view {
    use crate::model::{configuration::Layout, descriptor::Descriptor, stack::DataChoice};
    use std::collections::BTreeMap;
    pub struct View {
        pub node: NodeView,
        pub environment: String,
        pub stack: StackView,
        pub apps: Vec<AppView>,
    }
    pub struct NodeView {
        pub name: String,
        pub provider: String,
        pub layout: Layout,
        pub confined_to: Option<String>,
        pub installs_packages: bool,
    }
    pub struct StackView {
        pub id: String,
        pub name: String,
    }
    pub struct AppView {
        pub descriptor: Descriptor,
        pub release: Release,
        pub ports: BTreeMap<String, u16>,
        pub address: String,
        pub deps: BTreeMap<String, DependencyView>,
        pub resources: BTreeMap<String, ResourceView>,
    }
    pub struct Release {
        pub commit: String,
        pub revision: String,
        pub repository: String,
    }
    pub struct DependencyView {
        pub url: Option<String>,
        pub host: String,
        pub port: Option<u16>,
        pub ports: BTreeMap<String, u16>,
    }
    pub struct ResourceView {
        pub engine: ResourceEngine,
        pub data: DataChoice,
    }
    pub enum ResourceEngine {
        Sqlite {
            path: String,
        },
        Postgres {
            host: String,
            port: u16,
            database: String,
            user: String,
            password_secret: String,
        },
    }
}
pub mod descriptor {
    use crate::model::{descriptor::Descriptor, diagnostic::Diagnostic, fault::Fault, name::AppName};
    use std::collections::BTreeMap;
    pub fn parse(_f: &str, _b: &[u8]) -> (Option<Descriptor>, Vec<Diagnostic>) {
        unimplemented!()
    }
    pub fn check_graph(
        _f: &str,
        _t: &[u8],
        _d: &Descriptor,
        _o: &BTreeMap<AppName, &Descriptor>,
        _b: &super::bundle::Bundle,
    ) -> Vec<Diagnostic> {
        unimplemented!()
    }
    pub fn dependency_order(_c: &[AppName], _a: &BTreeMap<AppName, &Descriptor>) -> Result<Vec<AppName>, Fault> {
        unimplemented!()
    }
}
pub struct Compiled {
    pub configuration: crate::model::configuration::NodeConfiguration,
}
pub fn compile(_b: &bundle::Bundle, _v: &view::View) -> Result<Compiled, Vec<crate::model::diagnostic::Diagnostic>> {
    unimplemented!()
}
