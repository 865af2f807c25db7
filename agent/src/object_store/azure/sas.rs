//! A shared access signature, as the file that the configuration names holds it. Pure.

use thiserror::Error;
use zeroize::Zeroizing;

/// A signature with all its parameters has a few hundred bytes.
const LONGEST: usize = 4096;

/// Why it is none. Never quotes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Error {
    #[error("it holds no shared access signature: one line, such as `sv=…&sr=c&sp=rl&sig=…`")]
    Form,
    #[error("a parameter of it would change what is asked")]
    Parameter,
}

/// The parameters of a query, without the question mark that tools write before them.
pub(crate) fn parse(bytes: &[u8]) -> Result<Zeroizing<String>, Error> {
    let text = std::str::from_utf8(bytes).map_err(|_| Error::Form)?.trim();
    let text = text.strip_prefix('?').unwrap_or(text);
    // RFC 3986, 3.4, without what ends a query.
    let is_its = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%&=:+/,!*'();@$".contains(&byte);
    if text.len() > LONGEST || !text.bytes().all(is_its) {
        return Err(Error::Form);
    }
    let names = || text.split('&').map(|one| one.split('=').next().unwrap_or_default());
    if !names().any(|name| name == "sig") {
        return Err(Error::Form);
    }
    // "Create a service SAS", "Create an account SAS", "Create a user delegation SAS": all have two to five letters.
    let is_known = |name: &str| {
        (2..=5).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_lowercase())
            && name != "comp"
    };
    if !names().all(is_known) {
        return Err(Error::Parameter);
    }
    Ok(Zeroizing::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_one_line_of_parameters() {
        let whole =
            "sv=2022-11-02&sr=c&sp=rl&se=2030-01-01T00:00:00Z&spr=https&skoid=x&sig=a%2Fb%3D";
        for text in [whole.to_owned(), format!("?{whole}\n"), format!("  {whole}\r\n")] {
            assert_eq!(parse(text.as_bytes()).unwrap().as_str(), whole);
        }
        for text in
            ["", "hunter2", "sv=1&sp=rl", "sig=a b", "sig=a#b", "sig=a\nsig=b", "sig=\u{e4}"]
        {
            assert_eq!(parse(text.as_bytes()), Err(Error::Form), "{text}");
        }
        for text in
            ["sig=x&comp=lease", "sig=x&restype=service", "sig=x&prefix=", "sig=x&Si=1", "sig=x&"]
        {
            assert_eq!(parse(text.as_bytes()), Err(Error::Parameter), "{text}");
        }
        assert_eq!(parse(&[b'a'; LONGEST + 1]), Err(Error::Form));
    }
}
