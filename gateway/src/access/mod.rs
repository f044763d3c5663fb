//! Who may do what: tokens, what they are bound to, and how fast they may push.
//!
//! Tokens come from two places: the file that both services read (`HEADROOM_TOKENS_FILE`), and `tokens.json` in the data
//! folder, which `headroom-gateway token` and `/api/v1/tokens` write. As soon as one of the files exists, a request needs a token;
//! taking the last token away closes the gateway, it never opens it. Neither file holds a secret that this program made, only
//! its SHA-256.

mod bounds;
mod grant;
mod issued;
mod keyring;
mod pace;

pub use bounds::{Bounds, OutOfBounds};
pub use grant::{Client, Grant};
pub use issued::{
    FILE_NAME as TOKENS_FILE_NAME, Issued, IssuedError, IssuedFile, NewToken, Secret,
};
pub use keyring::Access;
pub use pace::{Limited, Pace, Rates};
