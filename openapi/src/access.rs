//! Who may do what: the tokens file that both services read, and the credentials that clients present.
//!
//! The file holds one token a line, its scopes behind it: `TOKEN write` or `TOKEN read,write`; `admin` implies the
//! others. Blank lines and lines that start with `#` are passed over. A token may stand as `sha256:` and the
//! 64 hexadecimal digits of its SHA-256. In memory there are only digests, and they are compared in constant time.

use std::{fmt, net::SocketAddr, str::FromStr};

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The shortest token that is taken: shorter ones can be guessed.
pub const TOKEN_MIN_CHARS: usize = 16;

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, utoipa::ToSchema)]
#[schema(rename_all = "lowercase")]
pub enum Scope {
    /// Queries and forecasts.
    Read,
    /// Points, retrains and thresholds.
    Write,
    /// Everything.
    Admin,
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            "admin" => Ok(Self::Admin),
            _ => Err(word.to_owned()),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Read => "read",
            Self::Write => "write",
            Self::Admin => "admin",
        })
    }
}

/// Why a tokens file was refused. No message holds a token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokensError {
    /// A line without scopes behind the token.
    #[error("line {line} of the tokens file has no scope; write `TOKEN read,write`")]
    ScopeMissing {
        /// The line's number, from 1.
        line: usize,
    },
    /// A scope that does not exist.
    #[error(
        "line {line} of the tokens file has the scope {word:?}; there are read, write and admin"
    )]
    ScopeUnknown {
        /// The line's number, from 1.
        line: usize,
        /// What stood there.
        word: String,
    },
    /// Words behind the scopes.
    #[error(
        "line {line} of the tokens file has more than a token and its scopes; separate scopes with commas only"
    )]
    TooManyWords {
        /// The line's number, from 1.
        line: usize,
    },
    /// A token that can be guessed.
    #[error(
        "the token on line {line} of the tokens file has {chars} characters; it needs at least {TOKEN_MIN_CHARS}, and \
         `openssl rand -hex 32` makes a good one"
    )]
    TooShort {
        /// The line's number, from 1.
        line: usize,
        /// The token's length.
        chars: usize,
    },
    /// `sha256:` without a digest behind it.
    #[error(
        "line {line} of the tokens file has `sha256:` without the digest's 64 hexadecimal digits"
    )]
    DigestInvalid {
        /// The line's number, from 1.
        line: usize,
    },
    /// A file without any token.
    #[error(
        "the tokens file holds no token; write `TOKEN read,write` a line, or leave the setting out to serve loopback alone"
    )]
    Empty,
}

/// The answer to a request's credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The request may go on.
    Allowed,
    /// Nothing was presented, or nothing that is known: 401.
    Unknown,
    /// The token is known and lacks the scope: 403.
    ScopeLacking,
}

struct Token {
    digest: [u8; 32],
    scopes: Vec<Scope>,
}

/// The tokens that a service accepts.
pub struct Tokens(Vec<Token>);

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tokens({} redacted)", self.0.len())
    }
}

impl Tokens {
    /// Parses the tokens file's text.
    ///
    /// # Errors
    ///
    /// Names the first line that is wrong and what would be right.
    pub fn parse(text: &str) -> Result<Self, TokensError> {
        let mut tokens = Vec::new();
        for (index, content) in text.lines().enumerate() {
            let content = content.trim();
            if !content.is_empty() && !content.starts_with('#') {
                tokens.push(Token::parse(content, index + 1)?);
            }
        }
        if tokens.is_empty() {
            Err(TokensError::Empty)
        } else {
            Ok(Self(tokens))
        }
    }

    /// What a secret allows; `None`: it is not known.
    #[must_use]
    pub fn scopes_of(&self, secret: &str) -> Option<Vec<Scope>> {
        let presented: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let mut scopes = None::<Vec<Scope>>;
        for token in &self.0 {
            if bool::from(token.digest.ct_eq(&presented)) {
                scopes.get_or_insert_default().extend(&token.scopes);
            }
        }
        scopes
    }

    /// Judges a secret against the scope that an operation needs.
    #[must_use]
    pub fn judge(&self, secret: Option<&str>, needed: Scope) -> Verdict {
        let Some(secret) = secret else {
            return Verdict::Unknown;
        };
        let presented: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let mut verdict = Verdict::Unknown;
        for token in &self.0 {
            if bool::from(token.digest.ct_eq(&presented)) && verdict != Verdict::Allowed {
                verdict = if token.scopes.contains(&needed) || token.scopes.contains(&Scope::Admin)
                {
                    Verdict::Allowed
                } else {
                    Verdict::ScopeLacking
                };
            }
        }
        verdict
    }
}

impl Token {
    fn parse(content: &str, line: usize) -> Result<Self, TokensError> {
        let mut words = content.split_whitespace();
        let secret = words.next().unwrap_or_default();
        let scopes = words.next().ok_or(TokensError::ScopeMissing { line })?;
        if words.next().is_some() {
            return Err(TokensError::TooManyWords { line });
        }
        let scopes = scopes
            .split(',')
            .map(|word| {
                word.parse()
                    .map_err(|word| TokensError::ScopeUnknown { line, word })
            })
            .collect::<Result<_, _>>()?;
        let digest = if let Some(digits) = secret.strip_prefix("sha256:") {
            let mut digest = [0; 32];
            hex::decode_to_slice(digits, &mut digest)
                .map_err(|_| TokensError::DigestInvalid { line })?;
            digest
        } else {
            let chars = secret.chars().count();
            if chars < TOKEN_MIN_CHARS {
                return Err(TokensError::TooShort { line, chars });
            }
            Sha256::digest(secret.as_bytes()).into()
        };
        Ok(Self { digest, scopes })
    }
}

/// Names a token without giving it away: the first eight hexadecimal digits of its SHA-256.
#[must_use]
pub fn fingerprint(secret: &str) -> String {
    hex::encode(&Sha256::digest(secret.as_bytes())[..4])
}

/// Finds the secret in a request: `Authorization: Token t`, `Token user:t`, `Bearer t`, `Basic base64(user:t)`, or the
/// query's `p` (InfluxDB 1.x).
#[must_use]
pub fn presented_secret(authorization: Option<&str>, query: &str) -> Option<String> {
    authorization
        .and_then(secret_of_header)
        .or_else(|| secret_of_query(query))
}

fn secret_of_header(header: &str) -> Option<String> {
    let (scheme, rest) = header.trim().split_once(' ')?;
    let rest = rest.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        Some(rest.to_owned())
    } else if scheme.eq_ignore_ascii_case("token") {
        Some(
            rest.split_once(':')
                .map_or(rest, |(_, secret)| secret)
                .to_owned(),
        )
    } else if scheme.eq_ignore_ascii_case("basic") {
        let decoded = String::from_utf8(STANDARD.decode(rest).ok()?).ok()?;
        decoded.split_once(':').map(|(_, secret)| secret.to_owned())
    } else {
        None
    }
}

fn secret_of_query(query: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let value = pair.strip_prefix("p=")?.replace('+', " ");
        Some(percent_decode_str(&value).decode_utf8().ok()?.into_owned())
    })
}

/// Says whether a service may listen: without tokens, on loopback alone.
#[must_use]
pub fn may_listen(address: SocketAddr, tokens: Option<&Tokens>) -> bool {
    tokens.is_some() || address.ip().is_loopback()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef";

    fn tokens(scopes: &str) -> Tokens {
        Tokens::parse(&format!("# accepted\n\n{SECRET} {scopes}\n")).expect("a good file")
    }

    #[test]
    fn a_token_allows_its_scopes_and_admin_allows_all() {
        assert_eq!(
            tokens("write").judge(Some(SECRET), Scope::Write),
            Verdict::Allowed
        );
        assert_eq!(
            tokens("write").judge(Some(SECRET), Scope::Read),
            Verdict::ScopeLacking
        );
        assert_eq!(
            tokens("admin").judge(Some(SECRET), Scope::Read),
            Verdict::Allowed
        );
        assert_eq!(
            tokens("admin").judge(Some("another-token-0"), Scope::Read),
            Verdict::Unknown
        );
        assert_eq!(tokens("admin").judge(None, Scope::Read), Verdict::Unknown);
    }

    #[test]
    fn a_token_may_stand_as_its_digest() {
        let file = format!("sha256:{} read,write", hex::encode(Sha256::digest(SECRET)));
        let tokens = Tokens::parse(&file).expect("a good file");
        assert_eq!(tokens.judge(Some(SECRET), Scope::Write), Verdict::Allowed);
    }

    #[test]
    fn a_bad_line_is_named_and_no_token_is_shown() {
        let cases = [
            ("0123456789abcdef", TokensError::ScopeMissing { line: 1 }),
            (
                "#\n0123456789abcdef all",
                TokensError::ScopeUnknown {
                    line: 2,
                    word: "all".into(),
                },
            ),
            (
                "0123456789abcdef read write",
                TokensError::TooManyWords { line: 1 },
            ),
            ("short read", TokensError::TooShort { line: 1, chars: 5 }),
            ("sha256:12 read", TokensError::DigestInvalid { line: 1 }),
            ("# none", TokensError::Empty),
        ];
        for (text, expected) in cases {
            let error = Tokens::parse(text).expect_err(text);
            assert_eq!(error, expected);
            assert!(!error.to_string().contains("0123456789abcdef"));
        }
        assert_eq!(format!("{:?}", tokens("read")), "Tokens(1 redacted)");
    }

    #[test]
    fn every_form_of_credentials_is_understood() {
        let basic = format!("Basic {}", STANDARD.encode(format!("user:{SECRET}")));
        for header in [
            format!("Token {SECRET}"),
            format!("Token user:{SECRET}"),
            format!("bearer {SECRET}"),
            basic,
        ] {
            assert_eq!(
                presented_secret(Some(&header), "").as_deref(),
                Some(SECRET),
                "{header}"
            );
        }
        assert_eq!(
            presented_secret(None, "db=d&u=a&p=01%3A3+4").as_deref(),
            Some("01:3 4")
        );
        assert_eq!(presented_secret(Some("Digest x"), "db=d"), None);
    }

    #[test]
    fn without_tokens_only_loopback_is_served() {
        let loopback = "127.0.0.1:8186".parse().expect("an address");
        let any = "0.0.0.0:8186".parse().expect("an address");
        assert!(may_listen(loopback, None));
        assert!(!may_listen(any, None));
        assert!(may_listen(any, Some(&tokens("read"))));
    }
}
