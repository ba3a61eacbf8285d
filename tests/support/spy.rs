//! Between the daemon and the sandbox's token endpoint: hands everything on, and keeps what it saw.

use std::{
    io::{Read, Write},
    net::{Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

pub struct Spy {
    pub address: SocketAddr,
    seen: Arc<Mutex<Vec<u8>>>,
}

impl Spy {
    pub fn before(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let spy = Self { address: listener.local_addr().unwrap(), seen: Arc::default() };
        let seen = spy.seen.clone();
        // Ends with the process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(server).unwrap();
                hand_on(client.try_clone().unwrap(), server.try_clone().unwrap(), seen.clone());
                hand_on(server, client, seen.clone());
            }
        });
        spy
    }

    /// Every value of these fields, in a form or in JSON.
    pub fn values(&self, fields: &[&str]) -> Vec<String> {
        let seen = String::from_utf8_lossy(&self.seen.lock().unwrap()).into_owned();
        let value = |text: &str| -> String {
            text.chars().take_while(|c| c.is_ascii_alphanumeric() || "-_.%".contains(*c)).collect()
        };
        let of = |field: &str| -> Vec<String> {
            let marks = [format!("{field}="), format!("\"{field}\":\"")];
            marks.iter().flat_map(|mark| seen.split(mark.as_str()).skip(1).map(value)).collect()
        };
        let mut values: Vec<_> = fields.iter().flat_map(|field| of(field)).filter(|v| v.len() > 15).collect();
        values.sort();
        values.dedup();
        values
    }
}

fn hand_on(mut from: TcpStream, mut to: TcpStream, seen: Arc<Mutex<Vec<u8>>>) {
    thread::spawn(move || {
        let mut buffer = [0; 16384];
        while let Ok(octets @ 1..) = from.read(&mut buffer) {
            seen.lock().unwrap().extend_from_slice(&buffer[..octets]);
            if to.write_all(&buffer[..octets]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
