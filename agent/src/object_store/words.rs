//! What stores say, made fit for a line of evidence.

/// The causes of an error, outermost first; its own `Display` names the first only.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut causes = vec![error.to_string()];
    let mut next = error.source();
    while let Some(error) = next {
        let text = error.to_string();
        // Outer errors often repeat inner ones.
        if !causes.iter().any(|cause| cause.contains(&text)) {
            causes.push(text);
        }
        next = error.source();
    }
    causes.join(": ")
}

/// In one line, and not longer than a person reads.
pub(super) fn brief(text: &str) -> String {
    const MOST: usize = 200;
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MOST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_store_says_is_one_line() {
        assert_eq!(brief("a\nb\u{1b}[c"), "a b [c");
        assert_eq!(brief(&"x".repeat(1000)).len(), 200);
    }
}
