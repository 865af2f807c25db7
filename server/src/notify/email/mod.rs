//! Mail by SMTP.

mod html;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use lettre::address::Envelope;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{
    Certificate, CertificateStore, Tls, TlsParameters, TlsParametersBuilder,
};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message as Mail, Tokio1Executor};
use tracing::warn;
use zeroize::Zeroizing;

use super::open::{Unusable, authority, secret};
use super::redact::Secrets;
use super::text::{plain, subject};
use super::{NotTaken, Notice, Notifier, text};
use crate::clock::Clock;
use crate::config::{self, MailTls};
use crate::logging::chain;

/// How many alerts one mail tells of.
const TOGETHER: usize = 1_000;
/// Commands of one mail, of which each may take its time: a server that looks through a mail before it takes it must not
/// get it again and again.
const COMMANDS: u32 = 6;
/// How many threads a mail belongs to at most: a header is not to grow with a storm.
const THREADS: usize = 50;

/// A mail server, and whom mail is sent to.
pub struct Email {
    name: String,
    max_attempts: u32,
    timeout: Duration,
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    to: Vec<Mailbox>,
    link: Option<Arc<str>>,
    secrets: Secrets,
}

// The transport holds the password.
impl std::fmt::Debug for Email {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Email").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Email {
    pub(super) fn open(
        notifier: &config::Notifier,
        email: &config::Email,
        link: Option<&str>,
    ) -> Result<Self, Unusable> {
        let tls = match email.tls {
            MailTls::Starttls => Tls::Required(tls(email)?),
            MailTls::Smtps => Tls::Wrapper(tls(email)?),
            MailTls::None => Tls::None,
        };
        let mut transport =
            AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(email.host.as_str())
                .port(email.port)
                .tls(tls)
                .timeout(Some(notifier.timeout));
        let mut secrets = Secrets::default();
        if let Some((username, password_file)) = &email.login {
            let password = secret(password_file)?;
            secrets.hide(&password);
            // As PLAIN and LOGIN send it.
            for sent in [format!("\0{username}\0{}", *password), password.to_string()] {
                secrets.hide(&STANDARD.encode(Zeroizing::new(sent)));
            }
            let credentials = Credentials::new(username.clone(), password.as_str().to_owned());
            transport = transport.credentials(credentials);
        }
        Ok(Self {
            name: notifier.name.clone(),
            max_attempts: notifier.max_attempts,
            timeout: notifier.timeout,
            transport: transport.build(),
            from: email.from.clone(),
            to: email.to.clone(),
            link: link.map(Arc::from),
            secrets,
        })
    }

    async fn send(&self, envelope: &Envelope, mail: &[u8]) -> Result<(), NotTaken> {
        // The transport's own time is for one command.
        let sending = self.transport.send_raw(envelope, mail);
        match tokio::time::timeout(self.timeout.saturating_mul(COMMANDS), sending).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => {
                let why = self.secrets.redact(&chain(&error));
                let told = NotTaken::because(text::short(&text::line(&why), 500));
                Err(NotTaken { refused: error.is_permanent(), ..told })
            }
            Err(_) => Err(NotTaken::because("the mail server did not answer in time")),
        }
    }

    fn mail(&self, notice: &Notice<'_>, now: Timestamp) -> Result<Mail, lettre::error::Error> {
        let domain = self.from.email.domain();
        let link = self.link.as_deref();
        let mut mail = Mail::builder()
            .from(self.from.clone())
            .date(system_time(now))
            .message_id(Some(format!("<{}@{domain}>", notice.id())))
            .subject(subject(notice));
        for to in &self.to {
            mail = mail.to(to.clone());
        }
        let threads = threads(notice, domain);
        if !threads.is_empty() {
            mail = mail.references(threads);
        }
        let parts =
            MultiPart::alternative_plain_html(plain(notice, link), html::page(notice, link));
        let mut mail = mail.multipart(parts)?;
        let mut add = |name, value: String| {
            mail.headers_mut()
                .insert_raw(HeaderValue::new(HeaderName::new_from_ascii_str(name), value));
        };
        // Nobody's holiday is to be told to us.
        add("Auto-Submitted", "auto-generated".to_owned());
        add("List-Id", format!("<alerts.atrest.{domain}>"));
        Ok(mail)
    }
}

/// In whole seconds, as mail has it.
fn system_time(at: Timestamp) -> SystemTime {
    let seconds = Duration::from_secs(u64::try_from(at.as_second()).unwrap_or_default());
    SystemTime::UNIX_EPOCH.checked_add(seconds).unwrap_or(SystemTime::UNIX_EPOCH)
}

/// One for each alert, that the mails of its beginning and its end have in common.
fn threads(notice: &Notice<'_>, domain: &str) -> String {
    let thread = |alert_id: &str| format!("<{alert_id}.thread@{domain}>");
    let ids = notice.messages.iter().take(THREADS).map(|message| thread(&message.alert.alert_id));
    ids.collect::<Vec<_>>().join(" ")
}

fn tls(email: &config::Email) -> Result<TlsParameters, Unusable> {
    crate::tls::install_provider();
    let mut builder = TlsParametersBuilder::new(email.host.clone());
    if let Some(file) = &email.ca_file {
        let pem = authority(file)?;
        let certificate = Certificate::from_pem(pem.as_bytes())
            .map_err(|_| Unusable::content(file, "it must hold certificates as PEM"))?;
        builder =
            builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    Ok(builder.build_rustls()?)
}

#[async_trait]
impl Notifier for Email {
    fn name(&self) -> &str {
        &self.name
    }

    fn max_attempts(&self) -> u32 {
        self.max_attempts
    }

    fn together(&self) -> usize {
        TOGETHER
    }

    async fn deliver(&self, notice: &Notice<'_>, clock: &Clock) -> Result<(), NotTaken> {
        let mail =
            self.mail(notice, clock.now()).map_err(|error| NotTaken::because(chain(&error)))?;
        let (whole, bytes) = (mail.envelope(), mail.formatted());
        let error = match self.send(whole, &bytes).await {
            Err(error) if error.refused && whole.to().len() > 1 => error,
            told => return told,
        };
        // A mailbox that is gone must not keep the mail from all others.
        let mut is_taken = false;
        for to in whole.to() {
            let one = Envelope::new(whole.from().cloned(), vec![to.clone()]);
            let one = one.map_err(|error| NotTaken::because(chain(&error)))?;
            match self.send(&one, &bytes).await {
                Ok(()) => is_taken = true,
                Err(error) => {
                    warn!(notifier = self.name, %to, error = %error, "a recipient gets no mail");
                }
            }
        }
        if is_taken { Ok(()) } else { Err(error) }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;
    use proptest::prelude::*;

    use super::super::fixture;
    use super::*;
    use crate::alert::AlertState;
    use crate::config::Kind;

    fn email() -> Email {
        let config = config::Config::parse(
            "[[notify.email]]\nname = \"mail\"\nhost = \"localhost\"\ntls = \"none\"\n\
             from = \"atrest <atrest@example.com>\"\nto = [\"ops@example.com\", \"Sec <sec@example.com>\"]\n",
        )
        .unwrap();
        let notifier = &config.notify.notifiers[0];
        let Kind::Email(email) = &notifier.kind else { panic!("{notifier:?}") };
        Email::open(notifier, email, None).unwrap()
    }

    /// The header of a mail, unfolded, without what is made by chance.
    fn header(notice: &Notice<'_>) -> Vec<String> {
        let at = Timestamp::from_second(1_700_000_060).unwrap();
        let mail = email().mail(notice, at).unwrap().formatted();
        let mail = String::from_utf8(mail).unwrap();
        let (header, _) = mail.split_once("\r\n\r\n").unwrap();
        let lines = header.replace("\r\n ", " ").replace("\r\n\t", " ");
        let lines = lines.split("\r\n").map(str::to_owned);
        lines.filter(|line| !line.starts_with("Content-Type:")).collect()
    }

    #[test]
    fn a_mail_says_what_it_is_and_which_thread_it_belongs_to() {
        let alert = fixture::alert("0123");
        let lines = header(&fixture::one(&alert, AlertState::Firing));
        expect![[r"
            From: atrest <atrest@example.com>
            Date: Tue, 14 Nov 2023 22:14:20 +0000
            Message-ID: <0123-firing@example.com>
            Subject: [FIRING] high: es-1: /srv/es rests in plaintext on /dev/sdb
            To: ops@example.com, Sec <sec@example.com>
            References: <0123.thread@example.com>
            MIME-Version: 1.0
            Auto-Submitted: auto-generated
            List-Id: <alerts.atrest.example.com>"]]
        .assert_eq(&lines.join("\n"));
        let over = header(&fixture::one(&alert, AlertState::Resolved));
        let thread = |lines: &[String]| {
            lines.iter().find(|line| line.starts_with("References:")).cloned().unwrap()
        };
        assert_eq!(thread(&over), thread(&lines));
        assert!(over.contains(&"Message-ID: <0123-resolved@example.com>".to_owned()), "{over:?}");
    }

    #[test]
    fn the_mail_of_a_storm_belongs_to_few_threads_and_has_a_size() {
        let alerts = fixture::storm();
        let notice = fixture::told(&alerts);
        let lines = header(&notice);
        let threads = lines.iter().find(|line| line.starts_with("References:")).unwrap();
        assert_eq!(threads.matches(".thread@").count(), THREADS);
        let mail = email().mail(&notice, Timestamp::UNIX_EPOCH).unwrap().formatted();
        assert!(mail.len() < 64 << 10, "{} bytes", mail.len());
        let long = mail.split(|byte| *byte == b'\n').find(|line| line.len() > 998);
        assert_eq!(long, None, "RFC 5322 has an end to lines");
    }

    proptest! {
        #[test]
        fn no_host_can_add_a_header(alert in fixture::any_alert()) {
            let lines = header(&fixture::one(&alert, AlertState::Firing));
            let names: Vec<_> =
                lines.iter().map(|line| line.split_once(':').map_or("", |(name, _)| name)).collect();
            let known = [
                "From", "Date", "Message-ID", "Subject", "To", "References", "MIME-Version",
                "Auto-Submitted", "List-Id",
            ];
            prop_assert_eq!(names, known, "{:?}", lines);
        }
    }
}
