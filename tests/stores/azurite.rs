//! A container in azurite, an emulator of Azure's blob service.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, ensure};
use atrest_tests::emulator::Emulator;

use crate::scene::FILES;

/// The account that every azurite has.
const ACCOUNT: &str = "devstoreaccount1";
/// A signature of that account until 2035, made with its key, which everybody knows: "Use the Azurite emulator", Azure.
const SIGNATURE: &str = "sv=2018-11-09&ss=b&srt=sco&sp=rwdlac&se=2035-01-01T00%3A00%3A00Z&\
                         sig=d%2BJ9j0QE7G%2BJl%2B9TzW4TAMSqfMPtwLTFODtb4sZQRGI%3D";

/// The address of the account.
pub(crate) fn endpoint(azurite: &Emulator) -> String {
    format!("{}/{ACCOUNT}", azurite.url)
}

/// Makes a container with the files of a repository below `prod`.
pub(crate) fn container(azurite: &Emulator, name: &str, is_public: bool) -> anyhow::Result<()> {
    let access = if is_public { "x-ms-blob-public-access: container\r\n" } else { "" };
    put(azurite, &format!("{name}?restype=container&"), access)?;
    for file in FILES {
        put(azurite, &format!("{name}/prod/{file}?"), "x-ms-blob-type: BlockBlob\r\n")?;
    }
    Ok(())
}

fn put(azurite: &Emulator, target: &str, headers: &str) -> anyhow::Result<()> {
    let host = azurite.url.strip_prefix("http://").context("an address")?;
    let mut stream = TcpStream::connect(host)?;
    write!(
        stream,
        "PUT /{ACCOUNT}/{target}{SIGNATURE} HTTP/1.1\r\nhost: {host}\r\nx-ms-version: 2018-11-09\r\n{headers}\
         content-length: 0\r\nconnection: close\r\n\r\n"
    )?;
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status)?;
    ensure!(status.starts_with("HTTP/1.1 201 "), "{target}: {status}");
    Ok(())
}
