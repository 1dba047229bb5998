//! The context of an image build: a Containerfile and the script that it runs.
//!
//! Nothing in it is secret, for every layer can be read by whoever has the image. Services are enabled and not started; the
//! host that boots the image is not known, so nothing asks for it.

use super::quote::words;
use super::script::script;
use super::{Options, Target, states_for};
use crate::model::configuration::{NodeConfiguration, State, StateBody};
use std::fmt::Write;

const BLOCK: usize = 512;
const BASE: &str = "docker.io/library/debian:bookworm-slim";

/// The files of a context, by their names in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageContext {
    /// Each file with its text.
    pub files: Vec<(String, String)>,
}

impl ImageContext {
    /// The context as a tar archive, which image builders take as it is; the same bytes for the same files.
    pub fn tar(&self) -> Vec<u8> {
        let mut archive = Vec::new();
        for (name, text) in &self.files {
            archive.extend_from_slice(&header(name, text.len()));
            archive.extend_from_slice(text.as_bytes());
            archive.resize(archive.len().next_multiple_of(BLOCK), 0);
        }
        archive.resize(archive.len() + 2 * BLOCK, 0);
        archive
    }
}

// A plain header: a file of root's, from the beginning of time.
fn header(name: &str, length: usize) -> [u8; BLOCK] {
    let mut block = [0; BLOCK];
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000644\0");
    put(108, "0000000\0");
    put(116, "0000000\0");
    put(124, &format!("{length:011o}\0"));
    put(136, "00000000000\0");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    block
}

/// The context of a configuration that has nothing which cannot be in an image.
pub fn context(configuration: &NodeConfiguration, options: &Options) -> ImageContext {
    let states: Vec<&State> = states_for(configuration, Target::Image).collect();
    let base = options.base_image.as_deref().unwrap_or(BASE);
    let hash = configuration.hash().unwrap_or_default();
    let mut file = format!("# Made by Greenroom from the configuration {hash}.\nFROM {base}\n");
    let packages = first_packages(&states);
    let has_service = states.iter().any(|state| {
        matches!(
            state.body,
            StateBody::Service { .. } | StateBody::SystemService(_) | StateBody::Timer(_)
        )
    });
    let mut wanted: Vec<&str> = if has_service {
        vec!["systemd", "systemd-sysv"]
    } else {
        Vec::new()
    };
    wanted.extend(packages.iter().filter(|name| !["systemd", "systemd-sysv"].contains(name)));
    if !wanted.is_empty() {
        // A layer of its own, which stays while only files change.
        let _ = writeln!(
            file,
            "RUN apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends -- {} \\\n \
             && rm -rf /var/lib/apt/lists/*",
            words(&wanted)
        );
    }
    file.push_str(
        "COPY configure /var/lib/greenroom/configure\n\
         RUN printf '#!/bin/sh\\nexit 101\\n' >/usr/sbin/policy-rc.d && chmod 0755 /usr/sbin/policy-rc.d \\\n \
         && { bash /var/lib/greenroom/configure || [ \"$?\" = 2 ]; } \\\n \
         && rm -rf /usr/sbin/policy-rc.d /var/lib/greenroom /var/lib/apt/lists/*\n",
    );
    let _ = writeln!(file, "LABEL dev.greenroom.configuration=\"{hash}\"");
    if has_service {
        // Systemd ends in order on this signal only.
        file.push_str("STOPSIGNAL SIGRTMIN+3\nCMD [\"/sbin/init\"]\n");
    }
    ImageContext {
        files: vec![
            ("Containerfile".to_owned(), file),
            ("configure".to_owned(), script(configuration, Target::Image, &[])),
        ],
    }
}

// The packages that come before anything else that could have a say in them.
fn first_packages<'a>(states: &[&'a State]) -> Vec<&'a str> {
    let mut names = Vec::new();
    for state in states {
        match &state.body {
            StateBody::Package { name, install, .. } if state.guards.is_empty() => match install {
                None => names.push(name.as_str()),
                Some(install) if install.state == "installed" && install.version.is_none() && !install.hold => {
                    names.push(name.as_str());
                    names.extend(install.also.iter().map(String::as_str));
                }
                Some(_) => break,
            },
            StateBody::Directory { .. } if state.guards.is_empty() => {}
            _ => break,
        }
    }
    names
}
