//! What the bearer of a token may do.

use std::sync::Arc;

use headroom_openapi::access::Scope;

use super::{Bounds, Pace};

/// Who pushes: a name of the token that was presented, which is not the token.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Client(pub Arc<str>);

/// What the bearer of a token may do.
#[derive(Debug)]
pub struct Grant {
    /// The token's name; `None` where everybody is trusted.
    pub client: Option<Client>,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// To which points.
    pub bounds: Bounds,
    /// How fast; shared with what the token was before its file was read anew.
    pub pace: Arc<Pace>,
}

impl Grant {
    /// What everybody may do where there are no tokens.
    #[must_use]
    pub fn everybody() -> Self {
        Self {
            client: None,
            scopes: vec![Scope::Admin],
            bounds: Bounds::NONE,
            pace: Arc::default(),
        }
    }

    /// Says whether it allows something.
    #[must_use]
    pub fn has(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }
}
