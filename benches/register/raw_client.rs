//! A minimal client as the lower bound: one PUT after the other on one connection.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
};

use serde_json::Value;

/// Sends each body. Panics if the agent does not accept it.
pub(super) fn register(address: &str, bodies: &[Value]) {
    let stream = TcpStream::connect(address.trim_start_matches("http://")).expect("a connection");
    stream.set_nodelay(true).expect("an open connection");
    let mut answers = BufReader::new(stream.try_clone().expect("a handle"));
    let mut requests = stream;
    for body in bodies {
        let body = body.to_string();
        let head =
            format!("PUT /v1/agent/service/register HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        requests.write_all(format!("{head}{body}").as_bytes()).expect("the request goes out");
        answer(&mut answers);
    }
}

fn answer(answers: &mut impl BufRead) {
    let mut length = 0;
    for number in 0.. {
        let mut line = String::new();
        answers.read_line(&mut line).expect("an answer");
        let line = line.trim_end().to_ascii_lowercase();
        assert!(number > 0 || line.starts_with("http/1.1 200"), "{line}");
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().expect("a length");
        }
        if line.is_empty() {
            break;
        }
    }
    answers.read_exact(&mut vec![0; length]).expect("the body");
}
