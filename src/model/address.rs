//! The stable address of an app of a stack: `app--stack` under one domain, for as long as the stack lives, wherever its node is.
//!
//! An app's further ports get `port--app--stack`. A label of DNS has at most 63 bytes, so a long app's name is cut there and
//! told apart by its hash; a stack whose name leaves no room for that has no stable address.

use super::secret;
use std::borrow::Cow;

const LABEL: usize = 63;
const HASH: usize = 6;
const BETWEEN: &str = "--";

/// Where the stable addresses are: scheme, domain and port as people reach them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    scheme: &'static str,
    domain: String,
    port: Option<u16>,
}

impl Addresses {
    /// Reads `https://*.stage.example.org`: the star stands for the label.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(template: &str) -> Result<Self, String> {
        let bad = || format!("{template:?} must look like https://*.stage.example.org");
        let (scheme, rest) = template.trim_end_matches('/').split_once("://*.").ok_or_else(bad)?;
        let scheme = match scheme {
            "http" => "http",
            "https" => "https",
            _ => return Err(bad()),
        };
        let (domain, port) = match rest.split_once(':') {
            Some((domain, port)) => (domain, Some(port.parse().map_err(|_| bad())?)),
            None => (rest, None),
        };
        let part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        if !domain.split('.').all(part) {
            return Err(bad());
        }
        let usual = if scheme == "https" { 443 } else { 80 };
        Ok(Self {
            scheme,
            domain: domain.to_ascii_lowercase(),
            port: port.filter(|port| *port != usual),
        })
    }

    /// Names under `localhost`, which browsers and curl take for the machine that they run on.
    pub fn local(port: u16) -> Self {
        Self {
            scheme: "http",
            domain: "localhost".to_owned(),
            port: (port != 80).then_some(port),
        }
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// Whether people come over TLS.
    pub fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// The address of a label, with a slash at the end.
    pub fn url(&self, label: &str) -> String {
        format!("{}/", self.origin(label))
    }

    /// The origin of a label, or with `*` of all, as in a content security policy.
    pub fn origin(&self, label: &str) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}://{label}.{}{port}", self.scheme, self.domain)
    }

    /// The label of a host name (with or without port) if it is one of ours.
    pub fn label_of<'a>(&self, host: &'a str) -> Option<Cow<'a, str>> {
        let name = host.split_once(':').map_or(host, |(name, _)| name);
        let name = name.strip_suffix('.').unwrap_or(name);
        let at = name.len().checked_sub(self.domain.len() + 1)?;
        let (label, rest) = name.split_at_checked(at)?;
        let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let ours = rest.strip_prefix('.')?.eq_ignore_ascii_case(&self.domain) && plain && label.contains(BETWEEN);
        ours.then(|| {
            if label.bytes().any(|b| b.is_ascii_uppercase()) {
                Cow::Owned(label.to_ascii_lowercase())
            } else {
                Cow::Borrowed(label)
            }
        })
    }

    /// The label and the path of an address of ours.
    pub fn split<'a>(&self, url: &'a str) -> Option<(Cow<'a, str>, &'a str)> {
        let rest = url.strip_prefix(self.scheme)?.strip_prefix("://")?;
        let at = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (host, path) = rest.split_at(at);
        let label = self.label_of(host)?;
        let right = host.len() == self.origin(&label).len() - self.scheme.len() - "://".len();
        right.then_some((label, path))
    }
}

/// The label of an app of a stack; `port` where it is not the app's first one.
pub fn label(app: &str, port: Option<&str>, stack: &str) -> Option<String> {
    let front = match port {
        Some(port) => format!("{port}{BETWEEN}{app}"),
        None => app.to_owned(),
    };
    let room = LABEL.checked_sub(BETWEEN.len() + stack.len())?;
    if front.len() <= room {
        return Some(format!("{front}{BETWEEN}{stack}"));
    }
    let cut = front.get(..room.checked_sub(HASH + 1)?)?.trim_end_matches('-');
    let hash = &secret::hash(&front)[..HASH];
    (!cut.is_empty()).then(|| format!("{cut}-{hash}{BETWEEN}{stack}"))
}

/// The names of stacks that a label may end in.
pub fn stacks_of(label: &str) -> impl Iterator<Item = &str> {
    label.match_indices(BETWEEN).map(|(at, _)| &label[at + BETWEEN.len()..])
}

/// Text as a value of a query.
pub fn encode(text: &str) -> String {
    use std::fmt::Write as _;
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_made_of_app_and_stack_and_found_again_in_a_host_name() {
        let local = Addresses::local(7400);
        let name = label("storefront", None, "lucky-duet").unwrap();
        assert_eq!(local.url(&name), "http://storefront--lucky-duet.localhost:7400/");
        for host in [
            "storefront--lucky-duet.localhost:7400",
            "storefront--lucky-duet.localhost",
            "Storefront--Lucky-Duet.LOCALHOST.:80",
        ] {
            assert_eq!(local.label_of(host).as_deref(), Some("storefront--lucky-duet"), "{host}");
        }
        for host in [
            "localhost:7400",
            "127.0.0.1:7400",
            "[::1]:7400",
            "greenroom.localhost",
            "a--b.evil.localhost",
            "a--b.notlocalhost",
            "",
            ".localhost",
        ] {
            assert_eq!(local.label_of(host), None, "{host}");
        }
        assert_eq!(
            stacks_of("web--my--app--a-stack").collect::<Vec<_>>(),
            ["my--app--a-stack", "app--a-stack", "a-stack"]
        );
    }

    #[test]
    fn a_template_says_where_people_reach_them() {
        let tls = Addresses::parse("https://*.Stage.example.org").unwrap();
        assert_eq!(tls.url("a--b"), "https://a--b.stage.example.org/");
        assert_eq!(tls, Addresses::parse("https://*.stage.example.org:443/").unwrap());
        for bad in [
            "stage.example.org",
            "ftp://*.x",
            "http://*.",
            "http://*.a b",
            "http://*.x:y",
            "http://*.x/path",
        ] {
            assert!(Addresses::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn only_addresses_of_ours_are_split() {
        let local = Addresses::local(7400);
        let split = |url| local.split(url).map(|(label, path)| (label.into_owned(), path));
        assert_eq!(split("http://a--b.localhost:7400/x?y"), Some(("a--b".to_owned(), "/x?y")));
        assert_eq!(split("http://a--b.localhost:7400"), Some(("a--b".to_owned(), "")));
        for other in [
            "https://a--b.localhost:7400/",
            "http://a--b.localhost:7401000/",
            "http://a--b.localhost/",
            "http://evil.example/a--b.localhost:7400/",
            "http://me@a--b.localhost:7400/",
            "//a--b.localhost:7400/",
        ] {
            assert_eq!(split(other), None, "{other}");
        }
    }

    #[test]
    fn long_names_are_cut_and_told_apart() {
        let (one, two) = (format!("{}one", "a".repeat(58)), format!("{}two", "a".repeat(58)));
        let of = |app: &str| label(app, None, "lucky-duet").unwrap();
        assert!(of(&one).len() <= LABEL && of(&one) != of(&two));
        assert_eq!(label("shop", None, &"s".repeat(63)), None);
        assert_eq!(label("shop", Some("admin"), "duet").unwrap(), "admin--shop--duet");
    }

    #[test]
    fn the_way_back_survives_the_sign_in_page() {
        assert_eq!(encode("/stacks?mine=1&text=a b"), "/stacks%3Fmine%3D1%26text%3Da%20b");
    }
}
