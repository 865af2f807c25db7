//! JSON, walked and not kept: each text, number or word with the names that lead to it. What is taken apart for that lies in
//! buffers that are overwritten.

use zeroize::Zeroizing;

/// Deeper than any settings.
const MAX_DEPTH: usize = 32;
/// In bytes: longer than any name of a setting. Names are put together anew for each value.
const MAX_PATH: usize = 4096;

/// A value that holds no others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scalar<'a> {
    Text(&'a str),
    /// A number, `true`, `false` or `null`, as it is written.
    Bare(&'a str),
}

/// The text is no JSON, or goes beyond the bounds. What came before was handed on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Malformed;

/// Hands on every scalar of `bytes` with its path: names joined by `.`, as are the places in lists from 0.
pub(crate) fn walk(bytes: &[u8], each: &mut dyn FnMut(&str, Scalar<'_>)) -> Result<(), Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed)?;
    let mut walk =
        Walk { text, at: 0, path: Zeroizing::new(String::with_capacity(MAX_PATH)), each };
    walk.value(0)?;
    walk.skip_space();
    if walk.at == text.len() { Ok(()) } else { Err(Malformed) }
}

struct Walk<'a, 'e> {
    text: &'a str,
    /// In bytes, at a boundary of characters.
    at: usize,
    path: Zeroizing<String>,
    each: &'e mut dyn FnMut(&str, Scalar<'_>),
}

impl<'a> Walk<'a, '_> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn next_is(&mut self, character: char) -> bool {
        self.skip_space();
        let is_next = self.rest().starts_with(character);
        if is_next {
            self.at += character.len_utf8();
        }
        is_next
    }

    fn value(&mut self, depth: usize) -> Result<(), Malformed> {
        if depth > MAX_DEPTH {
            return Err(Malformed);
        }
        if self.next_is('{') {
            return self.members(depth);
        }
        if self.next_is('[') {
            return self.items(depth);
        }
        if self.next_is('"') {
            let text = self.string()?;
            (self.each)(&self.path, Scalar::Text(&text));
            return Ok(());
        }
        let rest = self.rest();
        let end = rest
            .find(|character: char| {
                !character.is_ascii_alphanumeric() && !"+-.".contains(character)
            })
            .unwrap_or(rest.len());
        let bare = rest.get(..end).unwrap_or_default();
        let is_number =
            bare.trim_start_matches('-').starts_with(|first: char| first.is_ascii_digit())
                && bare.parse::<f64>().is_ok();
        if !is_number && !["true", "false", "null"].contains(&bare) {
            return Err(Malformed);
        }
        self.at += bare.len();
        (self.each)(&self.path, Scalar::Bare(bare));
        Ok(())
    }

    fn members(&mut self, depth: usize) -> Result<(), Malformed> {
        if self.next_is('}') {
            return Ok(());
        }
        loop {
            if !self.next_is('"') {
                return Err(Malformed);
            }
            let name = self.string()?;
            if !self.next_is(':') {
                return Err(Malformed);
            }
            self.below(&name, depth)?;
            if !self.next_is(',') {
                return if self.next_is('}') { Ok(()) } else { Err(Malformed) };
            }
        }
    }

    fn items(&mut self, depth: usize) -> Result<(), Malformed> {
        if self.next_is(']') {
            return Ok(());
        }
        for index in 0_usize.. {
            self.below(&index.to_string(), depth)?;
            if !self.next_is(',') {
                return if self.next_is(']') { Ok(()) } else { Err(Malformed) };
            }
        }
        Err(Malformed)
    }

    /// The value that is called `name`.
    fn below(&mut self, name: &str, depth: usize) -> Result<(), Malformed> {
        let length = self.path.len();
        // Within its capacity, so that no copy of it stays behind.
        if length + 1 + name.len() > MAX_PATH {
            return Err(Malformed);
        }
        if length > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        let result = self.value(depth + 1);
        self.path.truncate(length);
        result
    }

    /// A text whose first quote was read, without its escapes.
    fn string(&mut self) -> Result<Zeroizing<String>, Malformed> {
        let rest = self.rest();
        let mut is_escaped = false;
        let end = rest.bytes().position(|byte| {
            let is_end = byte == b'"' && !is_escaped;
            is_escaped = byte == b'\\' && !is_escaped;
            is_end
        });
        let raw = rest.get(..end.ok_or(Malformed)?).ok_or(Malformed)?;
        self.at += raw.len() + 1;
        // What is written with escapes is longer than what it stands for: the buffer is never moved.
        let mut text = Zeroizing::new(String::with_capacity(raw.len()));
        let mut characters = raw.chars();
        while let Some(character) = characters.next() {
            if character < ' ' {
                return Err(Malformed);
            }
            if character != '\\' {
                text.push(character);
                continue;
            }
            text.push(match characters.next().ok_or(Malformed)? {
                same @ ('"' | '\\' | '/') => same,
                'b' => '\u{8}',
                'f' => '\u{c}',
                'n' => '\n',
                'r' => '\r',
                't' => '\t',
                'u' => unicode(&mut characters)?,
                _ => return Err(Malformed),
            });
        }
        Ok(text)
    }
}

/// The character of `\uXXXX`, whose `\u` was read, or of two of them that are a pair of surrogates.
fn unicode(characters: &mut std::str::Chars<'_>) -> Result<char, Malformed> {
    let unit = hexadecimal(characters)?;
    if !(0xd800..0xdc00).contains(&unit) {
        return Ok(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    let Some(mut behind) = characters.as_str().strip_prefix("\\u").map(str::chars) else {
        return Ok(char::REPLACEMENT_CHARACTER);
    };
    let low = hexadecimal(&mut behind)?;
    if !(0xdc00..0xe000).contains(&low) {
        return Ok(char::REPLACEMENT_CHARACTER);
    }
    *characters = behind;
    let scalar = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    Ok(char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER))
}

fn hexadecimal(characters: &mut std::str::Chars<'_>) -> Result<u32, Malformed> {
    let mut unit = 0;
    for _ in 0..4 {
        let digit = characters.next().and_then(|digit| digit.to_digit(16)).ok_or(Malformed)?;
        unit = unit << 4 | digit;
    }
    Ok(unit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn walked(text: &str) -> Result<Vec<String>, Malformed> {
        let mut seen = Vec::new();
        walk(text.as_bytes(), &mut |path, scalar| {
            seen.push(match scalar {
                Scalar::Text(text) => format!("{path}='{text}'"),
                Scalar::Bare(bare) => format!("{path}={bare}"),
            });
        })?;
        Ok(seen)
    }

    #[test]
    fn every_scalar_comes_with_the_names_that_lead_to_it() {
        let text = r#" {"a.b": "c", "d": {"e": [1, "f", {"g": null}], "h": {}}, "i": [], "j": -1.5e+3, "k": true} "#;
        assert_eq!(
            walked(text).unwrap(),
            ["a.b='c'", "d.e.0=1", "d.e.1='f'", "d.e.2.g=null", "j=-1.5e+3", "k=true"]
        );
        assert_eq!(walked("\"x\"").unwrap(), ["='x'"]);
    }

    #[test]
    fn a_delete_is_no_control_character_here() {
        assert_eq!(walked("\"a\u{7f}\"").unwrap(), ["='a\u{7f}'"]);
    }

    #[test]
    fn escapes_are_taken_for_what_they_stand_for() {
        assert_eq!(
            walked(r#"["\"\\\/\b\n", "\u00e4\ud83d\ude00", "\ud83d", "\ud83dx", "\ud83d\u0041", "\udc00"]"#).unwrap(),
            ["0='\"\\/\u{8}\n'", "1='ä😀'", "2='\u{fffd}'", "3='\u{fffd}x'", "4='\u{fffd}A'", "5='\u{fffd}'"]
        );
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [
            "",
            "{",
            "}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "{a:1}",
            "[1,]",
            "[1",
            "1 2",
            "\"a",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\\"",
            "\"a\nb\"",
            "nul",
            "inf",
            "-",
            "-inf",
            "+1",
            "'a'",
        ] {
            assert_eq!(walked(text), Err(Malformed), "{text}");
        }
        assert_eq!(walk(b"\"\xff\"", &mut |_, _| {}), Err(Malformed));
    }

    #[test]
    fn depth_and_names_are_bounded() {
        let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
        assert!(walked(&nested(MAX_DEPTH)).is_ok());
        assert!(walked(&nested(MAX_DEPTH + 1)).is_err());
        let named = |length: usize| format!("{{\"{}\":1}}", "x".repeat(length));
        assert!(walked(&named(MAX_PATH - 1)).is_ok());
        assert!(walked(&named(MAX_PATH)).is_err());
    }

    proptest! {
        #[test]
        fn another_parser_takes_the_same_texts(text in "[\\[\\]{}:,\"\\\\uab01 .-]{0,24}") {
            let other = serde_json::from_str::<serde_json::Value>(&text);
            // Numbers may be written in more ways here; in a lone surrogate the two differ.
            let ours = walked(&text);
            if other.is_ok() {
                prop_assert!(ours.is_ok(), "{}", text);
            }
        }
    }
}
