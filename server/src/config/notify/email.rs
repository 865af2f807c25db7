//! Mail: its own keys.

use std::net::IpAddr;
use std::path::PathBuf;

use lettre::message::Mailbox;

use super::super::host_of;
use super::super::reader::{Reader, Section};
use super::super::values::{non_empty, path};
use super::Kind;
use super::values::{basic, incomplete, mailbox, mailboxes, port};

/// Mail by SMTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email {
    pub host: String,
    pub port: u16,
    pub tls: MailTls,
    /// A user's name, and the file with the password.
    pub login: Option<(String, PathBuf)>,
    pub from: Mailbox,
    pub to: Vec<Mailbox>,
    pub ca_file: Option<PathBuf>,
}

/// How mail is kept from being read on its way to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MailTls {
    /// Begins in plain text; nothing is said before TLS is there.
    Starttls,
    Smtps,
    /// Only to this machine.
    None,
}

pub(super) fn email<'a>(reader: &mut Reader<'a>, section: &mut Section<'a>) -> Option<Kind> {
    let start = section.start();
    let host = section.value(reader, "host", "the name of a mail server", |value| {
        non_empty(value).filter(|host| host.parse::<IpAddr>().is_ok() || is_host(host))
    });
    let tls = section
        .value(reader, "tls", "\"starttls\", \"smtps\" or \"none\"", |value| {
            match value.as_str()? {
                "starttls" => Some(MailTls::Starttls),
                "smtps" => Some(MailTls::Smtps),
                "none" => Some(MailTls::None),
                _ => None,
            }
        })
        .unwrap_or(MailTls::Starttls);
    let port = section.value(reader, "port", "a number from 1 to 65535", port);
    let username = section.value(reader, "username", "a user's name", non_empty);
    let password_file = section.value(reader, "password_file", "an absolute path", path);
    let login = basic(reader, start, "email", username, password_file);
    let a_mailbox = "an address of mail, alone or as \"Name <address>\"";
    let from = section.value(reader, "from", a_mailbox, mailbox);
    let to = section.value(reader, "to", "a list of addresses of mail", mailboxes);
    let ca_file = section.value(reader, "ca_file", "an absolute path", path);
    let (Some(host), Some(from), Some(to)) = (host, from, to) else {
        incomplete(reader, start, "email", "a `name`, a `host`, a `from` and a `to`");
        return None;
    };
    if tls == MailTls::None && !is_loopback(&host) {
        let what = format!("`notify.email` would send in plain text to {host}");
        let remedy =
            "set `tls` to \"starttls\" or \"smtps\"; \"none\" is for a relay on this machine";
        reader.problem(start, what, remedy);
        return None;
    }
    let port = port.unwrap_or(match tls {
        MailTls::Starttls => 587,
        MailTls::Smtps => 465,
        MailTls::None => 25,
    });
    Some(Kind::Email(Email { host, port, tls, login, from, to, ca_file }))
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// A name, without a port.
fn is_host(host: &str) -> bool {
    !host.contains(':') && host_of(host).is_some()
}
