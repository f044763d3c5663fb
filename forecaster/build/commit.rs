//! The commit that is built: from `HEADROOM_BUILD_COMMIT`, as where an image is made of a context without git's folder,
//! or read from that folder. Without either it is unknown. Changes that are not committed do not show.
//!
//! The script runs again when git's record of where HEAD points changes, and only then.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// What tells the commit where there is no git.
const VARIABLE: &str = "HEADROOM_BUILD_COMMIT";

/// As many digits as tell any two commits of a repository apart.
const SHOWN_DIGITS: usize = 12;

/// Returns the first digits of the commit.
pub(crate) fn known() -> Option<String> {
    println!("cargo:rerun-if-env-changed={VARIABLE}");
    let told = env::var(VARIABLE).ok().filter(|told| !told.is_empty());
    let commit = told.or_else(|| {
        let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR")?);
        head(&git_folder(&root.join("../.git"))?)
    })?;
    let is_commit = commit.len() >= SHOWN_DIGITS && commit.bytes().all(|c| c.is_ascii_hexdigit());
    is_commit.then(|| commit[..SHOWN_DIGITS].to_ascii_lowercase())
}

/// Returns git's folder: `.git` itself, or what it names in a further worktree.
fn git_folder(git: &Path) -> Option<PathBuf> {
    if git.is_dir() {
        return Some(git.to_owned());
    }
    let named = read(git)?;
    let folder = named.strip_prefix("gitdir: ")?;
    Some(git.parent()?.join(folder))
}

/// Returns the commit that HEAD names, by itself or by a branch.
fn head(folder: &Path) -> Option<String> {
    let common = read(&folder.join("commondir"));
    let common = common.map_or(folder.to_owned(), |common| folder.join(common));
    // Every commit and checkout is appended here, also where the branch lies among the packed ones.
    watch(&folder.join("logs/HEAD"));
    let head = watched(&folder.join("HEAD"))?;
    let Some(branch) = head.strip_prefix("ref: ") else {
        return Some(head);
    };
    let packed = watched(&common.join("packed-refs"));
    watched(&common.join(branch)).or_else(|| {
        let mut lines = packed.as_deref()?.lines();
        let line = lines.find_map(|line| line.strip_suffix(branch))?;
        Some(line.trim().to_owned())
    })
}

fn watched(file: &Path) -> Option<String> {
    watch(file);
    read(file)
}

/// A file that is not there is not named: cargo would take it for changed at every build.
fn watch(file: &Path) {
    if file.exists() {
        println!("cargo:rerun-if-changed={}", file.display());
    }
}

fn read(file: &Path) -> Option<String> {
    Some(fs::read_to_string(file).ok()?.trim().to_owned())
}
