//! The report as text.

use std::fmt::{Display, Formatter, Result, Write};

use super::{
    registration_state::RegistrationState,
    registry_report::{RegistryEntry, RegistryReport},
    report::{ContainerInfo, ContainerReport, InstanceReport, KeyReport, PortReport, SettingReport},
    traffic::Traffic,
};
use crate::docker::short_id;

/// The width of the column of labels, in characters.
const VALUE_COLUMN: usize = 12;

impl Display for ContainerReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}", self.container)?;
        if let Some(trouble) = &self.trouble {
            row(f, "trouble", trouble)?;
        }
        if let Some(traffic) = &self.traffic {
            row(f, "traffic", traffic)?;
        }
        for port in &self.ports {
            write!(f, "\n{port}")?;
        }
        self.notes.iter().try_for_each(|note| row(f, "note", note))?;
        for left in &self.left {
            writeln!(f, "\nThe registry holds {}, which should not be there: {}.", left.id, left.then)?;
        }
        Ok(())
    }
}

impl Display for ContainerInfo {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let short = short_id(&self.id);
        writeln!(f, "{} ({short}), image {}", self.name, self.image)?;
        row(f, "state", &self.state)?;
        if let Some(health) = &self.health {
            row(f, "HEALTHCHECK", health)?;
        }
        if let Some(unseen) = &self.unseen {
            row(f, "not seen", unseen)?;
        }
        Ok(())
    }
}

impl Display for PortReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.skipped {
            Some(skip) => writeln!(f, "{}: not registered: {skip}", self.port)?,
            None => writeln!(f, "{}", self.port)?,
        }
        row(f, "traffic", &self.traffic)?;
        if let Some(instance) = &self.instance {
            write!(f, "{instance}")?;
        }
        self.notes.iter().try_for_each(|note| row(f, "note", note))?;
        self.keys.iter().try_for_each(|key| write!(f, "{key}"))?;
        match &self.instance {
            Some(instance) => body(f, &instance.body),
            None => Ok(()),
        }
    }
}

impl Display for InstanceReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        row(f, "registry", &self.registry)?;
        row(f, "id", &format_args!("{} ({})", self.id, self.id_from))?;
        row(f, "name", &format_args!("{} ({})", self.name, self.name_from))?;
        row(f, "address", &format_args!("{}:{} ({})", self.address, self.port, self.address_from))?;
        self.limits.iter().try_for_each(|limit| row(f, "limit", limit))
    }
}

impl Display for RegistrationState {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::InLine => f.write_str("up to date"),
            Self::OutOfTraffic { reason } => write!(f, "up to date, out of traffic: {reason}"),
            Self::Differs { differences } => write!(f, "differs in {}", differences.join("; ")),
            Self::Missing { waits_for: Some(probe) } => write!(f, "missing: register may be waiting for {probe}"),
            Self::Missing { waits_for: None } => {
                f.write_str("missing: register has not written it yet, or was refused (see its log)")
            }
            Self::Foreign { adopted: true, .. } => {
                f.write_str("the id has a foreign entry: --adopt takes it over")
            }
            Self::Foreign { unmarked: true, .. } => f.write_str(
                "the id has an entry without an owner, which is left alone: --adopt registrator takes it over",
            ),
            Self::Foreign { .. } => f.write_str(
                "the id has another Portreeve's entry, which is left alone: choose another SERVICE_ID, or --adopt portreeve takes \
                 it over",
            ),
            Self::Unknown { reason } => write!(f, "unknown: {reason}"),
            Self::Refused { claims } => {
                write!(f, "not registered: {} claim one id; give each its own SERVICE_ID", claims.join(" and "))
            }
        }
    }
}

impl Display for KeyReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        row(f, "key", &format_args!("{} = {}", self.key, self.won))?;
        self.lost.iter().try_for_each(|lost| row(f, "", &format_args!("lost: {lost}")))
    }
}

impl Display for SettingReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{:?} from the {} {}", self.value, self.source, self.from)
    }
}

impl Display for Traffic {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let reason = self.reason.iter().map(|reason| format!(": {reason}"));
        let since = self.since.iter().map(|since| format!(" since {since}"));
        let word = match self.ok {
            Some(true) => "yes",
            Some(false) => "no",
            None => "unknown",
        };
        f.write_str(word)?;
        reason.chain(since).try_for_each(|part| f.write_str(&part))
    }
}

impl Display for RegistryReport {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        writeln!(f, "{}", self.container)?;
        row(f, "trouble", &self.trouble)?;
        if self.entries.is_empty() {
            let none =
                self.registry_trouble.as_ref().map_or("the registry has no entry of the container", String::as_str);
            row(f, "registry", &none)?;
        }
        for RegistryEntry { id, name, address, port, container, traffic, then } in &self.entries {
            writeln!(f, "\n{id}")?;
            row(f, "traffic", traffic)?;
            row(f, "name", name)?;
            row(f, "address", &format_args!("{address}:{port}"))?;
            container.iter().try_for_each(|container| row(f, "container", container))?;
            then.iter().try_for_each(|then| row(f, "note", then))?;
        }
        Ok(())
    }
}

fn row(f: &mut Formatter<'_>, what: &str, value: &dyn Display) -> Result {
    writeln!(f, "  {what:VALUE_COLUMN$} {value}")
}

fn body(f: &mut Formatter<'_>, body: &serde_json::Value) -> Result {
    f.write_str("  body\n")?;
    for line in format!("{body:#}").lines() {
        f.write_str("    ")?;
        f.write_str(line)?;
        f.write_char('\n')?;
    }
    Ok(())
}
