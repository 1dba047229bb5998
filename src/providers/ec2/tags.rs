//! What everything of ours carries, and how instances are found by it.

use super::super::NodeSpec;
use aws_sdk_ec2::types::{Filter, ResourceType, Tag, TagSpecification};
use std::collections::BTreeMap;

/// Whose it is: the `owner` of the settings. On everything, images too.
pub(super) const OWNER: &str = "greenroom";
/// The node. On everything but images.
pub(super) const NODE: &str = "greenroom:node";
const STACK: &str = "greenroom:stack";
/// What an image was baked for.
pub(super) const KEY: &str = "greenroom:key";
/// The ports of a node, in as many tags as they take.
const PORTS: &str = "greenroom:ports";
const LONGEST: usize = 250;

/// A tag.
pub(super) fn tag(key: &str, value: &str) -> Tag {
    Tag::builder().key(key).value(value).build()
}

/// The value of a tag.
pub(super) fn value<'a>(tags: &'a [Tag], key: &str) -> Option<&'a str> {
    tags.iter().find(|tag| tag.key() == Some(key)).and_then(Tag::value)
}

/// A filter by one tag.
pub(super) fn by(key: &str, value: &str) -> Filter {
    Filter::builder().name(format!("tag:{key}")).values(value).build()
}

/// All tags of what is made for a node.
pub(super) fn of_node(owner: &str, spec: &NodeSpec, ports: &BTreeMap<String, u16>) -> Vec<Tag> {
    let mut all = vec![
        tag("Name", &limited(&format!("{owner}/{}", spec.stack_name))),
        tag(OWNER, owner),
        tag(NODE, spec.node.as_str()),
        tag(STACK, spec.stack.as_str()),
    ];
    // EC2 takes fifty tags; people's words come after what we find things by.
    for (key, value) in spec.labels.iter().take(30) {
        all.push(tag(&limited(&format!("greenroom:{key}")), &limited(value)));
    }
    all.extend(of_ports(ports));
    all
}

// Letters, digits, spaces and a few signs are what every AWS service takes.
fn limited(text: &str) -> String {
    let plain = |c: char| {
        if c.is_alphanumeric() || " _.:/=+-@".contains(c) {
            c
        } else {
            '_'
        }
    };
    text.chars().map(plain).take(120).collect()
}

/// The tags that keep a node's ports.
pub(super) fn of_ports(ports: &BTreeMap<String, u16>) -> Vec<Tag> {
    let mut texts = vec![String::new()];
    for (name, port) in ports {
        let word = format!("{port}={name}");
        match texts.last_mut() {
            Some(last) if last.is_empty() => *last = word,
            Some(last) if last.len() + word.len() < LONGEST => {
                last.push(' ');
                last.push_str(&word);
            }
            _ => texts.push(word),
        }
    }
    texts.retain(|text| !text.is_empty());
    let numbered = texts.iter().enumerate();
    numbered.map(|(index, text)| tag(&port_tag(index), text)).collect()
}

fn port_tag(index: usize) -> String {
    if index == 0 {
        PORTS.to_owned()
    } else {
        format!("{PORTS}:{index}")
    }
}

/// The ports that these tags keep.
pub(super) fn ports(tags: &[Tag]) -> BTreeMap<String, u16> {
    let texts = (0..).map_while(|index| value(tags, &port_tag(index)));
    let words = texts.flat_map(str::split_whitespace);
    words
        .filter_map(|word| {
            let (port, name) = word.split_once('=')?;
            Some((name.to_owned(), port.parse().ok()?))
        })
        .collect()
}

/// The same tags on each of these kinds of resources.
pub(super) fn on(kinds: &[ResourceType], tags: &[Tag]) -> Vec<TagSpecification> {
    let one = |kind: &ResourceType| {
        let tags = Some(tags.to_vec());
        TagSpecification::builder().resource_type(kind.clone()).set_tags(tags).build()
    };
    kinds.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_survive_in_as_many_tags_as_they_take() {
        let ports: BTreeMap<String, u16> = (8000..8040).map(|port| (format!("an-app-{port}/web"), port)).collect();
        let tags = of_ports(&ports);
        assert!(tags.len() > 1 && tags.iter().all(|tag| tag.value().unwrap().len() <= 256));
        assert_eq!(super::ports(&tags), ports);
        assert_eq!(of_ports(&BTreeMap::new()), []);
    }
}
