//! Databases and their retention policies: made, changed, dropped.

use super::{
    DEFAULT_POLICY, Store, StoreError,
    catalogue::{Database, Policy},
    delete::Deletion,
    disk::rows,
    series::Series,
};

/// The longest name of a database or retention policy.
const NAME_MAX_BYTES: usize = 255;

/// What is to change about a retention policy.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PolicyChange {
    /// The new duration; 0: for ever.
    pub duration_ns: Option<i64>,
    /// Whether it becomes the default one.
    pub make_default: bool,
}

impl Store {
    /// Makes a database with its default retention policy; one that is there already stays as it is.
    ///
    /// # Errors
    ///
    /// When the name is none or the file cannot be written.
    pub fn create_database(&self, name: &str) -> Result<(), StoreError> {
        self.ensure(name, None)
    }

    /// Makes sure that a database and a policy of it are there.
    pub(super) fn ensure(&self, database: &str, policy: Option<&str>) -> Result<(), StoreError> {
        let is_there = || {
            let state = self.0.state.read();
            let found = state.iter().find(|found| found.name == database);
            found.is_some_and(|found| found.policy(policy).is_some())
        };
        if is_there() {
            return Ok(());
        }
        self.make_policy(database, policy.unwrap_or(DEFAULT_POLICY), 0, false)
    }

    /// Makes a retention policy, and its database where that is not there either. One that is there with the same
    /// settings stays.
    ///
    /// # Errors
    ///
    /// When a name is none, the policy is there with other settings, or the file cannot be written.
    pub fn create_policy(
        &self,
        database: &str,
        name: &str,
        duration_ns: i64,
        is_default: bool,
    ) -> Result<(), StoreError> {
        let known = self
            .policies(database)
            .and_then(|list| list.into_iter().find(|policy| policy.name == name));
        if let Some(known) = known {
            return if known.duration_ns == duration_ns && (known.is_default || !is_default) {
                Ok(())
            } else {
                Err(StoreError::PolicyExists(name.to_owned()))
            };
        }
        if !is_default {
            return self.make_policy(database, name, duration_ns, false);
        }
        self.changing_the_default(|| self.make_policy(database, name, duration_ns, true))
    }

    /// Runs a change after which batches without a policy's name go elsewhere. Everything that came before it is sealed,
    /// because a replay knows only the default of its own day.
    fn changing_the_default(
        &self,
        change: impl FnOnce() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.seal()?;
        change()?;
        self.seal().map(|_| ())
    }

    fn make_policy(
        &self,
        database: &str,
        name: &str,
        duration_ns: i64,
        is_default: bool,
    ) -> Result<(), StoreError> {
        if [database, name]
            .iter()
            .any(|name| name.is_empty() || name.len() > NAME_MAX_BYTES)
        {
            return Err(StoreError::NameInvalid);
        }
        let _changing = self.0.changing.lock();
        let (database_is_new, policy_is_new) = {
            let state = self.0.state.read();
            let found = state.iter().find(|found| found.name == database);
            (
                found.is_none(),
                found.is_none_or(|found| found.policy(Some(name)).is_none()),
            )
        };
        if !policy_is_new {
            return Ok(());
        }
        let mut made: Vec<(String, i64, bool)> = Vec::new();
        if database_is_new && name != DEFAULT_POLICY {
            made.push((DEFAULT_POLICY.to_owned(), 0, !is_default));
        }
        made.push((
            name.to_owned(),
            duration_ns,
            is_default || (database_is_new && made.is_empty()),
        ));
        let ids = self.0.disk.write(|transaction| {
            if database_is_new {
                rows::add_database(transaction, database)?;
            }
            made.iter()
                .map(|(name, duration, default)| {
                    rows::add_policy(transaction, database, name, *duration, *default)
                })
                .collect::<rusqlite::Result<Vec<_>>>()
                .map_err(Into::into)
        })?;
        let mut state = self.0.state.write();
        if database_is_new {
            state.push(Database {
                name: database.to_owned(),
                policies: Vec::new(),
            });
        }
        let Some(found) = state.iter_mut().find(|found| found.name == database) else {
            return Err(StoreError::DatabaseUnknown(database.to_owned()));
        };
        for ((name, duration_ns, is_default), id) in made.into_iter().zip(ids) {
            if is_default {
                self.note_removal();
                found
                    .policies
                    .iter_mut()
                    .for_each(|policy| policy.is_default = false);
            }
            found
                .policies
                .push(Policy::new(id, name, duration_ns, is_default));
        }
        Ok(())
    }

    /// Changes a retention policy. What a shorter duration leaves outside goes with the next [`Store::enforce`].
    ///
    /// # Errors
    ///
    /// When there is no such policy or the file cannot be written.
    pub fn alter_policy(
        &self,
        database: &str,
        name: &str,
        change: PolicyChange,
    ) -> Result<(), StoreError> {
        if change.make_default {
            self.changing_the_default(|| self.change_policy(database, name, change))
        } else {
            self.change_policy(database, name, change)
        }
    }

    fn change_policy(
        &self,
        database: &str,
        name: &str,
        change: PolicyChange,
    ) -> Result<(), StoreError> {
        let _changing = self.0.changing.lock();
        let policies = self
            .policies(database)
            .ok_or_else(|| StoreError::DatabaseUnknown(database.to_owned()))?;
        let known = policies.iter().find(|policy| policy.name == name);
        let known = known.ok_or_else(|| StoreError::PolicyUnknown(name.to_owned()))?;
        let duration_ns = change.duration_ns.unwrap_or(known.duration_ns);
        self.0.disk.write(|transaction| {
            Ok(rows::alter_policy(
                transaction,
                database,
                name,
                duration_ns,
                change.make_default,
            )?)
        })?;
        let mut state = self.0.state.write();
        if let Some(found) = state.iter_mut().find(|found| found.name == database) {
            for policy in &mut found.policies {
                if policy.name == name {
                    policy.duration_ns = duration_ns;
                    policy.cutoff_ns = i64::MIN;
                }
                if change.make_default {
                    self.note_removal();
                    policy.is_default = policy.name == name;
                }
            }
        }
        Ok(())
    }

    /// Drops a retention policy with all that it holds.
    ///
    /// # Errors
    ///
    /// When it is the default one, is not there, or the file cannot be written.
    pub fn drop_policy(&self, database: &str, name: &str) -> Result<(), StoreError> {
        let _changing = self.0.changing.lock();
        let (through, dropped) = {
            let mut state = self.0.state.write();
            let found = state.iter_mut().find(|found| found.name == database);
            let found = found.ok_or_else(|| StoreError::DatabaseUnknown(database.to_owned()))?;
            let index = found.policies.iter().position(|policy| policy.name == name);
            let index = index.ok_or_else(|| StoreError::PolicyUnknown(name.to_owned()))?;
            if found.policies[index].is_default {
                return Err(StoreError::PolicyIsDefault(name.to_owned()));
            }
            self.note_removal();
            (self.applied_through(), vec![found.policies.remove(index)])
        };
        let deletion = Deletion::of_all(through, database, Some(name));
        self.drop_policies(&deletion, &dropped, |_| Ok(()))
    }

    /// Drops a database with all that it holds; one that is not there stays away.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn drop_database(&self, name: &str) -> Result<(), StoreError> {
        let _changing = self.0.changing.lock();
        let (through, dropped) = {
            let mut state = self.0.state.write();
            let Some(index) = state.iter().position(|found| found.name == name) else {
                return Ok(());
            };
            self.note_removal();
            (self.applied_through(), state.remove(index).policies)
        };
        let deletion = Deletion::of_all(through, name, None);
        self.drop_policies(&deletion, &dropped, |transaction| {
            Ok(rows::drop_database(transaction, name)?)
        })
    }

    /// Takes policies that are out of memory from the disk.
    fn drop_policies(
        &self,
        deletion: &Deletion,
        dropped: &[Policy],
        also: impl FnOnce(&rusqlite::Transaction<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let series = || {
            let measurements = dropped
                .iter()
                .flat_map(|policy| policy.measurements.values());
            measurements.flat_map(|measurement| &measurement.series)
        };
        self.free(series().map(|series| series.head.memory_bytes()).sum());
        let chunks = series()
            .flat_map(Series::each_chunks)
            .flat_map(|(_, chunks)| chunks.iter().map(|chunk| chunk.id));
        self.0.disk.write(|transaction| {
            rows::add_deletion(transaction, deletion)?;
            for id in chunks {
                rows::drop_chunk(transaction, id)?;
            }
            for policy in dropped {
                rows::drop_policy(transaction, policy.id)?;
            }
            also(transaction)
        })
    }
}
