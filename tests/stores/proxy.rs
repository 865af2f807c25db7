//! A proxy on loopback that sends everything to one place, whatever it is asked for.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};

use anyhow::Context as _;

/// Listens for as long as the process runs; answers with its address.
pub(crate) fn start(to: &str) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let to = to.strip_prefix("http://").context("an address")?.to_owned();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let to = to.clone();
            // What fails is seen by who asked.
            std::thread::spawn(move || pass(&stream, &to).ok());
        }
    });
    Ok(format!("http://{address}"))
}

/// One request with a whole address (RFC 9112, 3.2.2), and its answer.
fn pass(stream: &TcpStream, to: &str) -> io::Result<()> {
    let mut asked = BufReader::new(stream.try_clone()?);
    let mut line = String::new();
    asked.read_line(&mut line)?;
    let mut words = line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let Some(path) = target.strip_prefix("http://store.invalid") else {
        return Err(io::Error::other("this is no request of a proxy"));
    };
    let mut there = TcpStream::connect(to)?;
    write!(there, "{method} {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n")?;
    loop {
        line.clear();
        asked.read_line(&mut line)?;
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if line.trim().is_empty() {
            break;
        }
        if name != "host" && name != "connection" {
            there.write_all(line.as_bytes())?;
        }
    }
    there.write_all(b"\r\n")?;
    io::copy(&mut there, &mut &*stream)?;
    Ok(())
}
