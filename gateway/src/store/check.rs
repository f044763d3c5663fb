//! Reads everything once, to say whether it is sound.

use super::{Store, StoreError, chunk, disk::rows, rollup};

/// What a check found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckReport {
    /// Series.
    pub series: usize,
    /// Chunks, all of which were unpacked.
    pub chunks: usize,
    /// Values in them.
    pub values: u64,
    /// The file and its log.
    pub file_bytes: u64,
}

impl Store {
    /// Has SQLite check its pages, and unpacks every chunk.
    ///
    /// # Errors
    ///
    /// Names the first thing that is damaged.
    pub fn check(&self) -> Result<CheckReport, StoreError> {
        let _changing = self.0.changing.lock();
        self.0.disk.check_pages("integrity_check")?;
        let mut report = CheckReport {
            file_bytes: self.0.disk.size()?.file_bytes,
            ..CheckReport::default()
        };
        let mut metas = Vec::new();
        {
            let state = self.0.state.read();
            let policies = state.iter().flat_map(|database| &database.policies);
            for measurement in policies.flat_map(|policy| policy.measurements.values()) {
                report.series += measurement.order.len();
                for (_, series) in measurement.series.iter() {
                    for (column, chunks) in series.each_chunks() {
                        let field_type = measurement.columns[column as usize].field_type;
                        metas.extend(chunks.iter().map(|meta| (field_type, *meta)));
                    }
                }
            }
        }
        self.0.disk.read(|reader| {
            for (field_type, meta) in &metas {
                let broken =
                    |what: &str| StoreError::Catalogue(format!("chunk {} {what}", meta.id));
                let bytes = rows::chunk(reader, meta.id)?.ok_or_else(|| broken("is missing"))?;
                let column = chunk::decode(&bytes)?;
                let span = (column.times.first(), column.times.last());
                if !column.is_tidy() {
                    return Err(broken("is not in the order of time"));
                }
                if span != (Some(&meta.first), Some(&meta.last))
                    || column.len() != meta.points as usize
                    || column.values.field_type() != *field_type
                {
                    return Err(broken("is not what the catalogue says"));
                }
                if meta.resolutions != 0 {
                    let bytes = rows::rollup(reader, meta.id)?;
                    if !rollup::is_of(&bytes.unwrap_or_default(), &column)? {
                        return Err(broken("does not add up to what its rollup says"));
                    }
                }
                report.chunks += 1;
                report.values += column.len() as u64;
            }
            Ok(())
        })?;
        Ok(report)
    }
}
