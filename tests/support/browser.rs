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
    pub body: String,
}

pub fn get(address: &str) -> io::Result<Page> {
    let url = Url::parse(address).map_err(io::Error::other)?;
    let host = url.host_str().ok_or(io::ErrorKind::InvalidInput)?;
    let port = url.port_or_known_default().unwrap_or(80);
    let mut stream = TcpStream::connect((host, port))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let query = url.query().map(|query| format!("?{query}")).unwrap_or_default();
    let request =
        format!("GET {}{query} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n", url.path());
    stream.write_all(request.as_bytes())?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response)?;
    let response = String::from_utf8_lossy(&response);
    let (head, body) = response.split_once("\r\n\r\n").ok_or(io::ErrorKind::InvalidData)?;
    let status =
        head.split(' ').nth(1).and_then(|code| code.parse().ok()).ok_or(io::ErrorKind::InvalidData)?;
    let location = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("location").then(|| value.trim().to_owned())
    });
    Ok(Page { status, location, body: body.to_owned() })
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
