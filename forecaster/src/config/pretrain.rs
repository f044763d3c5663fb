//! The flags of `pretrain`.

use std::path::PathBuf;

use super::{DEVICE, SEED};
use crate::{model::Device, model_kind::EncoderKind};

/// Enough kinds of series that no single one rules.
const SYNTHETIC_SERIES: usize = 600;

/// About four minutes of two cores.
const WINDOWS: usize = 1_500_000;

/// The flags of `pretrain`.
#[derive(clap::Args)]
pub struct Pretrain {
    /// Where the base goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,

    /// Kind of network: lstm, tcn or attention
    #[arg(long, default_value_t = EncoderKind::Lstm)]
    model: EncoderKind,

    /// Where it is fitted: cpu, cuda, cuda:N or auto
    #[arg(long, env = "HEADROOM_DEVICE", default_value = DEVICE)]
    device: Device,

    /// Folder of real series: CSV, Parquet and line protocol, or an evaluation's files (`series_5min.csv.gz`,
    /// `windows.csv.gz`, `series.csv`), of whose series the first `n_train` bins are learned; may be given more than once
    #[arg(long = "folder", value_name = "FOLDER")]
    folders: Vec<PathBuf>,

    /// Data set of the folders that is learned from [default: all]; may be given more than once
    #[arg(long = "dataset", value_name = "NAME", requires = "folders")]
    datasets: Vec<String>,

    /// How many synthetic series are drawn
    #[arg(long, default_value_t = SYNTHETIC_SERIES)]
    synthetic: usize,

    /// How many windows are learned from
    #[arg(long, default_value_t = WINDOWS)]
    windows: usize,

    /// Seed of everything random
    #[arg(long, default_value_t = SEED)]
    seed: u64,
}

/// A base that is to be made.
#[derive(Debug, Clone)]
pub struct Pretraining {
    /// What reads the patches.
    pub encoder: EncoderKind,
    /// The device that computes.
    pub device: Device,
    /// How many synthetic series are drawn.
    pub synthetic: usize,
    /// Folders of real series.
    pub folders: Vec<PathBuf>,
    /// The data sets of the folders that are learned from; all where none is named.
    pub datasets: Vec<String>,
    /// The windows that are drawn.
    pub windows: usize,
    /// The seed of everything random.
    pub seed: u64,
    /// Where the base goes.
    pub out: PathBuf,
}

impl From<Pretrain> for Pretraining {
    fn from(flags: Pretrain) -> Self {
        Self {
            encoder: flags.model,
            device: flags.device,
            synthetic: flags.synthetic,
            folders: flags.folders,
            datasets: flags.datasets,
            windows: flags.windows,
            seed: flags.seed,
            out: flags.out,
        }
    }
}
