//! As much of an HTTP server as a small service needs: one thread a connection, one answer, then close.

use crate::json::{object, text};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

const LIMIT: u64 = 64 * 1024;

pub struct Request {
    pub method: String,
    pub path: String,
    body: String,
}

impl Request {
    /// The fields of a submitted form.
    pub fn form(&self) -> Vec<(String, String)> {
        let pairs = self.body.split('&').filter_map(|pair| pair.split_once('='));
        pairs.map(|(key, value)| (decode(key), decode(value))).collect()
    }
}

pub struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    pub fn json(status: u16, body: String) -> Self {
        Self { status, body }
    }

    pub fn error(status: u16, why: &str) -> Self {
        Self::json(status, object(&[("error", text(why))]))
    }
}

/// Serves until the process ends.
pub fn serve(address: &str, answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> std::io::Result<()> {
    let listener = TcpListener::bind(address)?;
    let answer = Arc::new(answer);
    eprintln!("reviews {}: listening on {address}", env!("CARGO_PKG_VERSION"));
    for stream in listener.incoming().flatten() {
        let answer = Arc::clone(&answer);
        std::thread::spawn(move || {
            if let Err(error) = converse(stream, answer.as_ref()) {
                eprintln!("a connection ended early: {error}");
            }
        });
    }
    Ok(())
}

fn converse(mut stream: TcpStream, answer: &dyn Fn(&Request) -> Answer) -> std::io::Result<()> {
    let began = Instant::now();
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream.try_clone()?.take(LIMIT));
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':') {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap_or(0).min(LIMIT);
            }
        }
    }
    let mut body = String::new();
    reader.take(length).read_to_string(&mut body)?;
    let mut words = first.split(' ');
    let Answer { status, body } = match (words.next(), words.next()) {
        (Some(method), Some(target)) => {
            let path = target.split_once('?').map_or(target, |(path, _)| path);
            answer(&Request { method: method.to_owned(), path: decode(path), body })
        }
        _ => return Ok(()),
    };
    let reason = if status < 400 { "OK" } else { "Error" };
    write!(
        stream,
        "HTTP/1.1 {status} {reason}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    if !first.contains(" /healthz ") {
        eprintln!("{} {status} {:.1} ms", first.trim_end().trim_end_matches(" HTTP/1.1"), began.elapsed().as_secs_f64() * 1e3);
    }
    Ok(())
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
