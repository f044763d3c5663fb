//! Which build of the program this is.

/// The version of the program and, where it was known to the build, the commit: `0.1.0+735fbe6a1c2d`.
pub const CODE_VERSION: &str = env!("HEADROOM_CODE_VERSION");
