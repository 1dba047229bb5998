//! Facts: what a machine reports of itself, ours or out of Ohai's or Facter's JSON.
//!
//! They are kept as they came, so that whoever knows Ohai or Facter finds what they know; what every query needs is put
//! under `machine`, the same whoever reported it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

const MAX_DEPTH: usize = 24;
const MAX_VALUES: usize = 20_000;

/// Who wrote the JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FactsFormat {
    /// Greenroom's agent, or whoever writes facts by hand.
    Greenroom,
    /// Chef's `ohai`.
    Ohai,
    /// Puppet's `facter --json`.
    Facter,
}

impl FactsFormat {
    /// Its word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Greenroom => "greenroom",
            Self::Ohai => "ohai",
            Self::Facter => "facter",
        }
    }

    /// Who wrote these facts, by what only they write.
    pub fn of(facts: &Value) -> Self {
        if facts.get("facterversion").is_some()
            || facts.get("networking").is_some() && facts.get("os").is_some_and(Value::is_object)
        {
            Self::Facter
        } else if facts.get("ohai_time").is_some() || facts.get("platform_family").is_some() {
            Self::Ohai
        } else {
            Self::Greenroom
        }
    }
}

/// Why facts are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FactsError {
    /// They are no JSON object.
    #[error("facts are a JSON object, such as `ohai` and `facter --json` print")]
    NoObject,
    /// They are too many or nested too deeply.
    #[error("facts hold more than {MAX_VALUES} values or are nested more than {MAX_DEPTH} levels deep")]
    TooMuch,
}

/// Facts with `machine` filled in, and who wrote them.
///
/// # Errors
/// Where they are no object, or hold too much.
pub fn normalise_facts(facts: Value) -> Result<(Value, FactsFormat), FactsError> {
    let format = FactsFormat::of(&facts);
    let mut left = MAX_VALUES;
    if !fits(&facts, MAX_DEPTH, &mut left) {
        return Err(FactsError::TooMuch);
    }
    let Value::Object(mut map) = facts else {
        return Err(FactsError::NoObject);
    };
    let machine = machine(&map, format);
    if !machine.is_empty() {
        map.insert("machine".into(), Value::Object(machine));
    }
    Ok((Value::Object(map), format))
}

fn fits(value: &Value, depth: usize, left: &mut usize) -> bool {
    if depth == 0 || *left == 0 {
        return false;
    }
    *left -= 1;
    match value {
        Value::Object(map) => map.values().all(|value| fits(value, depth - 1, left)),
        Value::Array(items) => items.iter().all(|value| fits(value, depth - 1, left)),
        _ => true,
    }
}

// Our name of each thing, and where each format has it.
const NAMES: &[(&str, &str, &str, &str)] = &[
    ("hostname", "hostname", "hostname", "networking.hostname"),
    ("fqdn", "fqdn", "fqdn", "networking.fqdn"),
    ("address", "address", "ipaddress", "networking.ip"),
    ("os", "os", "platform", "os.name"),
    ("os_version", "os_version", "platform_version", "os.release.full"),
    ("os_family", "os_family", "platform_family", "os.family"),
    ("kernel", "kernel", "kernel.release", "kernelrelease"),
    ("architecture", "architecture", "kernel.machine", "os.architecture"),
    ("cpus", "cpus", "cpu.total", "processors.count"),
    ("memory_mb", "memory_mb", "memory.total", "memory.system.total_bytes"),
    ("virtual", "virtual", "virtualization.system", "virtual"),
];

fn machine(facts: &Map<String, Value>, format: FactsFormat) -> Map<String, Value> {
    let mut machine = match (format, facts.get("machine")) {
        (FactsFormat::Greenroom, Some(Value::Object(given))) => given.clone(),
        _ => Map::new(),
    };
    for (name, ours, ohai, facter) in NAMES {
        let path = match format {
            FactsFormat::Greenroom => ours,
            FactsFormat::Ohai => ohai,
            FactsFormat::Facter => facter,
        };
        let found = path.split('.').try_fold(None::<&Value>, |at, key| {
            let next = match at {
                None => facts.get(key),
                Some(value) => value.get(key),
            };
            next.map(Some)
        });
        let scalar = found.flatten().filter(|value| !value.is_object() && !value.is_array());
        if let Some(value) = scalar
            && !machine.contains_key(*name)
        {
            let value = if *name == "memory_mb" {
                megabytes(value)
            } else {
                value.clone()
            };
            machine.insert((*name).to_owned(), value);
        }
    }
    machine
}

// Ohai writes `16384kB`, Facter a number of bytes, we a number of megabytes.
fn megabytes(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            digits
                .parse::<u64>()
                .map_or_else(|_| value.clone(), |kilobytes| json!(kilobytes / 1024))
        }
        Value::Number(number) => match number.as_u64() {
            Some(bytes) if bytes > 1 << 24 => json!(bytes >> 20),
            _ => value.clone(),
        },
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_machine_is_the_same_whoever_reports_it() {
        let ohai = json!({"ohai_time": 1, "platform": "debian", "platform_version": "12", "platform_family": "debian", "hostname": "web1",
            "kernel": {"release": "6.1", "machine": "x86_64"}, "cpu": {"total": 4}, "memory": {"total": "8388608kB"}, "ipaddress": "10.0.0.1"});
        let facter = json!({"facterversion": "4", "os": {"name": "debian", "family": "debian", "release": {"full": "12"}, "architecture": "x86_64"},
            "networking": {"hostname": "web1", "ip": "10.0.0.1"}, "kernelrelease": "6.1", "processors": {"count": 4},
            "memory": {"system": {"total_bytes": 8_589_934_592_u64}}});
        let (ohai, one) = normalise_facts(ohai).unwrap();
        let (facter, two) = normalise_facts(facter).unwrap();
        assert_eq!((one, two), (FactsFormat::Ohai, FactsFormat::Facter));
        assert_eq!(ohai["machine"], facter["machine"]);
        assert_eq!(ohai["machine"]["memory_mb"], 8192);
        assert_eq!(ohai["platform"], "debian", "what came is kept as it came");
    }

    #[test]
    fn what_is_no_object_or_too_deep_is_refused() {
        assert_eq!(normalise_facts(json!([1])), Err(FactsError::NoObject));
        let deep = (0..60).fold(json!(1), |inner, _| json!({ "x": inner }));
        assert_eq!(normalise_facts(deep), Err(FactsError::TooMuch));
    }
}
