//! As much of XML as answers of Azure and Amazon need: elements and text, strictly. Pure.

use thiserror::Error;
use xmlparser::{ElementEnd, Token, Tokenizer};

/// Answers nest five deep.
const DEEPEST: usize = 16;

/// Why a document is none. Never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Error {
    #[error("not the XML of an answer")]
    Syntax,
    #[error("XML that ends before its end")]
    Cut,
    #[error("XML that nests deeper than {DEEPEST} elements")]
    Deep,
}

/// What stands in a document, in its order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event<'a> {
    Open(&'a str),
    /// The text of the element that was opened last, or a part of it.
    Text(String),
    Close(&'a str),
}

/// Shows every element and text to `see`, with the names of the elements around it, outermost first.
pub(crate) fn read<'a>(
    text: &'a str,
    see: &mut dyn FnMut(&[&'a str], Event<'a>),
) -> Result<(), Error> {
    // A mark at the start, which Azure writes.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut open: Vec<&'a str> = Vec::new();
    let mut was_open = false;
    for token in Tokenizer::from(text) {
        match token.map_err(|_| Error::Syntax)? {
            Token::ElementStart { local, .. } => {
                if open.len() == DEEPEST {
                    return Err(Error::Deep);
                }
                was_open = true;
                see(&open, Event::Open(local.as_str()));
                open.push(local.as_str());
            }
            Token::ElementEnd { end, .. } => {
                let closed = match end {
                    ElementEnd::Open => continue,
                    ElementEnd::Empty => None,
                    ElementEnd::Close(_, local) => Some(local.as_str()),
                };
                let name = open.pop().ok_or(Error::Syntax)?;
                if closed.is_some_and(|closed| closed != name) {
                    return Err(Error::Syntax);
                }
                see(&open, Event::Close(name));
            }
            Token::Text { text } => see(&open, Event::Text(unescaped(text.as_str())?)),
            Token::Cdata { text, .. } => see(&open, Event::Text(text.as_str().to_owned())),
            // Types of documents may define entities: nobody here needs them.
            Token::DtdStart { .. } | Token::EmptyDtd { .. } | Token::EntityDeclaration { .. } => {
                return Err(Error::Syntax);
            }
            Token::Attribute { .. }
            | Token::Comment { .. }
            | Token::Declaration { .. }
            | Token::ProcessingInstruction { .. }
            | Token::DtdEnd { .. } => {}
        }
    }
    if was_open && open.is_empty() { Ok(()) } else { Err(Error::Cut) }
}

/// The predefined entities and numbers of characters: XML 1.0, 4.1 and 4.6.
fn unescaped(text: &str) -> Result<String, Error> {
    let mut plain = String::with_capacity(text.len());
    let mut parts = text.split('&');
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (name, rest) = part.split_once(';').ok_or(Error::Syntax)?;
        plain.push(match name {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = name.strip_prefix('#').ok_or(Error::Syntax)?;
                let value = match number.strip_prefix('x') {
                    Some(digits) => u32::from_str_radix(digits, 16),
                    None => number.parse(),
                };
                value.ok().and_then(char::from_u32).ok_or(Error::Syntax)?
            }
        });
        plain.push_str(rest);
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Result<String, Error> {
        let mut shown = String::new();
        read(text, &mut |open, event| {
            let depth = open.len();
            shown.push_str(&match event {
                Event::Open(name) => format!("{depth}<{name} "),
                Event::Text(text) => format!("{depth}'{text}' "),
                Event::Close(name) => format!("{depth}>{name} "),
            });
        })?;
        Ok(shown)
    }

    #[test]
    fn elements_and_text_are_seen_in_their_order() {
        let text =
            "\u{feff}<?xml version=\"1.0\"?><a x=\"1\"><b>t&amp;&#x41;&#66;</b><c/><!-- --></a>";
        assert_eq!(shown(text).unwrap(), "0<a 1<b 2't&AB' 1>b 1<c 1>c 0>a ");
        assert_eq!(shown("<a><![CDATA[<&]]></a>").unwrap(), "0<a 1'<&' 0>a ");
    }

    #[test]
    fn what_is_not_whole_is_none() {
        for text in ["", " ", "<a>", "<a><b></b>", "<a", "<a/><b/>", "text"] {
            assert!(shown(text).is_err(), "{text}");
        }
        for text in ["<a></b>", "<a>&x;</a>", "<a>&#xD800;</a>", "<a>&amp</a>"] {
            assert_eq!(shown(text), Err(Error::Syntax), "{text}");
        }
        let bomb = "<!DOCTYPE a [<!ENTITY x \"y\">]><a>&x;</a>";
        assert_eq!(shown(bomb), Err(Error::Syntax));
        let nested = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(shown(&nested(DEEPEST)).is_ok());
        assert_eq!(shown(&nested(DEEPEST + 1)), Err(Error::Deep));
    }
}
