//! As much of an HTTP server as a small service needs: one thread a connection, GET only, one answer, then close.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

const HEAD_LIMIT: u64 = 16 * 1024;

pub struct Request {
    pub method: String,
    pub path: String,
    query: Vec<(String, String)>,
}

impl Request {
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

pub struct Answer {
    status: u16,
    kind: &'static str,
    body: String,
}

impl Answer {
    pub fn text(status: u16, body: &str) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", body: body.to_owned() }
    }

    pub fn svg(body: String) -> Self {
        Self { status: 200, kind: "image/svg+xml", body }
    }
}

/// Serves until the process ends.
pub fn serve(address: &str, answer: fn(&Request) -> Answer) -> std::io::Result<()> {
    let listener = TcpListener::bind(address)?;
    eprintln!("covers {}: listening on {address}", env!("CARGO_PKG_VERSION"));
    for stream in listener.incoming().flatten() {
        std::thread::spawn(move || {
            if let Err(error) = converse(stream, answer) {
                eprintln!("a connection ended early: {error}");
            }
        });
    }
    Ok(())
}

fn converse(mut stream: TcpStream, answer: fn(&Request) -> Answer) -> std::io::Result<()> {
    let began = Instant::now();
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut lines = BufReader::new(stream.try_clone()?.take(HEAD_LIMIT)).lines();
    let Some(first) = lines.next().transpose()? else {
        return Ok(());
    };
    // The headers say nothing that matters here, but must be read before the answer is sent.
    for line in lines {
        if line?.is_empty() {
            break;
        }
    }
    let reply = match parse(&first) {
        Some(request) => answer(&request),
        None => Answer::text(400, "this is not HTTP\n"),
    };
    let Answer { status, kind, body } = reply;
    let reason = if status == 200 { "OK" } else { "Error" };
    write!(
        stream,
        "HTTP/1.1 {status} {reason}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: max-age=300\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    if !first.contains(" /healthz ") {
        eprintln!("{} {status} {:.1} ms", first.trim_end_matches(" HTTP/1.1"), began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(())
}

fn parse(line: &str) -> Option<Request> {
    let mut words = line.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let query = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (decode(key), decode(value)))
        .collect();
    Some(Request { method: method.to_owned(), path: decode(path), query })
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = text.get(at + 1..at + 3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match (bytes[at], hex) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}
