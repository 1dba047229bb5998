//! Which target a configuration is made into, as commands ask for it, and the writing of what comes of it.

use crate::model::configuration::NodeConfiguration;
use crate::model::diagnostic::Diagnostic;
use crate::recipes::targets::{self, Newcomer, Options, Stub, Target};
use clap::builder::{PossibleValuesParser, TypedValueParser};
use std::fs;
use std::io::{Result, Write};
use std::path::PathBuf;

/// What a configuration is made into.
#[derive(Debug, Clone, clap::Args)]
pub struct FormArgs {
    /// What is printed: the configuration itself, a script, user-data, or the context of an image build as a tar archive.
    #[arg(long, default_value = "agent", value_parser = parser())]
    pub target: Target,
    /// The image that an image starts from.
    #[arg(long, value_name = "IMAGE")]
    pub base_image: Option<String>,
    /// Let a script read secrets from the file that GREENROOM_SECRETS names when it is run: lines of NAME=VALUE.
    #[arg(long)]
    pub secrets_from_file: bool,
}

/// What a configuration is made into, and how.
#[derive(Debug, Clone, clap::Args)]
pub struct TargetArgs {
    #[command(flatten)]
    form: FormArgs,
    /// Write the image's context into this folder instead.
    #[arg(long, value_name = "FOLDER")]
    output: Option<PathBuf>,
    /// The server that a node asks where its user-data would be too long.
    #[arg(long, value_name = "URL", requires_all = ["node_name", "token", "program", "program_sha256"])]
    server: Option<String>,
    /// The node's name in the inventory.
    #[arg(long = "name", value_name = "NODE", requires = "server", id = "node_name")]
    name: Option<String>,
    /// The file with the node's one-time registration token.
    #[arg(long, value_name = "FILE", requires = "server", id = "token", long = "token-file")]
    token: Option<PathBuf>,
    /// Where a node downloads the agent's program.
    #[arg(long, value_name = "URL", requires = "server")]
    program: Option<String>,
    /// The program's hash, which the node checks.
    #[arg(long, value_name = "DIGITS", requires = "server")]
    program_sha256: Option<String>,
}

// The names are known to shells that complete words.
fn parser() -> impl TypedValueParser<Value = Target> {
    let names = PossibleValuesParser::new(Target::ALL.map(Target::name));
    names.map(|name| Target::named(&name).unwrap_or(Target::Agent))
}

impl TargetArgs {
    /// Writes what the target is given of this configuration.
    ///
    /// # Errors
    /// Where it cannot be written; within, what keeps the configuration from being made into this target.
    pub fn render(
        &self,
        configuration: &NodeConfiguration,
        out: &mut dyn Write,
    ) -> Result<std::result::Result<(), Vec<Diagnostic>>> {
        let FormArgs {
            target,
            base_image,
            secrets_from_file,
        } = self.form.clone();
        let options = Options {
            secrets_from_file,
            base_image,
        };
        if let (Target::Image, Some(folder)) = (target, &self.output) {
            let context = match targets::image(configuration, &options) {
                Ok(context) => context,
                Err(found) => return Ok(Err(found)),
            };
            fs::create_dir_all(folder)?;
            for (name, text) in &context.files {
                fs::write(folder.join(name), text)?;
            }
            return Ok(Ok(()));
        }
        match targets::render(configuration, target, self.stub()?.as_ref(), &options) {
            Ok(rendered) => out.write_all(&rendered.bytes)?,
            Err(found) => return Ok(Err(found)),
        }
        Ok(Ok(()))
    }

    fn stub(&self) -> Result<Option<Stub>> {
        let (Some(server), Some(name), Some(token), Some(program), Some(hash)) =
            (&self.server, &self.name, &self.token, &self.program, &self.program_sha256)
        else {
            return Ok(None);
        };
        Ok(Some(Stub {
            server: server.clone(),
            newcomer: Newcomer::Named(name.clone()),
            token: fs::read_to_string(token)?.trim().to_owned(),
            program: program.clone(),
            program_sha256: hash.clone(),
        }))
    }
}
