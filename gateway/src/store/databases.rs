//! Databases and their retention policies: made, changed, dropped.

use std::sync::atomic::Ordering;

use super::{
    DEFAULT_POLICY, Store, StoreError,
    catalogue::{Database, Policy},
    delete::Deletion,
    disk::rows::{self, PolicyRow},
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
        self.make_policy(name, DEFAULT_POLICY, 0, false)
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
        {
            let mut state = self.0.state.write();
            self.make_in(&mut state, database, name, duration_ns, is_default)?;
        }
        self.write_new_policies()
    }

    /// Makes a retention policy, and its database where that is not there either, in memory alone: the next seal writes it
    /// before anything else, and until then the journal has the batch that it was made for. One that is there stays.
    pub(super) fn make_in(
        &self,
        state: &mut Vec<Database>,
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
        let known = state.iter().position(|found| found.name == database);
        let at = known.unwrap_or_else(|| {
            state.push(Database {
                name: database.to_owned(),
                policies: Vec::new(),
            });
            state.len() - 1
        });
        let policies = &mut state[at].policies;
        if policies.iter().any(|policy| policy.name == name) {
            return Ok(());
        }
        let mut add = |name: &str, duration_ns, is_default| {
            let id = self.0.last_policy.fetch_add(1, Ordering::Relaxed) + 1;
            let mut policy = Policy::new(id, name.to_owned(), duration_ns, is_default);
            policy.is_new = true;
            policies.push(policy);
        };
        let is_first = known.is_none();
        if is_first && name != DEFAULT_POLICY {
            add(DEFAULT_POLICY, 0, !is_default);
        }
        add(
            name,
            duration_ns,
            is_default || (is_first && name == DEFAULT_POLICY),
        );
        if is_default {
            self.note_removal();
            let count = policies.len();
            for policy in &mut policies[..count - 1] {
                policy.is_default = false;
            }
        }
        Ok(())
    }

    /// Writes the policies that are in memory alone. The writer's connection is taken before the state is looked at: what
    /// is dropped goes from both with it taken, so that nothing is written that was dropped.
    pub(super) fn write_new_policies(&self) -> Result<(), StoreError> {
        if self.new_policies().is_empty() {
            return Ok(());
        }
        let written = self.0.disk.write(|transaction| {
            let new = self.new_policies();
            for policy in &new {
                if let Some(id) = rows::replaced_policy(transaction, policy)? {
                    rows::drop_policy(transaction, id)?;
                    self.0.is_unfinished.store(true, Ordering::Relaxed);
                }
                rows::add_policy(transaction, policy)?;
            }
            Ok(new)
        })?;
        let is_written = |id| written.iter().any(|policy| policy.id == id);
        let mut state = self.0.state.write();
        for policy in state.iter_mut().flat_map(|found| &mut found.policies) {
            policy.is_new &= !is_written(policy.id);
        }
        Ok(())
    }

    fn new_policies(&self) -> Vec<PolicyRow> {
        let state = self.0.state.read();
        let all = state.iter().flat_map(|database| {
            let policies = database.policies.iter();
            policies.map(move |policy| (database, policy))
        });
        all.filter(|(_, policy)| policy.is_new)
            .map(|(database, policy)| PolicyRow {
                id: policy.id,
                database: database.name.clone(),
                name: policy.name.clone(),
                duration_ns: policy.duration_ns,
                is_default: policy.is_default,
            })
            .collect()
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
        let _changing = self.change()?;
        self.write_new_policies()?;
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
        let _changing = self.change()?;
        self.drop_policies(Deletion::of_all(0, database, Some(name)), |state| {
            let found = state.iter_mut().find(|found| found.name == database);
            let found = found.ok_or_else(|| StoreError::DatabaseUnknown(database.to_owned()))?;
            let index = found.policies.iter().position(|policy| policy.name == name);
            let index = index.ok_or_else(|| StoreError::PolicyUnknown(name.to_owned()))?;
            if found.policies[index].is_default {
                return Err(StoreError::PolicyIsDefault(name.to_owned()));
            }
            Ok(vec![found.policies.remove(index)])
        })
    }

    /// Drops a database with all that it holds; one that is not there stays away.
    ///
    /// # Errors
    ///
    /// When the file cannot be written.
    pub fn drop_database(&self, name: &str) -> Result<(), StoreError> {
        let _changing = self.change()?;
        self.drop_policies(Deletion::of_all(0, name, None), |state| {
            let index = state.iter().position(|found| found.name == name);
            Ok(index.map_or_else(Vec::new, |index| state.remove(index).policies))
        })
    }

    /// Takes policies from memory, notes in the file that they are gone, and then takes from it what they held.
    fn drop_policies(
        &self,
        deletion: Deletion,
        take: impl FnOnce(&mut Vec<Database>) -> Result<Vec<Policy>, StoreError>,
    ) -> Result<(), StoreError> {
        self.0.disk.write(|transaction| {
            let (through, dropped) = {
                let mut state = self.0.state.write();
                let dropped = take(&mut state)?;
                self.note_removal();
                (self.applied_through(), dropped)
            };
            if dropped.is_empty() {
                return Ok(());
            }
            let measurements = dropped
                .iter()
                .flat_map(|policy| policy.measurements.values());
            let series = measurements.flat_map(|measurement| measurement.series.iter());
            self.free(series.map(|(_, series)| series.head.memory_bytes()).sum());
            let deletion = Deletion {
                through,
                ..deletion
            };
            rows::add_deletion(transaction, &deletion)?;
            for policy in &dropped {
                rows::drop_policy(transaction, policy.id)?;
            }
            if deletion.policy.is_none() {
                rows::drop_database(transaction, &deletion.database)?;
            }
            Ok(())
        })?;
        self.finish()
    }
}
