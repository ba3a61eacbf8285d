//! A browser without a window: plain HTTP on loopback, redirects followed.

use super::PATIENCE;
use std::{
    io::{self, Read, Write},
    net::TcpStream,
};
use url::Url;

/// What a server answered.
#[derive(Debug)]
pub struct Page {
    pub status: u16,
    pub location: Option<String>,
    /// The status line and all fields.
    pub head: String,
    pub body: String,
}

impl Page {
    /// A field of the head.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }
}

pub fn get(address: &str) -> io::Result<Page> {
    ask("GET", address, &[], "")
}

/// A request with these fields besides Host.
pub fn ask(method: &str, address: &str, fields: &[(&str, &str)], body: &str) -> io::Result<Page> {
    let url = Url::parse(address).map_err(io::Error::other)?;
    let host = url.host_str().ok_or(io::ErrorKind::InvalidInput)?;
    let port = url.port_or_known_default().unwrap_or(80);
    let mut stream = TcpStream::connect((host, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut request = format!("{method} {}{query} HTTP/1.1\r\nConnection: close\r\n", url.path());
    if !fields.iter().any(|(name, _)| *name == "Host") {
        request.push_str(&format!("Host: {host}:{port}\r\n"));
    }
    for (name, value) in fields {
        request.push_str(&format!("{name}: {value}\r\n"));
    }
    if method != "GET" {
        request.push_str(&format!(
            "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n",
            body.len()
        ));
    }
    request.push_str("\r\n");
    request.push_str(body);
    stream.write_all(request.as_bytes())?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    let response = String::from_utf8_lossy(&response);
    let (head, body) = response.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let status =
        head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let mut page = Page { status, location: None, head: head.to_owned(), body: body.to_owned() };
    page.location = page.field("location").map(str::to_owned);
    Ok(page)
}

/// The page at the end of the redirects.
pub fn follow(address: &str) -> io::Result<Page> {
    let mut url = Url::parse(address).map_err(io::Error::other)?;
    for _ in 0..6 {
        let page = get(url.as_str())?;
        match page.location {
            Some(location) => url = url.join(&location).map_err(io::Error::other)?,
            None => return Ok(page),
        }
    }
    Err(io::Error::other("redirects without end"))
}
