//! Images: the plain one of a base image with this very program in it, made once, and those that nodes were kept as.

use super::engine::{Engine, found, is_missing};
use super::tags::{self, Labels};
use super::{Image, ProviderError, archive};
use crate::clock::{Clock, SystemClock};
use crate::model::id::NodeId;
use bollard::models::{ContainerConfig, ContainerCreateBody, HostConfig, ImageInspect, ImageSummary};
use bollard::query_parameters::{
    CommitContainerOptionsBuilder, CreateContainerOptionsBuilder, CreateImageOptionsBuilder, InspectContainerOptions,
    ListImagesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveImageOptionsBuilder,
};
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::path::Path;

/// Where the agent's program is in every container.
pub(super) const PROGRAM_FOLDER: &str = "/usr/local/bin";
/// Its name there.
pub(super) const PROGRAM: &str = "greenroom";
const PLAIN: &str = "greenroom/node";
const BAKED: &str = "greenroom/baked";
// How long a server that makes no new plain image may rely on the one of another.
const KEPT_S: i64 = 24 * 3600;
// Changes with what is put into a plain image.
const FORM: &str = "1";

/// What a container is to be made from.
#[derive(Debug, Clone)]
pub(super) struct Start {
    /// The image.
    pub(super) image: String,
    /// Whether the program in it is another than this one.
    pub(super) stale: bool,
}

/// What a node starts from: the image that it asks for, or the plain one where that is not there.
pub(super) async fn choose(
    engine: &Engine,
    wanted: Option<&str>,
    base: &str,
    program: &Program<'_>,
) -> Result<Start, ProviderError> {
    if let Some(image) = wanted
        && let Some(there) = look(engine, image).await?
    {
        let labels = there.config.and_then(|c| c.labels).unwrap_or_default();
        return Ok(Start {
            image: image.to_owned(),
            stale: labels.get(tags::PROGRAM).map(String::as_str) != Some(program.hash),
        });
    }
    plain(engine, base, program).await.map(|image| Start { image, stale: false })
}

/// This very program.
#[derive(Debug, Clone, Copy)]
pub(super) struct Program<'a> {
    /// Its file.
    pub(super) path: &'a Path,
    /// Its hash.
    pub(super) hash: &'a str,
    /// The server that makes images.
    pub(super) server: &'a str,
}

async fn plain(engine: &Engine, base: &str, program: &Program<'_>) -> Result<String, ProviderError> {
    let there = match look(engine, base).await? {
        Some(there) => there,
        None => pull(engine, base).await?,
    };
    let id = there.id.unwrap_or_default();
    let tag = hash(&[FORM, &id, program.hash]);
    let name = format!("{PLAIN}:{tag}");
    if look(engine, &name).await?.is_some() {
        return Ok(name);
    }
    let client = engine.client().await?;
    // Two servers may make the same one at the same time; the last one's name stands, and both are right.
    let container = format!("greenroom-image-{tag}-{:08x}", rand::random::<u32>());
    let options = CreateContainerOptionsBuilder::new().name(&container).build();
    let body = ContainerCreateBody {
        image: Some(base.to_owned()),
        cmd: Some(vec![format!("{PROGRAM_FOLDER}/{PROGRAM}")]),
        host_config: Some(HostConfig {
            network_mode: Some("none".to_owned()),
            ..HostConfig::default()
        }),
        ..ContainerCreateBody::default()
    };
    let failed = |e: &bollard::errors::Error| engine.failed(&format!("the image {name} cannot be made from {base}"), e);
    client.create_container(Some(options), body).await.map_err(|e| failed(&e))?;
    let made = async {
        archive::put_program(engine, &container, PROGRAM_FOLDER, PROGRAM, program.path).await?;
        let options = CommitContainerOptionsBuilder::new()
            .container(&container)
            .repo(PLAIN)
            .tag(&tag)
            .build();
        let labels = HashMap::from([
            (tags::PROGRAM.to_owned(), program.hash.to_owned()),
            (tags::SERVER.to_owned(), program.server.to_owned()),
        ]);
        let config = ContainerConfig {
            labels: Some(labels),
            ..ContainerConfig::default()
        };
        client.commit_container(options, config).await.map_err(|e| failed(&e))
    }
    .await;
    let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
    let _ = client.remove_container(&container, Some(options)).await;
    made?;
    outdated(engine, program, &name).await;
    Ok(name)
}

// Plain images of earlier versions of this server's program, from which nothing starts again, and of any server's that are old:
// whoever still needs one makes it again within seconds.
async fn outdated(engine: &Engine, program: &Program<'_>, current: &str) {
    let Ok(client) = engine.client().await else { return };
    let filters = HashMap::from([("reference", vec![PLAIN])]);
    let options = ListImagesOptionsBuilder::new().filters(&filters).build();
    let now = SystemClock.now().0 / 1000;
    for image in client.list_images(Some(options)).await.unwrap_or_default() {
        let label = |name: &str| image.labels.get(name).map(String::as_str);
        let ours = label(tags::SERVER) == Some(program.server);
        let old = now - image.created > KEPT_S;
        if label(tags::PROGRAM) != Some(program.hash) && (ours || old) {
            for tag in image.repo_tags.iter().filter(|tag| *tag != current) {
                let _ = remove(engine, tag).await;
            }
        }
    }
}

async fn pull(engine: &Engine, base: &str) -> Result<ImageInspect, ProviderError> {
    tracing::info!(image = base, "fetching the image that nodes start from");
    let client = engine.client().await?;
    let (name, tag) = match base.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (base, "latest"),
    };
    let options = CreateImageOptionsBuilder::new().from_image(name).tag(tag).build();
    let pulled = client.create_image(Some(options), None, None).try_collect::<Vec<_>>().await;
    if let Some(there) = look(engine, base).await? {
        return Ok(there);
    }
    let why = pulled.err().map(|e| super::engine::message(&e)).unwrap_or_default();
    Err(ProviderError::Denied {
        why: format!(
            "the image {base} is not on the Docker engine at {} and cannot be fetched ({why}): name another in `docker.image`, or make \
             one as docs/docker.md shows",
            engine.host()
        ),
    })
}

/// Keeps a stopped container as an image for this key.
pub(super) async fn bake(engine: &Engine, node: &NodeId, key: &str, program: &Program<'_>) -> Result<Image, ProviderError> {
    let client = engine.client().await?;
    if let Some(there) = baked(engine, program.server)
        .await?
        .into_iter()
        .find(|image| image.key == key)
    {
        return Ok(there);
    }
    let container = tags::name(node);
    let there = client
        .inspect_container(&container, Some(InspectContainerOptions::default()))
        .await;
    let config = there
        .map_err(|e| engine.failed("the container cannot be looked at", &e))?
        .config;
    let config = config.unwrap_or_default();
    let carried: Labels = config.labels.unwrap_or_default();
    // An image knows nothing of the node that it was: neither its tags nor the environment that the settings gave it.
    let mut labels: Labels = carried
        .into_keys()
        .filter(|name| name.starts_with(tags::OURS))
        .map(|name| (name, String::new()))
        .collect();
    labels.insert(tags::KEY.to_owned(), key.to_owned());
    labels.insert(tags::SERVER.to_owned(), program.server.to_owned());
    labels.insert(tags::PROGRAM.to_owned(), program.hash.to_owned());
    let emptied = |variable: String| variable.split_once('=').map(|(name, _)| format!("{name}="));
    let given = |variable: &String| variable.starts_with(crate::machine::processes::GIVEN);
    let env = config.env.unwrap_or_default().into_iter().filter(given).filter_map(emptied);
    let tag = hash(&[program.server, key]);
    let options = CommitContainerOptionsBuilder::new()
        .container(&container)
        .repo(BAKED)
        .tag(&tag)
        .build();
    let image = ContainerConfig {
        labels: Some(labels),
        env: Some(env.collect()),
        cmd: Some(vec![format!("{PROGRAM_FOLDER}/{PROGRAM}")]),
        ..ContainerConfig::default()
    };
    let kept = client.commit_container(options, image).await;
    kept.map_err(|e| engine.failed("the container cannot be kept as an image", &e))?;
    let all = baked(engine, program.server).await?;
    all.into_iter()
        .find(|image| image.key == key)
        .ok_or_else(|| ProviderError::Retry {
            why: format!("the engine does not show the image {BAKED}:{tag} that it has just made"),
        })
}

/// The images that nodes were kept as.
pub(super) async fn baked(engine: &Engine, server: &str) -> Result<Vec<Image>, ProviderError> {
    let all = labelled(engine, server).await?;
    Ok(all
        .into_iter()
        .filter_map(|image| {
            Some(Image {
                key: image.labels.get(tags::KEY)?.clone(),
                external_id: image.repo_tags.iter().find(|tag| tag.starts_with(BAKED))?.clone(),
                usable: true,
                bytes: u64::try_from(image.size).ok(),
            })
        })
        .collect())
}

/// Takes an image's name away; its content goes once nothing runs from it.
pub(super) async fn remove(engine: &Engine, external_id: &str) -> Result<(), ProviderError> {
    let options = RemoveImageOptionsBuilder::new().force(true).build();
    match engine.client().await?.remove_image(external_id, Some(options), None).await {
        Ok(_) => Ok(()),
        Err(error) if is_missing(&error) => Ok(()),
        Err(error) => Err(engine.failed(&format!("the image {external_id} cannot be removed"), &error)),
    }
}

/// Removes what images left that were removed while containers ran from them.
pub(super) async fn tidy(engine: &Engine, server: &str) {
    let Ok(client) = engine.client().await else { return };
    let mut filters = tags::filter(tags::SERVER, server);
    filters.insert("dangling".to_owned(), vec!["true".to_owned()]);
    let options = ListImagesOptionsBuilder::new().filters(&filters).build();
    for image in client.list_images(Some(options)).await.unwrap_or_default() {
        let _ = client
            .remove_image(&image.id, Some(RemoveImageOptionsBuilder::new().build()), None)
            .await;
    }
}

async fn labelled(engine: &Engine, server: &str) -> Result<Vec<ImageSummary>, ProviderError> {
    let options = ListImagesOptionsBuilder::new()
        .filters(&tags::filter(tags::SERVER, server))
        .build();
    let all = engine.client().await?.list_images(Some(options)).await;
    all.map_err(|e| engine.failed("the images cannot be listed", &e))
}

async fn look(engine: &Engine, image: &str) -> Result<Option<ImageInspect>, ProviderError> {
    found(engine.client().await?.inspect_image(image).await)
        .map_err(|e| engine.failed(&format!("the image {image} cannot be looked at"), &e))
}

fn hash(parts: &[&str]) -> String {
    let mut sum = Sha256::new();
    for part in parts {
        sum.update(part.as_bytes());
        sum.update([0]);
    }
    crate::model::secret::hex("", &sum.finalize()[..8])
}
