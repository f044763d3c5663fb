//! Types of fields that are on their way into the store.
//!
//! A batch is judged before it is journalled, and its fields are learned after. In between, another batch, or another
//! line of the same one, may bring the same new field with another type: the first line that was judged claims the
//! type, and later ones are held to it. A claim ends when the store has learned the field; that of a batch that never
//! became durable stays until the store is opened anew.

use std::collections::HashMap;

use super::{
    DEFAULT_POLICY, Store, TypeConflict, catalogue::Database, catalogue::Measurement,
    catalogue::week_of, column::FieldType, value_type,
};
use crate::lines::Point;

/// A field in a week: database, retention policy, measurement, field; and the week.
type FieldWeek = ([Box<str>; 4], i64);

/// The types that were claimed and not yet learned.
#[derive(Default)]
pub(super) struct Claims(HashMap<FieldWeek, FieldType>);

impl Claims {
    fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn get(&self, place: [&str; 4], week: i64) -> Option<FieldType> {
        self.0.get(&(place.map(Box::from), week)).copied()
    }

    fn add(&mut self, place: [&str; 4], week: i64, field_type: FieldType) {
        self.0
            .entry((place.map(Box::from), week))
            .or_insert(field_type);
    }

    /// Ends the claims on what the store has learned.
    pub(super) fn settle(&mut self, state: &[Database]) {
        self.0.retain(|(place, week), _| {
            let [database, policy, name, field] = place;
            measurement(state, database, policy, name)
                .and_then(|known| known.type_in(field, *week))
                .is_none()
        });
    }
}

/// The name under which a database knows the policy that is meant.
fn policy_name<'a>(state: &'a [Database], database: &str, named: Option<&'a str>) -> &'a str {
    named.unwrap_or_else(|| {
        let found = state.iter().find(|found| found.name == database);
        found
            .and_then(|found| found.policy(None))
            .map_or(DEFAULT_POLICY, |policy| &policy.name)
    })
}

fn measurement<'a>(
    state: &'a [Database],
    database: &str,
    policy: &str,
    name: &str,
) -> Option<&'a Measurement> {
    let database = state.iter().find(|found| found.name == database)?;
    database.policy(Some(policy))?.measurements.get(name)
}

impl Store {
    /// Ends all claims. For a replay, which takes one batch after the other: what a batch has claimed and not taught was deleted
    /// after it, and later batches may bring the field with another type.
    pub fn end_claims(&self) {
        self.0.claims.lock().clear();
    }

    /// Holds a point's values to the types that the store has learned or others have claimed, and claims the types of
    /// fields that are new in the point's week.
    ///
    /// # Errors
    ///
    /// Names both types of the first field that conflicts; nothing is claimed then.
    pub(super) fn claim_in(
        &self,
        state: &[Database],
        database: &str,
        retention_policy: Option<&str>,
        time_ns: i64,
        point: &Point<'_>,
    ) -> Result<(), TypeConflict> {
        let policy = policy_name(state, database, retention_policy);
        let week = week_of(time_ns);
        let known = measurement(state, database, policy, &point.measurement);
        let mut claims = None;
        let mut fresh: Vec<(&str, FieldType)> = Vec::new();
        let mut next = 0;
        for (name, value) in &point.fields {
            let place = [database, policy, point.measurement.as_ref(), name.as_ref()];
            let written = value_type(value);
            let stored = known
                .and_then(|known| {
                    let column = known.column_in(next, name, week)?;
                    next = column + 1;
                    Some(known.columns[column as usize].field_type)
                })
                .or_else(|| {
                    let claims = claims.get_or_insert_with(|| self.0.claims.lock());
                    let here = fresh.iter().find(|(fresh, _)| fresh == name);
                    here.map(|(_, claimed)| *claimed)
                        .or_else(|| claims.get(place, week))
                });
            match stored {
                Some(stored) if stored != written => {
                    return Err(TypeConflict {
                        measurement: point.measurement.to_string(),
                        field: name.to_string(),
                        written,
                        stored,
                    });
                }
                Some(_) => {}
                None => fresh.push((name, written)),
            }
        }
        if let Some(claims) = &mut claims {
            for (name, field_type) in fresh {
                let place = [database, policy, &point.measurement, name];
                claims.add(place, week, field_type);
            }
        }
        Ok(())
    }
}
