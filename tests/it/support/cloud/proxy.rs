//! The proxy: HTTP by hand, for a library's server would not let a connection be cut.

use super::{moto, rewrite};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// What happens to a call.
#[derive(Debug, Clone)]
pub enum Trouble {
    /// It arrives late.
    Delay(Duration),
    /// The connection ends before it arrives.
    DropBefore,
    /// It has its effect, and the connection ends before the answer.
    DropAfter,
    /// It arrives twice.
    Duplicate,
    /// It is refused, with this status, code and message.
    Refuse(u16, String, String),
}

impl Trouble {
    /// EC2's answer to whoever asks too often.
    pub fn throttle() -> Self {
        Self::refuse(503, "RequestLimitExceeded", "Request limit exceeded.")
    }

    /// A refusal.
    pub fn refuse(status: u16, code: &str, message: &str) -> Self {
        Self::Refuse(status, code.to_owned(), message.to_owned())
    }
}

/// How the cloud is all the time.
#[derive(Debug, Clone, Default)]
pub struct Weather {
    /// How long instances take from one state to the next.
    pub slow: Duration,
    /// How long it takes until a launch shows.
    pub blind: Duration,
    /// How many items a page has at most.
    pub page: Option<usize>,
    /// One in so many calls is delayed, dropped before or after, doubled, or throttled; each in turn.
    pub storm: Option<u64>,
}

/// A cloud account of its own.
#[derive(Debug, Clone)]
pub struct Cloud(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    url: String,
    moto: String,
    account: String,
    http: reqwest::Client,
    state: Mutex<State>,
}

type Parameters = BTreeMap<String, String>;
type Answer = (u16, String);
/// Of a launch: what was asked, and what came of it.
type Launch = Arc<tokio::sync::Mutex<Option<(Parameters, Answer)>>>;

#[derive(Debug, Default)]
struct State {
    weather: Weather,
    troubles: Vec<(String, Trouble, usize)>,
    calls: Vec<(String, Parameters, Instant)>,
    launches: HashMap<String, Launch>,
    /// Instances that are on their way, and where they still seem to be until when.
    moving: HashMap<String, (&'static str, Instant)>,
    hidden: HashMap<String, Instant>,
    protected: HashSet<String>,
    /// Images by name: a name is there once.
    images: HashMap<String, String>,
    /// Where instances really are, where something really runs for them.
    addresses: HashMap<String, String>,
    storm: u64,
}

impl Cloud {
    /// A new account, or nothing where there is no moto.
    pub async fn start(weather: Weather) -> Option<Self> {
        let moto = moto::url()?.to_owned();
        greenroom::tls::install();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = Arc::new(Inner {
            url: format!("http://{}", listener.local_addr().unwrap()),
            moto,
            account: format!("{:012}", rand::random::<u64>() % 1_000_000_000_000),
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
            state: Mutex::new(State {
                weather,
                ..State::default()
            }),
        });
        let serving = Arc::downgrade(&inner);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let Some(inner) = serving.upgrade() else { return };
                tokio::spawn(async move {
                    let _ = inner.serve(connection).await;
                });
            }
        });
        let cloud = Self(inner);
        for name in ["greenroom-base-1", "greenroom-base-2"] {
            let image = [("Name", name), ("RootDeviceName", "/dev/sda1"), ("Architecture", "x86_64")];
            cloud.ask("RegisterImage", &image).await;
        }
        Some(cloud)
    }

    /// Its address.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// Lets the next calls of this action (of any, where `*`) go wrong, so many times.
    pub fn trouble(&self, action: &str, trouble: Trouble, times: usize) {
        self.0.state().troubles.push((action.to_owned(), trouble, times));
    }

    /// Ends all trouble.
    pub fn calm(&self) {
        self.0.state().troubles.clear();
    }

    /// Changes the weather.
    pub fn weather(&self, weather: Weather) {
        self.0.state().weather = weather;
    }

    /// Protects an instance from being ended.
    pub fn protect(&self, id: &str, protected: bool) {
        let mut state = self.0.state();
        if protected {
            state.protected.insert(id.to_owned());
        } else {
            state.protected.remove(id);
        }
    }

    /// Lets a slow instance be there now, at this address.
    pub fn arrive(&self, id: &str, address: &str) {
        let mut state = self.0.state();
        state.moving.remove(id);
        state.addresses.insert(id.to_owned(), address.to_owned());
    }

    /// What was asked with this action, and when.
    pub fn calls(&self, action: &str) -> Vec<(BTreeMap<String, String>, Instant)> {
        let state = self.0.state();
        let of = state.calls.iter().filter(|(name, ..)| name == action);
        of.map(|(_, parameters, at)| (parameters.clone(), *at)).collect()
    }

    /// Asks moto behind everyone's back; gives its answer.
    pub async fn ask(&self, action: &str, parameters: &[(&str, &str)]) -> String {
        let mut all: Parameters = parameters.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        all.insert("Action".into(), action.into());
        all.insert("Version".into(), "2016-11-15".into());
        let (status, body) = self.0.forward(&all).await;
        assert_eq!(status, 200, "{action}: {body}");
        body
    }

    /// Everything that there is under a tag, as moto has it: instances that are not terminated, volumes, addresses.
    pub async fn tagged(&self, key: &str, value: &str) -> Vec<String> {
        let by = [
            ("Filter.1.Name".to_owned(), format!("tag:{key}")),
            ("Filter.1.Value.1".to_owned(), value.to_owned()),
        ];
        let mut filter: Vec<(&str, &str)> = by.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let mut found = Vec::new();
        filter.push(("MaxResults", "1000"));
        let instances = self.ask("DescribeInstances", &filter).await;
        filter.pop();
        for (id, state) in rewrite::states(&instances) {
            if state != "terminated" {
                found.push(format!("{id} {state}"));
            }
        }
        for (action, tag) in [("DescribeVolumes", "volumeId"), ("DescribeAddresses", "allocationId")] {
            let answer = self.ask(action, &filter).await;
            let mut ids = rewrite::all(&answer, tag);
            ids.dedup();
            found.extend(ids);
        }
        found
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(self: Arc<Self>, connection: TcpStream) -> std::io::Result<()> {
        let mut connection = BufReader::new(connection);
        loop {
            let Some(body) = read(&mut connection).await? else {
                return Ok(());
            };
            let parameters: Parameters = decoded(&body);
            let action = parameters.get("Action").cloned().unwrap_or_default();
            let trouble = {
                let mut state = self.state();
                state.calls.push((action.clone(), parameters.clone(), Instant::now()));
                state.trouble(&action)
            };
            let (status, text) = match trouble {
                Some(Trouble::DropBefore) => return Ok(()),
                Some(Trouble::DropAfter) => {
                    self.answer(&action, parameters).await;
                    return Ok(());
                }
                Some(Trouble::Refuse(status, code, message)) => refusal(status, &code, &message),
                Some(Trouble::Duplicate) => {
                    self.answer(&action, parameters.clone()).await;
                    self.answer(&action, parameters).await
                }
                Some(Trouble::Delay(time)) => {
                    tokio::time::sleep(time).await;
                    self.answer(&action, parameters).await
                }
                None => self.answer(&action, parameters).await,
            };
            let head = format!(
                "HTTP/1.1 {status} Status\r\ncontent-type: text/xml\r\nx-amzn-requestid: request-1\r\ncontent-length: {}\r\n\r\n",
                text.len()
            );
            connection.get_mut().write_all(format!("{head}{text}").as_bytes()).await?;
        }
    }

    async fn answer(self: &Arc<Self>, action: &str, mut parameters: Parameters) -> Answer {
        let dry = parameters.get("DryRun").is_some_and(|dry| dry == "true");
        match action {
            "RunInstances" if !dry => self.launch(parameters).await,
            "StopInstances" | "TerminateInstances" | "StartInstances" if !dry => self.order(action, parameters).await,
            "DescribeInstances" => {
                let page = self.state().weather.page;
                if let (Some(page), true) = (page, parameters.contains_key("MaxResults")) {
                    parameters.insert("MaxResults".into(), page.to_string());
                }
                let (status, text) = self.forward(&parameters).await;
                let asked = parameters.get("InstanceId.1").cloned();
                self.state().seen(status, &text, asked.as_deref())
            }
            "CreateImage" => {
                // moto tags images and fails where their snapshots are to be tagged too.
                let of = |n: usize| format!("TagSpecification.{n}.");
                let snapshot = (1..4).find(|n| {
                    let kind = parameters.get(&format!("{}ResourceType", of(*n)));
                    kind.is_some_and(|kind| kind == "snapshot")
                });
                if let Some(n) = snapshot {
                    parameters.retain(|key, _| !key.starts_with(&of(n)));
                }
                let name = parameters.get("Name").cloned().unwrap_or_default();
                if self.state().images.contains_key(&name) {
                    let why = format!("AMI name {name} is already in use");
                    return refusal(400, "InvalidAMIName.Duplicate", &why);
                }
                let (status, text) = self.forward(&parameters).await;
                if let (200, Some(id), false) = (status, rewrite::all(&text, "imageId").pop(), dry) {
                    self.state().images.insert(name, id);
                }
                (status, text)
            }
            "DeregisterImage" => {
                let id = parameters.get("ImageId").cloned().unwrap_or_default();
                self.state().images.retain(|_, image| *image != id);
                self.forward(&parameters).await
            }
            _ => self.forward(&parameters).await,
        }
    }

    // What moto has no memory for.
    async fn launch(&self, parameters: Parameters) -> Answer {
        use base64::Engine as _;
        let data = parameters.get("UserData").cloned().unwrap_or_default();
        let data = base64::engine::general_purpose::STANDARD.decode(data).unwrap_or_default();
        if data.len() > 16_384 {
            return refusal(400, "InvalidParameterValue", "User data is limited to 16384 bytes");
        }
        let token = parameters.get("ClientToken").cloned().unwrap_or_default();
        let launch = Arc::clone(self.state().launches.entry(token).or_default());
        let mut launch = launch.lock().await;
        if let Some((asked, answer)) = launch.as_ref() {
            return if *asked == parameters {
                answer.clone()
            } else {
                refusal(
                    400,
                    "IdempotentParameterMismatch",
                    "Arguments on this idempotent request are inconsistent",
                )
            };
        }
        let (status, text) = self.forward(&parameters).await;
        if status == 200 {
            let mut state = self.state();
            let (slow, blind) = (state.weather.slow, state.weather.blind);
            for id in rewrite::all(&text, "instanceId") {
                state.moving.insert(id.clone(), ("pending", Instant::now() + slow));
                state.hidden.insert(id, Instant::now() + blind);
            }
            *launch = Some((parameters, (status, text.clone())));
        }
        (status, text)
    }

    async fn order(self: &Arc<Self>, action: &str, parameters: Parameters) -> Answer {
        let id = parameters.get("InstanceId.1").cloned().unwrap_or_default();
        let (slow, protected, hidden, moving) = {
            let state = self.state();
            let now = Instant::now();
            (
                state.weather.slow,
                state.protected.contains(&id),
                state.hidden.get(&id).is_some_and(|until| *until > now),
                state
                    .moving
                    .get(&id)
                    .filter(|(_, until)| *until > now)
                    .map(|(state, _)| *state),
            )
        };
        if hidden {
            return not_found(&id);
        }
        if protected && action == "TerminateInstances" {
            return refusal(
                400,
                "OperationNotPermitted",
                "The instance may not be terminated. Modify its 'disableApiTermination' instance attribute and try again.",
            );
        }
        if action != "TerminateInstances"
            && let Some(moving) = moving
        {
            let why = format!("The instance '{id}' is not in a state from which it can do that: {moving}");
            return refusal(400, "IncorrectInstanceState", &why);
        }
        let (meanwhile, code) = match action {
            "StopInstances" => ("stopping", 64),
            "StartInstances" => ("pending", 0),
            _ => ("shutting-down", 32),
        };
        self.state().moving.insert(id.clone(), (meanwhile, Instant::now() + slow));
        if slow.is_zero() || action == "StartInstances" {
            return self.forward(&parameters).await;
        }
        // moto is told once it is done, for it knows no way in between.
        let later = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep(slow).await;
            later.forward(&parameters).await;
        });
        let text = format!(
            "<{action}Response xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\"><requestId>r</requestId><instancesSet><item><instanceId>{id}\
             </instanceId><currentState><code>{code}</code><name>{meanwhile}</name></currentState></item></instancesSet></{action}Response>"
        );
        (200, text)
    }

    async fn forward(&self, parameters: &Parameters) -> Answer {
        let answer = self
            .http
            .post(&self.moto)
            .header("host", "ec2.us-east-1.amazonaws.com")
            .header("content-type", "application/x-www-form-urlencoded; charset=utf-8")
            .header("x-moto-account-id", &self.account)
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/ec2/aws4_request, SignedHeaders=host, Signature=0",
            )
            .body(encoded(parameters))
            .send()
            .await;
        match answer {
            Ok(answer) => (answer.status().as_u16(), answer.text().await.unwrap_or_default()),
            Err(error) => refusal(503, "Unavailable", &error.to_string()),
        }
    }
}

impl State {
    fn trouble(&mut self, action: &str) -> Option<Trouble> {
        let planned = self.troubles.iter().position(|(of, ..)| of == action || of == "*");
        if let Some(at) = planned {
            let (_, trouble, times) = &mut self.troubles[at];
            let trouble = trouble.clone();
            *times -= 1;
            if *times == 0 {
                self.troubles.remove(at);
            }
            return Some(trouble);
        }
        let every = self.weather.storm?;
        self.storm += 1;
        if !self.storm.is_multiple_of(every) {
            return None;
        }
        Some(match (self.storm / every) % 5 {
            0 => Trouble::throttle(),
            1 => Trouble::DropBefore,
            2 => Trouble::DropAfter,
            3 => Trouble::Duplicate,
            _ => Trouble::Delay(Duration::from_millis(50)),
        })
    }

    // What a listing shows: not yet what was launched just now, and states that take their time.
    fn seen(&mut self, status: u16, text: &str, asked: Option<&str>) -> Answer {
        let now = Instant::now();
        self.hidden.retain(|_, until| *until > now);
        self.moving.retain(|_, (_, until)| *until > now);
        if let Some(id) = asked.filter(|id| self.hidden.contains_key(*id)) {
            return not_found(id);
        }
        if status != 200 {
            return (status, text.to_owned());
        }
        let text = rewrite::without(text, |id| self.hidden.contains_key(id));
        let text = rewrite::with_states(&text, |id| self.moving.get(id).map(|(state, _)| *state));
        let text = rewrite::with_addresses(&text, |id| self.addresses.get(id).map(String::as_str));
        (status, text)
    }
}

fn not_found(id: &str) -> Answer {
    refusal(
        400,
        "InvalidInstanceID.NotFound",
        &format!("The instance ID '{id}' does not exist"),
    )
}

fn refusal(status: u16, code: &str, message: &str) -> Answer {
    let text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Response><Errors><Error><Code>{code}</Code><Message>{message}</Message></Error></Errors>\
         <RequestID>request-1</RequestID></Response>"
    );
    (status, text)
}

// The body of the next request on this connection.
async fn read(connection: &mut BufReader<TcpStream>) -> std::io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match connection.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return Ok(None),
        }
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    connection.read_exact(&mut body).await?;
    Ok(Some(String::from_utf8_lossy(&body).into_owned()))
}

fn decoded(body: &str) -> Parameters {
    let url = reqwest::Url::parse(&format!("http://x/?{body}")).unwrap();
    url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect()
}

fn encoded(parameters: &Parameters) -> String {
    let mut url = reqwest::Url::parse("http://x/").unwrap();
    url.query_pairs_mut().extend_pairs(parameters);
    url.query().unwrap_or_default().to_owned()
}
