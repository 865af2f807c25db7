//! The body of a form, which may hold secrets. Pure.

use zeroize::Zeroizing;

/// `name=value&…`: `application/x-www-form-urlencoded`, of which every server reads `%20` for a space.
pub(super) fn body(fields: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let most: usize = fields.iter().map(|(name, value)| 2 + 3 * (name.len() + value.len())).sum();
    // Room for all of it: a buffer that grows leaves copies behind.
    let mut body = Zeroizing::new(Vec::with_capacity(most));
    let mut escape = |text: &str, end: u8| {
        for byte in text.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                body.push(byte);
                continue;
            }
            let digit = |at: u8| DIGITS.get(usize::from(at)).copied().unwrap_or(b'0');
            body.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte & 15)]);
        }
        body.push(end);
    };
    for (name, value) in fields {
        escape(name, b'=');
        escape(value, b'&');
    }
    body.pop();
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_meaning_is_escaped() {
        let found = body(&[("a", "x y&z=ä"), ("b-._~", "urn:x")]);
        assert_eq!(found.as_slice(), b"a=x%20y%26z%3D%C3%A4&b-._~=urn%3Ax");
        assert!(body(&[]).is_empty());
    }
}
