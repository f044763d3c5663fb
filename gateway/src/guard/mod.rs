//! What stands between a line that is well formed and the journal: float fields, contract, series limits, types.
//!
//! A line passes them in this order, and what a refused line would have taught is not learned:
//!
//! 1. [`FloatFields`] makes floats of the integers of some fields; what follows sees floats.
//! 2. The [`Contract`] holds measurement, tags, fields and time to a file's rules.
//! 3. [`SeriesLimits`] bound the series that are new a day; known ones go on.
//! 4. Fields keep their first type. The embedded store holds to that itself; on the way to an InfluxDB it is done here.
//!
//! # Cost
//!
//! Without a guard a line costs a comparison. With one, two hashes say of nearly every line that all it holds was judged
//! before: its shape (measurement, fields, types) and its series. Only what is new is looked at in earnest, under a
//! lock, and written to a file before the batch is journalled. Nothing is allocated for a line that teaches nothing.

pub mod contract;
mod floats;
mod kept;
mod keys;
mod series;
mod session;
mod types;

#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, path::Path, sync::Arc};

use parking_lot::{Mutex, RwLock};

pub use contract::{Contract, ContractError};
pub use floats::{FloatFields, FloatFieldsInvalid};
pub use kept::{FILE_NAME, GuardError};
pub use series::SeriesLimits;
pub use session::{Session, Source};

use crate::lines::FieldType;
use contract::Entry;
use kept::{Kept, Row};
use keys::{KeyMap, KeySet, Keys, type_bit};
use series::Ledger;
use types::{NewField, Types, field_key};

/// Which guards stand.
#[derive(Debug, Default)]
pub struct GuardOptions {
    /// Fields whose integers become floats.
    pub float_fields: FloatFields,
    /// What may come.
    pub contract: Option<Contract>,
    /// How many series may be new.
    pub series: Option<SeriesLimits>,
    /// Whether fields are held to their types here.
    pub holds_types: bool,
}

/// A field and its type, as a server lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedField {
    /// The measurement.
    pub measurement: String,
    /// The field.
    pub field: String,
    /// One of its types.
    pub field_type: FieldType,
}

/// How much the guards know.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GuardUsage {
    /// Series that are known.
    pub series: usize,
    /// Fields whose types are known.
    pub fields: usize,
}

/// The guards.
#[derive(Debug)]
pub struct Guard {
    float_fields: FloatFields,
    keys: Keys,
    known: RwLock<Known>,
    kept: Option<Arc<Kept>>,
    /// The buckets that pushes went to, and whether the server has listed their fields.
    buckets: Mutex<BTreeMap<String, bool>>,
}

/// What was learned.
#[derive(Debug, Default)]
struct Known {
    contract: Option<Arc<Contract>>,
    /// Shapes that were judged to be good, and the contract's entry for them.
    shapes: KeyMap<Entry>,
    /// Series whose tags were judged to be good.
    clean: KeySet,
    types: Option<Types>,
    ledger: Option<Ledger>,
    /// Counts how often shapes and clean series were forgotten.
    generation: u64,
}

impl Known {
    /// Forgets what was judged by rules that have changed.
    fn judge_anew(&mut self) {
        self.shapes.clear();
        self.clean.clear();
        self.generation += 1;
    }
}

impl Guard {
    /// Sets up the guards, with what they learned in earlier runs from the data folder.
    ///
    /// # Errors
    ///
    /// Fails if what was learned cannot be read.
    pub fn open(data_dir: &Path, options: GuardOptions) -> Result<Self, GuardError> {
        let learns = options.holds_types || options.series.is_some();
        let kept = learns.then(|| Kept::open(data_dir)).transpose()?;
        let mut known = Known {
            contract: options.contract.map(Arc::new),
            types: options.holds_types.then(Types::default),
            ledger: options.series.map(Ledger::new),
            ..Known::default()
        };
        if let Some((kept, _)) = &kept {
            known
                .recall(kept)
                .map_err(|error| Kept::failed(data_dir, &error))?;
        }
        let seed = kept.as_ref().map_or(0, |(_, seed)| *seed);
        Ok(Self {
            float_fields: options.float_fields,
            keys: Keys::new(seed),
            known: RwLock::new(known),
            kept: kept.map(|(kept, _)| Arc::new(kept)),
            buckets: Mutex::default(),
        })
    }

    /// The contract in force.
    #[must_use]
    pub fn contract(&self) -> Option<Arc<Contract>> {
        self.known.read().contract.clone()
    }

    /// Puts another contract in force; batches that are being judged end under the one they began with.
    pub fn replace_contract(&self, contract: Contract) {
        let mut known = self.known.write();
        known.contract = Some(Arc::new(contract));
        known.judge_anew();
    }

    /// How much the guards know.
    #[must_use]
    pub fn usage(&self) -> GuardUsage {
        let known = self.known.read();
        GuardUsage {
            series: known.ledger.as_ref().map_or(0, Ledger::len),
            fields: known.types.as_ref().map_or(0, Types::len),
        }
    }

    /// Says whether series are counted.
    #[must_use]
    pub fn counts_series(&self) -> bool {
        self.known.read().ledger.is_some()
    }

    /// Takes series of a database for known that were stored before anybody counted, by their keys.
    pub fn know_series<'a>(
        &self,
        database: &str,
        keys: impl IntoIterator<Item = &'a str>,
        now_ns: i64,
    ) {
        let place = self.keys.place(database);
        if let Some(ledger) = &mut self.known.write().ledger {
            for key in keys {
                ledger.know(Keys::name(place, key), session::day_of(now_ns));
            }
        }
    }

    /// Says whether fields are held to their types here.
    #[must_use]
    pub fn holds_types(&self) -> bool {
        self.known.read().types.is_some()
    }

    /// Notes that pushes go to a bucket.
    pub fn note_bucket(&self, bucket: &str) {
        let mut buckets = self.buckets.lock();
        if !buckets.contains_key(bucket) {
            buckets.insert(bucket.to_owned(), false);
        }
    }

    /// The buckets whose fields the server has not listed yet.
    #[must_use]
    pub fn unlisted_buckets(&self) -> Vec<String> {
        let buckets = self.buckets.lock();
        let unlisted = buckets.iter().filter(|(_, is_listed)| !**is_listed);
        unlisted.map(|(bucket, _)| bucket.clone()).collect()
    }

    /// Takes over the types that the server has in a bucket. If nothing is on its way there, what it does not list is
    /// forgotten: whoever drops a measurement may begin it anew, after a restart of the gateway.
    pub fn know_types(&self, bucket: &str, listed: &[ListedField], is_all: bool) {
        let place = self.keys.place(bucket);
        let mut fields: BTreeMap<u64, u8> = BTreeMap::new();
        for field in listed {
            let key = field_key(place, &field.measurement, &field.field);
            *fields.entry(key).or_default() |= type_bit(field.field_type);
        }
        let fields: Vec<_> = fields
            .into_iter()
            .map(|(key, kinds)| NewField { key, kinds })
            .collect();
        {
            let mut known = self.known.write();
            known.judge_anew();
            match &mut known.types {
                Some(types) if is_all => types.replace(place, &fields),
                Some(types) => {
                    types.add(place, &fields);
                }
                None => return,
            }
        }
        if let Some(kept) = &self.kept {
            if is_all {
                kept.forget_fields(place);
            }
            let rows: Vec<_> = fields
                .into_iter()
                .map(|NewField { key, kinds }| Row::Field {
                    bucket: place,
                    key,
                    kinds,
                })
                .collect();
            kept.write(&rows);
        }
        self.buckets.lock().insert(bucket.to_owned(), true);
    }

    /// Notes in the file which series were seen today. To be called when no more batches come.
    pub fn close(&self) {
        let known = self.known.read();
        if let (Some(ledger), Some(kept)) = (&known.ledger, &self.kept) {
            let seen = ledger.seen_on(ledger.day());
            kept.note_seen(&seen, ledger.day(), ledger.oldest_day());
        }
    }

    /// Begins another day.
    fn begin_day(&self, day: u16) {
        let mut known = self.known.write();
        let Some(ledger) = known.ledger.as_mut().filter(|ledger| ledger.is_over(day)) else {
            return;
        };
        let (seen, seen_day) = (ledger.seen_on(ledger.day()), ledger.day());
        ledger.begin(day);
        let oldest_day = ledger.oldest_day();
        if let Some(kept) = self.kept.clone() {
            // A million rows take seconds, for which no push waits.
            let noted = std::thread::Builder::new()
                .name("guard".to_owned())
                .spawn(move || kept.note_seen(&seen, seen_day, oldest_day));
            if let Err(error) = noted {
                tracing::warn!(%error, "which series were seen cannot be written; some may be forgotten too early");
            }
        }
    }
}

impl Known {
    fn recall(&mut self, kept: &Kept) -> rusqlite::Result<()> {
        if let Some(types) = &mut self.types {
            kept.fields(|bucket, key, kinds| {
                types.add(bucket, &[NewField { key, kinds }]);
            })?;
        }
        if let Some(ledger) = &mut self.ledger {
            kept.series(|key, last_day| ledger.know(key, last_day))?;
            kept.values(|key, first_day| ledger.know_value(key, first_day))?;
            let (day, counts) = kept.last_day()?;
            ledger.resume(day, counts);
        }
        Ok(())
    }
}
