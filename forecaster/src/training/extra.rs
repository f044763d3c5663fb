//! Models of other kinds, which are fitted beside the LSTM where they are asked for: networks and statistical ones.

use std::{
    fs, io,
    path::{Path, PathBuf},
    str::FromStr,
    sync::Arc,
};

use crate::{
    model::{Base, BaseError, Device, Shape, WeightsError},
    model_kind::{EncoderKind, ModelKind},
};

/// A kind of model that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExtraModel {
    /// A network.
    Network(ExtraNetwork),
    /// A statistical model, of [`ModelKind::STATISTICAL_EXTRA`].
    Statistical(ModelKind),
}

impl ExtraModel {
    /// Tells networks and statistical models apart, each kind once.
    #[must_use]
    pub fn apart(asked: &[Self]) -> (Vec<ExtraNetwork>, Vec<ModelKind>) {
        let (mut networks, mut statistical): (Vec<ExtraNetwork>, Vec<ModelKind>) =
            (Vec::new(), Vec::new());
        for model in asked {
            match model {
                Self::Network(network) => {
                    if networks.iter().all(|other| other.kind != network.kind) {
                        networks.push(network.clone());
                    }
                }
                Self::Statistical(kind) => {
                    if !statistical.contains(kind) {
                        statistical.push(*kind);
                    }
                }
            }
        }
        (networks, statistical)
    }
}

impl FromStr for ExtraModel {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut statistical = ModelKind::STATISTICAL_EXTRA.into_iter();
        match statistical.find(|kind| kind.name() == text) {
            Some(kind) => Ok(Self::Statistical(kind)),
            None => text.parse().map(Self::Network),
        }
    }
}

/// A kind of network that is asked for: `KIND`, or `KIND=FILE` where a base of that kind lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExtraNetwork {
    /// The kind.
    pub kind: EncoderKind,
    /// What `pretrain --model KIND` made; without it the network begins from random weights.
    pub base: Option<PathBuf>,
}

/// Why there is no base to begin from.
#[derive(Debug, thiserror::Error)]
pub enum BaseFileError {
    /// The file cannot be read.
    #[error("the base {path} cannot be read: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is no base.
    #[error("{path} is no base: {source}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: BaseError,
    },
    /// The file is another kind's.
    #[error(
        "the base {path} is of the kind {found}, and {asked} is asked for; make one with `pretrain --model {asked}`"
    )]
    KindUnlike {
        /// The file.
        path: PathBuf,
        /// Its kind.
        found: EncoderKind,
        /// What is asked for.
        asked: EncoderKind,
    },
    /// No random weights could be drawn.
    #[error(transparent)]
    Weights(#[from] WeightsError),
}

impl FromStr for ExtraNetwork {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, base) = match text.split_once('=') {
            None => (text, None),
            Some((kind, file)) if !file.is_empty() => (kind, Some(PathBuf::from(file))),
            Some((kind, _)) => {
                return Err(format!(
                    "{kind}= names no file; write {kind}, or {kind}=FILE"
                ));
            }
        };
        let known = EncoderKind::EXTRA
            .into_iter()
            .find(|known| known.name() == kind);
        let kind = known.ok_or_else(|| {
            let networks = EncoderKind::EXTRA.map(EncoderKind::name);
            let statistical = ModelKind::STATISTICAL_EXTRA.map(ModelKind::name);
            format!(
                "there is no further model {kind:?}; write one of {}",
                [&networks[..], &statistical].concat().join(", ")
            )
        })?;
        Ok(Self { kind, base })
    }
}

impl ExtraNetwork {
    /// Asks for a kind that begins from random weights.
    #[must_use]
    pub fn untaught(kind: EncoderKind) -> Self {
        Self { kind, base: None }
    }

    /// Returns what its networks begin from.
    ///
    /// # Errors
    ///
    /// When the file is no base of its kind.
    pub fn base(&self, seed: u64, device: Device) -> Result<Arc<Base>, BaseFileError> {
        let base = match &self.base {
            None => Base::untaught(Shape::of(self.kind), seed)?,
            Some(path) => read_base(path, self.kind)?,
        };
        Ok(Arc::new(base.on(device)))
    }
}

/// Reads a base of a kind.
///
/// # Errors
///
/// When the file is none.
pub fn read_base(path: &Path, asked: EncoderKind) -> Result<Base, BaseFileError> {
    let bytes = fs::read(path).map_err(|source| BaseFileError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let base = Base::from_bytes(&bytes).map_err(|source| BaseFileError::Invalid {
        path: path.to_owned(),
        source,
    })?;
    if base.encoder() == asked {
        Ok(base)
    } else {
        Err(BaseFileError::KindUnlike {
            path: path.to_owned(),
            found: base.encoder(),
            asked,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn kinds_are_asked_for_by_name_and_maybe_file() {
        let asked: ExtraNetwork = "tcn".parse().expect("a kind");
        assert_eq!(asked, ExtraNetwork::untaught(EncoderKind::Tcn));
        let asked: ExtraNetwork = "attention=/a=b".parse().expect("a kind");
        assert_eq!(asked.base, Some(PathBuf::from("/a=b")));
        for (text, right) in [
            ("lstm", "tcn, attention, auto_ets, mstl_ets, auto_sarima"),
            ("tcn=", "tcn=FILE"),
        ] {
            let error = text.parse::<ExtraNetwork>().expect_err("no kind");
            assert!(error.contains(right), "{error}");
        }
    }

    #[test]
    fn networks_and_statistical_models_are_told_apart_and_count_once() {
        let asked = ["mstl_ets", "tcn", "mstl_ets", "tcn=/other", "auto_ets"];
        let asked: Result<Vec<ExtraModel>, _> = asked.iter().map(|text| text.parse()).collect();
        let (networks, statistical) = ExtraModel::apart(&asked.expect("kinds"));
        assert_eq!(networks, [ExtraNetwork::untaught(EncoderKind::Tcn)]);
        assert_eq!(statistical, [ModelKind::MstlEts, ModelKind::AutoEts]);
    }

    #[test]
    fn a_file_is_begun_from_where_it_is_a_base_of_the_kind() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("base.safetensors");
        let asked = |kind| {
            let base = Some(path.clone());
            ExtraNetwork { kind, base }.base(1, Device::Cpu)
        };
        let message = |kind| asked(kind).expect_err("no base").to_string();
        assert!(message(EncoderKind::Tcn).contains("cannot be read"));
        fs::write(&path, "nothing").expect("written");
        assert!(message(EncoderKind::Tcn).contains("is no base"));
        let base = Base::untaught(Shape::of(EncoderKind::Tcn), 1).expect("a base");
        fs::write(&path, base.to_bytes(HashMap::new()).expect("bytes")).expect("written");
        assert!(asked(EncoderKind::Tcn).is_ok_and(|base| base.is_taught()));
        assert!(message(EncoderKind::Attention).contains("pretrain --model attention"));
    }
}
