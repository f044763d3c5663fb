//! Which batch may be sent when, with several requests in flight and the order kept within every series.
//!
//! A lane is a queue of batches of which one request is in flight. All batches that wait here or are in flight and share a
//! series are in one lane, in the journal's order. Therefore:
//!
//! - a batch none of whose series is here goes to the lane with the least in it;
//! - one whose series that are here are in one lane goes to that lane's end;
//! - one whose series are in several lanes waits, and what comes behind it waits as well, until all but one of them are done with these;
//! - one whose series are not known waits until nothing is here, and nothing comes in before it has gone.
//!
//! Series are known by a hash of 32 bits. Two that share one make a batch wait in vain, and never let one overtake.

use std::{
    collections::{BTreeMap, HashMap, VecDeque, hash_map::Entry},
    hash::{BuildHasherDefault, Hasher},
};

use crate::journal::Batch;

/// As much waits here and is in flight, two requests of the largest size; the rest waits in the journal.
const PENDING_MAX_BYTES: usize = 16 << 20;
/// As many batches wait here and are in flight: small ones have overheads of their own.
const PENDING_MAX_BATCHES: usize = 8192;

/// A batch with its sequence. It is moved about a good deal.
pub(super) type Numbered = (u64, Box<Batch>);

/// The lanes of a destination.
pub(super) struct Lanes {
    all: Vec<Lane>,
    owners: HashMap<u32, Owner, BuildHasherDefault<AsItIs>>,
    /// When each batch came that is here.
    pending: BTreeMap<u64, i64>,
    pending_bytes: usize,
    /// A batch of unknown series is here.
    closed: bool,
}

#[derive(Default)]
struct Lane {
    queue: VecDeque<Numbered>,
    in_flight: bool,
    /// Of the queue and what is in flight.
    size_bytes: usize,
}

/// Who has a series, and in how many batches.
struct Owner {
    lane: u32,
    batches: u32,
}

/// Series are hashes already.
#[derive(Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _: &[u8]) {
        unreachable!("series are numbers of 32 bits")
    }

    fn write_u32(&mut self, series: u32) {
        // The table goes by the highest and by the lowest bits.
        self.0 = u64::from(series).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    }
}

/// Where a batch may go.
enum Way {
    Lane(usize),
    Wait,
}

impl Lanes {
    pub(super) fn new(count: usize) -> Self {
        Self {
            all: (0..count).map(|_| Lane::default()).collect(),
            owners: HashMap::default(),
            pending: BTreeMap::new(),
            pending_bytes: 0,
            closed: false,
        }
    }

    /// Says whether another batch may be read for it.
    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < PENDING_MAX_BATCHES && self.pending_bytes < PENDING_MAX_BYTES
    }

    /// The first sequence that is not delivered, and when its batch came; `None` where nothing waits.
    pub(super) fn oldest(&self) -> Option<(u64, i64)> {
        self.pending
            .first_key_value()
            .map(|(sequence, received_ns)| (*sequence, *received_ns))
    }

    /// Takes the batch in that comes next in the journal; hands it back if it has to wait.
    pub(super) fn offer(&mut self, (sequence, batch): Numbered) -> Result<(), Numbered> {
        let Way::Lane(lane) = self.way(&batch) else {
            return Err((sequence, batch));
        };
        for series in &batch.series {
            let owner = self.owners.entry(*series).or_insert(Owner {
                lane: lane as u32,
                batches: 0,
            });
            owner.batches += 1;
        }
        self.closed = batch.series.is_empty();
        self.pending.insert(sequence, batch.received_ns);
        self.pending_bytes += batch.body.len();
        self.all[lane].size_bytes += batch.body.len();
        self.all[lane].queue.push_back((sequence, batch));
        Ok(())
    }

    /// A lane that has something to send and nothing in flight.
    pub(super) fn due(&self) -> Option<usize> {
        self.all
            .iter()
            .position(|lane| !lane.in_flight && !lane.queue.is_empty())
    }

    /// What a lane is to send; nothing more leaves it until [`Self::landed`].
    pub(super) fn depart(&mut self, lane: usize) -> &mut VecDeque<Numbered> {
        self.all[lane].in_flight = true;
        &mut self.all[lane].queue
    }

    /// Notes that batches that departed from a lane are delivered.
    pub(super) fn landed(&mut self, lane: usize, batches: &[Numbered]) {
        self.all[lane].in_flight = false;
        for (sequence, batch) in batches {
            self.pending.remove(sequence);
            self.pending_bytes -= batch.body.len();
            self.all[lane].size_bytes -= batch.body.len();
            for series in &batch.series {
                if let Entry::Occupied(mut owner) = self.owners.entry(*series) {
                    owner.get_mut().batches -= 1;
                    if owner.get().batches == 0 {
                        owner.remove();
                    }
                }
            }
            self.closed &= !batch.series.is_empty();
        }
    }

    fn way(&self, batch: &Batch) -> Way {
        if self.closed || batch.series.is_empty() && !self.pending.is_empty() {
            return Way::Wait;
        }
        let mut theirs = None;
        for owner in batch
            .series
            .iter()
            .filter_map(|series| self.owners.get(series))
        {
            match theirs {
                None => theirs = Some(owner.lane),
                Some(lane) if lane != owner.lane => return Way::Wait,
                Some(_) => {}
            }
        }
        let emptiest = || {
            let sizes = self.all.iter().map(|lane| lane.size_bytes);
            sizes
                .enumerate()
                .min_by_key(|(_, size)| *size)
                .map_or(0, |(lane, _)| lane)
        };
        Way::Lane(theirs.map_or_else(emptiest, |lane| lane as usize))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::{collection::vec, prelude::*};

    use super::*;
    use crate::{body::Encoding, journal::Provenance, lines::Precision};

    fn batch(series: &[u32]) -> Box<Batch> {
        let mut series = series.to_vec();
        series.sort_unstable();
        series.dedup();
        Box::new(Batch {
            database: "d".into(),
            retention_policy: None,
            precision: Precision::Seconds,
            received_ns: 7,
            provenance: Provenance::default(),
            encoding: Encoding::Identity,
            body: Bytes::from_static(b"m f=1"),
            refused: Vec::new(),
            verbatim_lines: Some(1),
            series,
        })
    }

    /// Sends everything that is due; answers what each lane has in flight.
    fn depart(lanes: &mut Lanes) -> Vec<(usize, Vec<Numbered>)> {
        let mut flights = Vec::new();
        while let Some(lane) = lanes.due() {
            flights.push((lane, lanes.depart(lane).drain(..).collect()));
        }
        flights
    }

    fn sequences(flights: &[(usize, Vec<Numbered>)]) -> Vec<Vec<u64>> {
        let of = |(_, batches): &(usize, Vec<Numbered>)| {
            batches.iter().map(|(sequence, _)| *sequence).collect()
        };
        flights.iter().map(of).collect()
    }

    #[test]
    fn batches_without_a_series_in_common_are_in_flight_together() {
        let mut lanes = Lanes::new(3);
        for (sequence, series) in [(1, [1, 2]), (2, [3, 4]), (3, [2, 5]), (4, [6, 7])] {
            assert!(lanes.offer((sequence, batch(&series))).is_ok());
        }
        let flights = depart(&mut lanes);
        assert_eq!(sequences(&flights), [vec![1, 3], vec![2], vec![4]]);
        assert_eq!(lanes.oldest().map(|(sequence, _)| sequence), Some(1));
        lanes.landed(flights[1].0, &flights[1].1);
        assert!(
            lanes.offer((5, batch(&[3]))).is_ok(),
            "its series is free again"
        );
        assert_eq!(sequences(&depart(&mut lanes)), [vec![5]]);
    }

    #[test]
    fn a_batch_that_touches_two_lanes_waits_for_one_of_them() {
        let mut lanes = Lanes::new(2);
        assert!(lanes.offer((1, batch(&[1]))).is_ok() && lanes.offer((2, batch(&[2]))).is_ok());
        let flights = depart(&mut lanes);
        let Err(waiting) = lanes.offer((3, batch(&[1, 2]))) else {
            panic!("it overtakes");
        };
        lanes.landed(flights[0].0, &flights[0].1);
        assert!(lanes.offer(waiting).is_ok());
        assert!(depart(&mut lanes).is_empty(), "it stands behind the other");
        lanes.landed(flights[1].0, &flights[1].1);
        assert_eq!(sequences(&depart(&mut lanes)), [vec![3]]);
    }

    #[test]
    fn a_batch_of_unknown_series_goes_alone() {
        let mut lanes = Lanes::new(2);
        assert!(lanes.offer((1, batch(&[1]))).is_ok());
        let flights = depart(&mut lanes);
        let Err(waiting) = lanes.offer((2, batch(&[]))) else {
            panic!("it overtakes");
        };
        lanes.landed(flights[0].0, &flights[0].1);
        assert!(lanes.offer(waiting).is_ok());
        let flights = depart(&mut lanes);
        assert!(lanes.offer((3, batch(&[3]))).is_err());
        lanes.landed(flights[0].0, &flights[0].1);
        assert!(lanes.offer((3, batch(&[3]))).is_ok());
        assert_eq!(lanes.oldest().map(|(sequence, _)| sequence), Some(3));
    }

    proptest! {
        #[test]
        fn no_series_is_ever_overtaken(
            batches in vec(vec(0_u32..12, 0..4), 1..40), count in 1..5_usize, turns in vec(any::<prop::sample::Index>(), 1..40),
        ) {
            let mut lanes = Lanes::new(count);
            let mut waiting: VecDeque<Numbered> = (1..).zip(batches.iter().map(|series| batch(series))).collect();
            let (mut flights, mut turns) = (Vec::new(), turns.iter().cycle());
            let mut delivered: Vec<Numbered> = Vec::new();
            while delivered.len() < batches.len() {
                while let Some(next) = waiting.pop_front() {
                    if let Err(next) = lanes.offer(next) {
                        waiting.push_front(next);
                        break;
                    }
                }
                flights.extend(depart(&mut lanes));
                prop_assert!(!flights.is_empty(), "nothing moves");
                for (at, (_, one)) in flights.iter().enumerate() {
                    for (_, other) in &flights[at + 1..] {
                        let shares = |(_, batch): &Numbered| one.iter().any(|(_, other)| {
                            batch.series.iter().any(|series| other.series.contains(series))
                        });
                        prop_assert!(!other.iter().any(shares), "two requests in flight share a series");
                    }
                }
                let turn = turns.next().expect("a cycle").index(flights.len());
                let (lane, landed) = flights.swap_remove(turn);
                lanes.landed(lane, &landed);
                delivered.extend(landed);
            }
            prop_assert!(lanes.oldest().is_none() && lanes.owners.is_empty() && lanes.pending_bytes == 0);
            for (at, (sequence, batch)) in delivered.iter().enumerate() {
                let overtaken = delivered[at + 1..].iter().find(|(later, other)| {
                    later < sequence && (batch.series.is_empty() || other.series.is_empty()
                        || other.series.iter().any(|series| batch.series.contains(series)))
                });
                prop_assert!(overtaken.is_none(), "{} came before {:?}", sequence, overtaken);
            }
        }
    }
}
