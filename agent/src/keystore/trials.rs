//! Trying the passwords that everybody knows, and what is remembered of it.
//!
//! Deriving a key from a password takes up to 0.17 s, and an agent that stays looks at the same keystores again and again.
//! The answer is kept by the SHA-256 of the file's bytes: in memory only, as such a digest says which of two files of
//! one host are equal. It enters no observation, report or log.

use std::collections::VecDeque;

use ring::digest;

use super::lock::{Lock, Opened};

/// Trials in one look at a host, not counting those that are remembered: each costs up to 210,000 rounds, and any user may
/// start programs that look like services with keystores.
pub const MOST_TRIED: usize = 64;

/// Contents whose answers are remembered: more than one look tries, so that a host with more keystores gets through all of
/// them in a few looks.
const MOST_REMEMBERED: usize = 16 * MOST_TRIED;

/// What trying showed in earlier looks, the latest asked for last. It has neither `Debug` nor a serialised form.
#[derive(Default)]
pub struct Memory {
    answers: VecDeque<(Content, Opened)>,
}

/// The SHA-256 of the bytes of a file.
type Content = [u8; digest::SHA256_OUTPUT_LEN];

impl Memory {
    fn recall(&mut self, content: &Content) -> Option<Opened> {
        let at = self.answers.iter().position(|(known, _)| known == content)?;
        let (content, opened) = self.answers.remove(at)?;
        self.answers.push_back((content, opened.clone()));
        Some(opened)
    }

    fn keep(&mut self, content: Content, opened: Opened) {
        while self.answers.len() >= MOST_REMEMBERED {
            self.answers.pop_front();
        }
        self.answers.push_back((content, opened));
    }
}

/// The trials of one look at a host.
pub struct Trials<'a> {
    memory: &'a mut Memory,
    left: usize,
    was_refused: bool,
}

impl<'a> Trials<'a> {
    /// A look that goes on from what `memory` has of earlier ones.
    pub fn new(memory: &'a mut Memory) -> Self {
        Self { memory, left: MOST_TRIED, was_refused: false }
    }

    /// The same with fewer trials.
    #[cfg(test)]
    pub(crate) fn with_most(memory: &'a mut Memory, most: usize) -> Self {
        Self { left: most, ..Self::new(memory) }
    }

    /// Whether a password that everybody knows opens the `lock` of a file of these bytes, and what that shows. `None` where that cannot be tried,
    /// or was tried too often: in this look, or `here`, which is counted down. Only an answer is remembered.
    pub fn open(&mut self, bytes: &[u8], lock: &Lock, here: &mut usize) -> Option<Opened> {
        let digest = digest::digest(&digest::SHA256, bytes);
        let content = Content::try_from(digest.as_ref()).ok()?;
        if let Some(known) = self.memory.recall(&content) {
            return Some(known);
        }
        let here_left = here.checked_sub(1)?;
        let Some(left) = self.left.checked_sub(1) else {
            self.was_refused = true;
            return None;
        };
        (*here, self.left) = (here_left, left);
        let opened = lock.open()?;
        self.memory.keep(content, opened.clone());
        Some(opened)
    }

    /// A keystore was left untried, for this look had tried enough.
    pub const fn was_refused(&self) -> bool {
        self.was_refused
    }
}

#[cfg(test)]
mod tests {
    use super::super::lock::{Cipher, fixture};
    use super::super::pkcs12;
    use super::*;

    fn lock(password: &[u8]) -> Lock {
        Lock::Gcm(fixture::seal(password, b"entries", 1, Cipher::Aes256, false))
    }

    const OPENS: Option<Opened> = Some(Opened { opens: true, entries: None });
    const SHUT: Option<Opened> = Some(Opened { opens: false, entries: None });

    #[test]
    fn an_answer_is_remembered_by_the_bytes_between_looks() {
        let memory = &mut Memory::default();
        let (open, shut) = (lock(b""), lock(b"secret"));
        let mut first = Trials::new(memory);
        let here = &mut 2;
        assert_eq!(first.open(b"one", &open, here), OPENS);
        assert_eq!(first.open(b"two", &shut, here), SHUT);
        assert_eq!(first.open(b"three", &open, here), None);
        assert!(!first.was_refused(), "the look itself could go on");
        // Neither lock would give these answers: they are the remembered ones.
        let mut second = Trials::new(memory);
        assert_eq!(second.open(b"one", &shut, &mut 0), OPENS);
        assert_eq!(second.open(b"two", &open, &mut 0), SHUT);
        assert_eq!(second.left, MOST_TRIED);
        // Other bytes are another keystore.
        assert_eq!(second.open(b"one ", &shut, &mut 1), SHUT);
    }

    #[test]
    fn only_new_trials_count_and_a_look_has_so_many() {
        let memory = &mut Memory::default();
        let open = lock(b"");
        let here = &mut (2 * MOST_TRIED);
        let mut trials = Trials::new(memory);
        for number in 0..MOST_TRIED {
            assert_eq!(trials.open(&number.to_le_bytes(), &open, here), OPENS);
        }
        assert_eq!(trials.open(&0_usize.to_le_bytes(), &open, here), OPENS);
        assert!(!trials.was_refused());
        assert_eq!(trials.open(b"more", &open, here), None);
        assert!(trials.was_refused());
        // What was refused is not taken for an answer.
        assert_eq!(Trials::new(memory).open(b"more", &open, here), OPENS);
    }

    #[test]
    fn what_could_not_be_tried_is_not_remembered() {
        let memory = &mut Memory::default();
        let store = pkcs12::fixture::store(&["a"], b"", pkcs12::fixture::Scheme::Pbes2, 1);
        let mac = pkcs12::parse(&store, 0, "").unwrap().mac.unwrap();
        let nothing = Lock::Pkcs12(mac, Vec::new());
        assert_eq!(Trials::new(memory).open(b"one", &nothing, &mut 1), None);
        assert!(memory.answers.is_empty());
    }

    #[test]
    fn what_was_asked_for_longest_ago_is_forgotten_first() {
        let memory = &mut Memory::default();
        for number in 0..MOST_REMEMBERED {
            let mut content = Content::default();
            content[..8].copy_from_slice(&(number as u64).to_le_bytes());
            memory.keep(content, Opened { opens: true, entries: None });
        }
        let first = Content::default();
        assert_eq!(memory.recall(&first), OPENS);
        memory.keep([0xff; 32], Opened { opens: false, entries: None });
        assert_eq!(memory.answers.len(), MOST_REMEMBERED);
        assert_eq!(memory.recall(&first), OPENS);
        let mut second = Content::default();
        second[0] = 1;
        assert_eq!(memory.recall(&second), None);
    }
}
