//! The real Puppet with our external node classifier.

use super::{Company, out, program, run};
use std::path::{Path, PathBuf};
use std::process::Command;

pub(super) const MODULES: &[(&str, &str)] = &[
    (
        "motd",
        "class motd(String $text, Boolean $loud) {\n  file { \"${facts['out']}/${trusted['certname']}.motd\": content => $text }\n}\n",
    ),
    (
        "tools",
        "class tools {\n  $list = join($::greenroom_roles, ',')\n  \
         file { \"${facts['out']}/${trusted['certname']}.tools\": content => \"${list} in ${::greenroom_datacenter}\" }\n}\n",
    ),
];

/// Writes these modules as Puppet's production environment, and gives the folder of its code.
pub(super) fn write_modules(folder: &Path, modules: &[(&str, &str)]) -> PathBuf {
    let code = folder.join("code");
    for (name, text) in modules {
        let manifests = code.join("environments/production/modules").join(name).join("manifests");
        std::fs::create_dir_all(&manifests).unwrap();
        std::fs::write(manifests.join("init.pp"), text).unwrap();
    }
    code
}

fn puppet(program: &Path, company: &Company, certname: &str) -> Command {
    let folder = company.folder();
    let code = write_modules(folder, MODULES);
    let mut command = Command::new(program);
    command
        .args(["apply", "--node_terminus", "exec", "--external_nodes"])
        .arg(company.script("enc.sh", "inventory enc"))
        .args([
            "--certname",
            certname,
            "--detailed-exitcodes",
            "--environment",
            "production",
            "-e",
            "",
        ])
        .args(["--codedir", code.to_str().unwrap()])
        .args(["--confdir", folder.join("puppet").to_str().unwrap()])
        .args(["--vardir", folder.join("puppet-var").to_str().unwrap()])
        .env("FACTER_out", folder)
        .env("HOME", folder);
    command
}

#[tokio::test(flavor = "multi_thread")]
async fn puppet_applies_the_classes_that_the_inventory_names_with_their_types() {
    let Some(program) = program("puppet", &["/opt/puppetlabs/bin"]) else {
        return;
    };
    let company = Company::open(24_060).await;
    let output = run(puppet(&program, &company, "web-2")).await;
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    // Puppet's word for "changed, and nothing failed".
    assert_eq!(output.status.code(), Some(2), "{said}");
    let read = |name: &str| std::fs::read_to_string(company.folder().join(name)).unwrap_or_default();
    assert_eq!(read("web-2.motd"), "this is web-2");
    assert_eq!(read("web-2.tools"), "web in dc-south");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_nobody_knows_is_no_node_for_puppet() {
    let company = Company::open(24_080).await;
    let output = run(Command::new(company.script("enc.sh", "inventory enc nobody"))).await;
    assert!(!output.status.success() && output.stdout.is_empty());
    let known = out(&run(Command::new(company.script("enc.sh", "inventory enc web-1"))).await);
    assert!(known.starts_with("---\n"), "{known}");
}
