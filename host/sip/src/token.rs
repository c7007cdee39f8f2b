//! Tokens that this host mints into branches, tags and Call-IDs: 64 bits as 13 characters of
//! lower-case base32 (RFC 4648 §6 alphabet, most significant first), safe in every place where SIP
//! wants a token. What the bits mean is the minter's affair.

use std::fmt;

/// What a branch begins with when it identifies a transaction (RFC 3261 §8.1.1.7).
pub const BRANCH_COOKIE: &str = "z9hG4bK";

const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// 64 bits that print as 13 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Token(pub u64);

impl Token {
    /// Length of a printed token.
    pub const CHARS: usize = 13;

    /// Reads a token back; `None` for anything that [`Token`] does not print, case included.
    pub fn parse(bytes: &[u8]) -> Option<Token> {
        if bytes.len() != Token::CHARS {
            return None;
        }
        let wide = bytes.iter().try_fold(0u128, |bits, byte| {
            let digit = match byte {
                b'a'..=b'z' => byte - b'a',
                b'2'..=b'7' => byte - b'2' + 26,
                _ => return None,
            };
            Some(bits << 5 | u128::from(digit))
        })?;
        u64::try_from(wide).ok().map(Token)
    }

    /// Its characters.
    pub fn text(self) -> [u8; Token::CHARS] {
        let mut text = [0; Token::CHARS];
        for (i, slot) in text.iter_mut().rev().enumerate() {
            *slot = ALPHABET[(self.0 >> (5 * i) & 31) as usize];
        }
        text
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).expect("the alphabet is ASCII"))
    }
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn tokens_survive_the_round_trip() {
        let mut bits = 0u64;
        for _ in 0..1_000 {
            bits = bits
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            for token in [Token(bits), Token(bits >> 60), Token(!0), Token(0)] {
                let text = token.to_string();
                assert_eq!(text.len(), Token::CHARS);
                assert_eq!(Token::parse(text.as_bytes()), Some(token));
            }
        }
    }

    #[test]
    fn strangers_are_no_tokens() {
        for text in [
            "",
            "aaaaaaaaaaaa",
            "aaaaaaaaaaaaaa",
            "AAAAAAAAAAAAA",
            "aaaaaaaaaaaa1",
            "7777777777777",
        ] {
            assert_eq!(Token::parse(text.as_bytes()), None, "{text}");
        }
    }
}
