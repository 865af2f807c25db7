//! Keeps what a notifier must not tell out of what others say. Pure.

use zeroize::Zeroizing;

/// What must not be told, whoever says it.
#[derive(Default)]
pub(super) struct Secrets(Vec<Zeroizing<String>>);

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets({})", self.0.len())
    }
}

impl Secrets {
    /// Each word of it.
    pub(super) fn hide(&mut self, secret: &str) {
        // What is as short as this is in any text.
        let words = secret.split_whitespace().filter(|word| word.len() > 3);
        self.0.extend(words.map(|word| Zeroizing::new(word.to_owned())));
    }

    /// The same text, with an ellipsis for each secret.
    pub(super) fn redact(&self, said: &str) -> String {
        self.0.iter().fold(said.to_owned(), |said, secret| said.replace(secret.as_str(), "…"))
    }
}
