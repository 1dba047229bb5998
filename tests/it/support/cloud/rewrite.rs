//! EC2's answers as text: enough to hide an instance in a listing, or to show it in another state.

/// What stands between each of these tags.
pub fn all(text: &str, tag: &str) -> Vec<String> {
    let (open, close) = (format!("<{tag}>"), format!("</{tag}>"));
    let parts = text.split(&open).skip(1);
    parts
        .filter_map(|part| part.split(&close).next().map(str::to_owned))
        .collect()
}

/// Each instance and its state.
pub fn states(text: &str) -> Vec<(String, String)> {
    let parts = text.split("<instanceState>");
    let mut found = Vec::new();
    let mut before = "";
    for (index, part) in parts.enumerate() {
        if index > 0 {
            let id = before.rsplit("<instanceId>").next().and_then(|rest| rest.split('<').next());
            let state = part.split("<name>").nth(1).and_then(|rest| rest.split('<').next());
            found.push((id.unwrap_or_default().to_owned(), state.unwrap_or_default().to_owned()));
        }
        before = part;
    }
    found
}

/// The listing with these states in place of the true ones.
pub fn with_states(text: &str, shown: impl Fn(&str) -> Option<&'static str>) -> String {
    let mut out = String::new();
    for (index, part) in text.split("<instanceState>").enumerate() {
        if index == 0 {
            out.push_str(part);
            continue;
        }
        let id = out.rsplit("<instanceId>").next().and_then(|rest| rest.split('<').next());
        let state = id.and_then(&shown);
        out.push_str("<instanceState>");
        match (state, part.split_once("</instanceState>")) {
            (Some(state), Some((_, rest))) => {
                out.extend(["<code>0</code><name>", state, "</name></instanceState>", rest]);
            }
            _ => out.push_str(part),
        }
    }
    out
}

/// The listing with these addresses in place of the invented ones.
pub fn with_addresses<'a>(text: &str, at: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::new();
    for (index, part) in text.split("<instanceId>").enumerate() {
        if index == 0 {
            out.push_str(part);
            continue;
        }
        out.push_str("<instanceId>");
        let address = part.split('<').next().and_then(&at);
        let mut part = part.to_owned();
        if let Some(address) = address {
            for tag in ["privateIpAddress", "ipAddress"] {
                for old in all(&part, tag) {
                    part = part.replace(&format!("<{tag}>{old}</{tag}>"), &format!("<{tag}>{address}</{tag}>"));
                }
            }
        }
        out.push_str(&part);
    }
    out
}

/// The listing without these instances; moto has a reservation for each.
pub fn without(text: &str, hidden: impl Fn(&str) -> bool) -> String {
    let Some((head, rest)) = text.split_once("<reservationSet>") else {
        return text.to_owned();
    };
    let Some((inner, tail)) = rest.rsplit_once("</reservationSet>") else {
        return text.to_owned();
    };
    let mut out = format!("{head}<reservationSet>");
    for part in inner.split("<reservationId>").skip(1) {
        let whole = part.rsplit_once("</item>").map_or(part, |(whole, _)| whole);
        if !all(whole, "instanceId").iter().any(|id| hidden(id)) {
            out.extend(["<item><reservationId>", whole, "</item>"]);
        }
    }
    out.extend(["</reservationSet>", tail]);
    out
}
