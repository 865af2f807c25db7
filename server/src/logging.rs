//! The log: fields and constant messages, to stderr. Never a secret.

use std::error::Error;
use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

/// Starts the log of this process. A second call changes nothing.
pub fn start(format: Format, filter: &str) {
    let filter = EnvFilter::builder().parse_lossy(filter);
    let registry = tracing_subscriber::registry().with(filter);
    let stderr = std::io::stderr;
    let started = match format {
        Format::Text => registry
            .with(
                tracing_subscriber::fmt::layer()
                    .with_writer(stderr)
                    .with_ansi(stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()),
            )
            .try_init(),
        Format::Json => {
            registry.with(tracing_subscriber::fmt::layer().json().with_writer(stderr)).try_init()
        }
    };
    // Whoever embeds the server may have a log already.
    drop(started);
}

/// An error with all its causes, in one line.
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}
