//! The fixed evaluation: files in, answers out, nothing read past an origin.

use std::{
    fmt::Write as _,
    fs,
    io::{Read as _, Write as _},
    num::NonZeroUsize,
    path::Path,
    sync::Arc,
};

use bytes::Bytes;
use flate2::{Compression, read::MultiGzDecoder, write::GzEncoder};
use headroom_forecaster::{
    config::Served,
    evaluation::{
        self, EvaluatedHost, Files, Form, Plan, SCORED_STEPS, Watch, WindowForecast, WithoutModel,
    },
    model::{Base, Device},
    model_kind::{EncoderKind, ModelKind},
    progress::{Event, Progress},
    quantile::LEVELS,
    target::Kind,
    training::{Budget, ExtraNetwork, Part, Recipe, TrainError, fleet::Effort, train_host},
};
use parquet::{
    file::reader::{FileReader, SerializedFileReader},
    record::{Row, RowAccessor},
};

use crate::support::histories::{DAY, wave};

const TRAINING_STEPS: usize = 6 * DAY;
const ORIGIN: usize = 7 * DAY;

/// Writes a folder of one host with two series, whose values from `ORIGIN` on are those of `behind`.
fn write_folder(folder: &Path, behind: &[f32]) {
    let mut values = "series_id,epoch_s,value\n".to_owned();
    let mut windows = "series_id,window,origin_index,core,other\n".to_owned();
    let mut series = "series_id,dataset,n_train\n".to_owned();
    for (seed, metric) in ["cpu.usage", "mem.used"].iter().enumerate() {
        let id = format!("made|web-1|{metric}");
        let before = wave(ORIGIN, 10.0, seed as u64);
        for (step, value) in before.iter().chain(behind).enumerate() {
            let time_s = 1_767_571_200 + 300 * step;
            let _ = writeln!(values, "{id},{time_s},{value}");
        }
        let _ = writeln!(windows, "{id},0,{ORIGIN},1,0\n{id},1,{},0,1", ORIGIN + 1);
        let _ = writeln!(series, "{id},made,{TRAINING_STEPS}");
    }
    for (name, text) in [("series_5min.csv.gz", values), ("windows.csv.gz", windows)] {
        let mut file = GzEncoder::new(Vec::new(), Compression::fast());
        file.write_all(text.as_bytes()).expect("room in memory");
        fs::write(folder.join(name), file.finish().expect("a whole file")).expect("written");
    }
    fs::write(folder.join("series.csv"), series).expect("written");
}

struct Unwatched;

impl Progress for Unwatched {
    fn report(&self, _: Event) {}
}

impl Watch for Unwatched {
    fn host_done(&self, _: &str) {}
}

fn untaught(kind: EncoderKind) -> Arc<Base> {
    let base = ExtraNetwork::untaught(kind).base(1, Device::Cpu);
    base.expect("random weights")
}

fn plan(served: Served) -> Plan {
    Plan {
        served,
        seed: 1,
        base: match served {
            Served::Only(ModelKind::Tcn) => untaught(EncoderKind::Tcn),
            Served::Only(ModelKind::Attention) => untaught(EncoderKind::Attention),
            _ => Arc::new(Base::shipped().expect("a base")),
        },
        extra: Vec::new(),
        recipe: match served {
            Served::Only(kind) if ModelKind::STATISTICAL_EXTRA.contains(&kind) => {
                Recipe::default().with([kind])
            }
            _ => Recipe::default(),
        },
        budget: Budget::tiny(),
        effort: Effort {
            windows_max: 20 * 2 * 128,
            ..Effort::default()
        },
        train: train_host,
    }
}

fn answers(behind: &[f32], served: Served) -> Vec<WindowForecast> {
    let folder = tempfile::tempdir().expect("a folder");
    write_folder(folder.path(), behind);
    let hosts = evaluation::read(&Files::of_folder(folder.path()), "core").expect("a whole folder");
    assert_eq!(hosts.len(), 1);
    assert_eq!(hosts[0].host, "made|web-1");
    let request = hosts[0].train_request(&plan(served), &plan(served).base);
    assert!(
        request
            .targets
            .iter()
            .all(|(_, grid)| grid.values.len() == TRAINING_STEPS)
    );
    let mut run = evaluation::run(&hosts, &plan(served), &Unwatched).expect("a run");
    assert_eq!((run.outcomes.len(), run.untaught.len()), (1, 0));
    let outcome = run.outcomes.remove(0);
    assert_eq!(outcome.without_model, None);
    outcome.forecasts
}

#[test]
fn every_window_of_the_scope_is_answered_from_what_lies_before_it() {
    let one = answers(&wave(2 * DAY, 10.0, 8), Served::Best);
    assert_eq!(one, answers(&vec![99.0; 2 * DAY], Served::Best));
    assert_eq!(one.len(), 2);
    for forecast in &one {
        assert_eq!(forecast.origin, ORIGIN);
        assert_eq!(forecast.levels.len(), LEVELS.len());
        let whole = |level: &Vec<f64>| {
            level.len() == SCORED_STEPS && level.iter().all(|value| value.is_finite())
        };
        assert!(forecast.levels.iter().all(whole));
    }
}

#[test]
fn one_kind_of_model_answers_where_it_is_asked_for() {
    let behind = wave(DAY, 10.0, 8);
    for kind in [
        ModelKind::Lstm,
        ModelKind::Tcn,
        ModelKind::Attention,
        ModelKind::AutoEts,
        ModelKind::Ensemble,
        ModelKind::SeasonalNaiveDay,
    ] {
        let forecasts = answers(&behind, Served::Only(kind));
        assert!(forecasts.iter().all(|forecast| forecast.model == kind));
    }
}

#[test]
fn a_host_without_a_usable_history_is_continued_with_its_newest_value() {
    let folder = tempfile::tempdir().expect("a folder");
    write_folder(folder.path(), &[1.0; DAY]);
    let parts = "series_id,n_train\nmade|web-1|cpu.usage,20\nmade|web-1|mem.used,20\n";
    fs::write(folder.path().join("series.csv"), parts).expect("written");
    let hosts = evaluation::read(&Files::of_folder(folder.path()), "core").expect("a whole folder");
    let run = evaluation::run(&hosts, &plan(Served::Best), &Unwatched).expect("a run");
    let outcome = &run.outcomes[0];
    assert!(matches!(
        &outcome.without_model,
        Some(WithoutModel::Refused(_))
    ));
    let forecasts = &outcome.forecasts;
    assert_eq!(forecasts.len(), 2);
    assert!(forecasts.iter().all(|f| f.model == ModelKind::Persistence));
}

#[test]
fn a_training_that_breaks_off_concerns_its_host_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    write_folder(folder.path(), &wave(DAY, 10.0, 8));
    let read = evaluation::read(&Files::of_folder(folder.path()), "core").expect("a whole folder");
    let hosts: Vec<EvaluatedHost> = ["breaks", "panics", "whole"]
        .map(|name| {
            let mut host = read[0].clone();
            name.clone_into(&mut host.host);
            host
        })
        .into();
    let plan = Plan {
        recipe: Recipe::without(&[Part::Fleet]),
        train: |request, progress, cancelled| match request.host.as_str() {
            "breaks" => Err(TrainError::Cancelled {
                host: request.host.clone(),
            }),
            "panics" => panic!("a tensor went missing"),
            _ => train_host(request, progress, cancelled),
        },
        ..plan(Served::Best)
    };
    let outcomes = evaluation::run(&hosts, &plan, &Unwatched)
        .expect("a run")
        .outcomes;
    let reason = |place: usize| match &outcomes[place].without_model {
        Some(WithoutModel::BrokeOff(reason)) => reason.clone(),
        other => panic!("{other:?}"),
    };
    assert!(reason(0).contains("\"breaks\""), "{}", reason(0));
    assert_eq!(reason(1), "a tensor went missing");
    assert_eq!(outcomes[2].without_model, None);
    for outcome in &outcomes[..2] {
        assert_eq!(outcome.forecasts.len(), 2);
        assert!(outcome.forecasts.iter().all(|f| f.model == ModelKind::Base));
    }
    let alone = evaluation::run(&hosts[2..], &plan, &Unwatched)
        .expect("a run")
        .outcomes;
    assert_eq!(outcomes[2].forecasts, alone[0].forecasts);
}

#[test]
fn where_the_fleet_s_base_cannot_be_fitted_what_it_begins_from_serves() {
    let folder = tempfile::tempdir().expect("a folder");
    write_folder(folder.path(), &wave(DAY, 10.0, 8));
    let hosts = evaluation::read(&Files::of_folder(folder.path()), "core").expect("a whole folder");
    let diverging = Plan {
        effort: Effort {
            rate_max: 1e30,
            ..plan(Served::Best).effort
        },
        ..plan(Served::Best)
    };
    let run = evaluation::run(&hosts, &diverging, &Unwatched).expect("a run");
    assert_eq!(run.untaught.len(), 1);
    let without = Plan {
        recipe: Recipe::without(&[Part::Fleet]),
        ..plan(Served::Best)
    };
    let shipped = evaluation::run(&hosts, &without, &Unwatched).expect("a run");
    assert_eq!(run.outcomes[0].without_model, None);
    assert_eq!(run.outcomes[0].forecasts, shipped.outcomes[0].forecasts);
}

#[test]
fn what_a_metric_can_be_is_guessed_by_its_name_and_held_to_its_training_part() {
    let folder = tempfile::tempdir().expect("a folder");
    write_folder(folder.path(), &[7e9; DAY]);
    let kinds = |metric: &str, value: f64| {
        let path = folder.path().join("series_5min.csv.gz");
        let mut file = GzEncoder::new(Vec::new(), Compression::fast());
        let mut text = "series_id,epoch_s,value\n".to_owned();
        for step in 0..TRAINING_STEPS + DAY {
            let (id, time_s) = (format!("made|web-1|{metric}"), 1_767_571_200 + 300 * step);
            let value = if step < TRAINING_STEPS { value } else { 7e9 };
            let _ = writeln!(text, "{id},{time_s},{value}");
        }
        file.write_all(text.as_bytes()).expect("room in memory");
        fs::write(path, file.finish().expect("a whole file")).expect("written");
        let parts = format!("series_id,n_train\nmade|web-1|{metric},{TRAINING_STEPS}\n");
        fs::write(folder.path().join("series.csv"), parts).expect("written");
        let read = evaluation::read(&Files::of_folder(folder.path()), "core");
        read.expect("a whole folder")[0].training_parts()[0].0.kind
    };
    assert_eq!(kinds("docker_container_mem.usage", 2e9), Kind::Rate);
    assert_eq!(kinds("cpu.usage_active", 126.8), Kind::Rate);
    assert_eq!(kinds("quota.usage", -5.0), Kind::Gauge);
    // What lies behind the training part is not known yet.
    assert_eq!(kinds("cpu.usage", 99.0), Kind::Percent);
}

#[test]
fn a_file_holds_a_row_a_step_whatever_its_form() {
    let forecasts = answers(
        &wave(DAY, 10.0, 8),
        Served::Only(ModelKind::SeasonalNaiveDay),
    );
    let folder = tempfile::tempdir().expect("a folder");
    let written = |name: &str| {
        let path = folder.path().join(name);
        let file = fs::File::create(&path).expect("a file");
        Form::of(&path).write(file, &forecasts).expect("written");
        fs::read(&path).expect("a file")
    };
    let text = String::from_utf8(written("forecasts.csv")).expect("text");
    let rows: Vec<&str> = text.lines().collect();
    assert_eq!(rows.len(), 1 + 2 * SCORED_STEPS);
    assert_eq!(
        rows[0],
        "series_id,origin_index,h,q0.025,q0.1,q0.2,q0.3,q0.4,q0.5,q0.6,q0.7,q0.8,q0.9,q0.975"
    );
    assert!(
        rows[1].starts_with("made|web-1|cpu.usage,2016,1,"),
        "{}",
        rows[1]
    );
    let mut unpacked = String::new();
    let gz = written("forecasts.csv.gz");
    MultiGzDecoder::new(&gz[..])
        .read_to_string(&mut unpacked)
        .expect("gzip");
    assert_eq!(unpacked, text);
    let columns =
        SerializedFileReader::new(Bytes::from(written("forecasts.parquet"))).expect("Parquet");
    let read: Vec<Row> = columns
        .get_row_iter(None)
        .expect("rows")
        .map(|row| row.expect("a row"))
        .collect();
    assert_eq!(read.len(), 2 * SCORED_STEPS);
    assert_eq!(
        read[0].get_string(0).expect("an id"),
        "made|web-1|cpu.usage"
    );
    let (origin, step) = (read[50].get_long(1), read[50].get_int(2));
    assert_eq!(
        (origin.expect("an origin"), step.expect("a step")),
        (ORIGIN as i64, 3)
    );
    let median = read[50].get_double(8).expect("a number");
    // The eleven levels stand behind three columns.
    assert!((median - forecasts[1].levels[5][2]).abs() < f64::EPSILON);
}

#[test]
fn a_sample_takes_every_so_many_th_host() {
    let folder = tempfile::tempdir().expect("a folder");
    write_folder(folder.path(), &[1.0; DAY]);
    let read = evaluation::read(&Files::of_folder(folder.path()), "core").expect("a whole folder");
    let hosts: Vec<EvaluatedHost> = ["a", "b", "c", "d", "e"]
        .map(|name| {
            let mut host = read[0].clone();
            name.clone_into(&mut host.host);
            host
        })
        .into();
    let names = |every: usize| {
        let every = NonZeroUsize::new(every).expect("not zero");
        let sample = evaluation::sample(hosts.clone(), every).into_iter();
        sample.map(|host| host.host).collect::<Vec<_>>()
    };
    assert_eq!(names(1), ["a", "b", "c", "d", "e"]);
    assert_eq!(names(2), ["a", "c", "e"]);
    assert_eq!(names(9), ["a"]);
}

#[test]
fn what_is_missing_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let message = |scope| {
        let error = evaluation::read(&Files::of_folder(folder.path()), scope)
            .expect_err("not an evaluation");
        error.to_string()
    };
    assert!(message("core").contains("windows.csv.gz"));
    write_folder(folder.path(), &[1.0; DAY]);
    assert!(
        message("arima").contains("\"arima\""),
        "{}",
        message("arima")
    );
}
