//! Which value a target should not reach: what was set through the API goes before the settings file, and the file
//! before the rule's own default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{config::RawThreshold, target::Target};

/// Who set a threshold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// `PUT /api/v1/hosts/{host}/thresholds`.
    Api,
    /// A `[[threshold]]` table of the settings file.
    Settings,
    /// The rule that found the target.
    Rule,
    /// Nobody: there is no threshold.
    None,
}

/// The threshold of a target, and who set it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Effective {
    /// The value; `None` where no crossing is worth an alert.
    pub value: Option<f64>,
    /// Who set it.
    pub source: Source,
}

/// Finds the threshold of a target.
#[must_use]
pub fn effective(
    host: &str,
    target: &Target,
    set: &BTreeMap<String, Option<f64>>,
    file: &[RawThreshold],
) -> Effective {
    if let Some(&value) = set.get(&target.metric) {
        return Effective {
            value,
            source: Source::Api,
        };
    }
    let named = |threshold: &&RawThreshold| {
        threshold.target == target.metric || threshold.target == target.rule.name
    };
    let of_host = file
        .iter()
        .filter(named)
        .find(|threshold| threshold.host.as_deref() == Some(host));
    let of_all = || {
        file.iter()
            .filter(named)
            .find(|threshold| threshold.host.is_none())
    };
    if let Some(threshold) = of_host.or_else(of_all) {
        return Effective {
            value: Some(threshold.value),
            source: Source::Settings,
        };
    }
    match target.rule.threshold {
        Some(value) => Effective {
            value: Some(value),
            source: Source::Rule,
        },
        None => Effective {
            value: None,
            source: Source::None,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::default_rules;

    #[test]
    fn what_is_nearer_to_the_target_goes_first() {
        let rules = default_rules();
        let rule = rules
            .iter()
            .find(|rule| rule.target.measurement == "disk")
            .expect("a rule");
        let target = rule
            .target
            .target(&[("path".to_owned(), "/".to_owned())].into());
        let file = |host: Option<&str>, value| RawThreshold {
            host: host.map(ToOwned::to_owned),
            target: "disk.used_percent".to_owned(),
            value,
        };
        let file = [file(None, 80.0), file(Some("a"), 70.0)];
        let unset = BTreeMap::new();
        let set = BTreeMap::from([(target.metric.clone(), None)]);
        let found = |host, set, file| {
            let found = effective(host, &target, set, file);
            (found.value, found.source)
        };
        assert_eq!(found("a", &unset, &[]), (Some(90.0), Source::Rule));
        assert_eq!(found("b", &unset, &file), (Some(80.0), Source::Settings));
        assert_eq!(found("a", &unset, &file), (Some(70.0), Source::Settings));
        assert_eq!(found("a", &set, &file), (None, Source::Api));
    }
}
