//! Syslog: its own keys.

use std::path::PathBuf;

use super::super::host_of;
use super::super::reader::{Reader, Section};
use super::super::values::{number, path, text};
use super::Kind;
use super::values::incomplete;

/// A collector of syslog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syslog {
    pub host: String,
    pub port: u16,
    pub transport: Transport,
    pub facility: Facility,
    /// Of the structured data: a name and an enterprise number.
    pub sd_id: String,
    /// In bytes.
    pub max_message: usize,
    pub ca_file: Option<PathBuf>,
}

/// What carries syslog.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
}

/// Where a collector files a message: a number from 0 to 23.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facility(u8);

impl Facility {
    /// By the names of syslog.conf(5).
    const NAMES: [(&'static str, u8); 18] = [
        ("user", 1),
        ("daemon", 3),
        ("auth", 4),
        ("syslog", 5),
        ("authpriv", 10),
        ("local0", 16),
        ("local1", 17),
        ("local2", 18),
        ("local3", 19),
        ("local4", 20),
        ("local5", 21),
        ("local6", 22),
        ("local7", 23),
        ("kern", 0),
        ("mail", 2),
        ("lpr", 6),
        ("news", 7),
        ("cron", 9),
    ];

    pub const AUTHPRIV: Self = Self(10);

    pub const fn code(self) -> u8 {
        self.0
    }

    fn parse(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, code)| Self(*code))
    }
}

pub(super) fn syslog<'a>(reader: &mut Reader<'a>, section: &mut Section<'a>) -> Option<Kind> {
    let address = section.value(reader, "address", "a host or host:port", |value| {
        let address = text(value)?;
        let host = host_of(&address)?.to_owned();
        let port = match address.rsplit_once(':') {
            Some((_, port)) => Some(port.parse().ok().filter(|port: &u16| *port != 0)?),
            None => None,
        };
        Some((host, port))
    });
    let transport = section
        .value(reader, "transport", "\"udp\", \"tcp\" or \"tls\"", |value| {
            match value.as_str()? {
                "udp" => Some(Transport::Udp),
                "tcp" => Some(Transport::Tcp),
                "tls" => Some(Transport::Tls),
                _ => None,
            }
        })
        .unwrap_or(Transport::Tls);
    let facility = section
        .value(
            reader,
            "facility",
            "a name such as \"authpriv\", \"daemon\" or \"local0\"",
            |value| Facility::parse(value.as_str()?),
        )
        .unwrap_or(Facility::AUTHPRIV);
    let sd_id = section
        .value(
            reader,
            "sd_id",
            "a name and an enterprise number, such as \"atrest@32473\"",
            |value| text(value).filter(|id| is_sd_id(id)),
        )
        // The number for examples (RFC 5612).
        .unwrap_or_else(|| "atrest@32473".to_owned());
    let max_message = section.value(reader, "max_message", "a number from 480 to 65000", |value| {
        number(value).filter(|bytes| (480..=65_000).contains(bytes))
    });
    let ca_file = section.value(reader, "ca_file", "an absolute path", path);
    let Some((host, port)) = address else {
        incomplete(reader, section.start(), "syslog", "a `name` and an `address`");
        return None;
    };
    let (default_port, default_size) = match transport {
        Transport::Udp => (514, 2_048),
        Transport::Tcp => (514, 8_192),
        Transport::Tls => (6514, 8_192),
    };
    Some(Kind::Syslog(Syslog {
        host,
        port: port.unwrap_or(default_port),
        transport,
        facility,
        sd_id,
        max_message: max_message.unwrap_or(default_size),
        ca_file,
    }))
}

/// `name@number`, as RFC 5424 has it for names that are not registered.
fn is_sd_id(id: &str) -> bool {
    let Some((name, number)) = id.split_once('@') else { return false };
    let is_name = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'=' | b']' | b'"');
    id.len() <= 32
        && !name.is_empty()
        && name.bytes().all(is_name)
        && !number.is_empty()
        && number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.')
}
