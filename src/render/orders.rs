//! The way back by hand: orders to the targets of a running Portreeve, or to targets that nobody runs.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::{
    Books, Setup,
    book::{Chapter, HeldSet, HeldSets, fits},
    once::{OnceError, once},
    template_set::TemplateSet,
};
use crate::{
    control::Handler,
    core::condition::chain,
    registry::Source,
    target::{Applied, Digest, Generation, Held, History, InEffect, Report, Reports},
};

/// What can be ordered. A target need not be named if there is only one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// Tell what there is to go back to.
    List {
        /// Of which target; `None`: of all.
        target: Option<String>,
    },
    /// Bring an earlier version of the templates and the configuration into effect, and hold on to it.
    Rollback {
        /// Of which target.
        target: Option<String>,
        /// Its number; `None`: the one before the one that is in effect.
        to: Option<u64>,
        /// An earlier generation of files instead, byte for byte.
        data: bool,
    },
    /// Tell what a rollback would change.
    Diff {
        /// Of which target.
        target: Option<String>,
        /// As for a rollback.
        to: Option<u64>,
        /// As for a rollback.
        data: bool,
    },
    /// Let the templates go on.
    Release {
        /// Of which target.
        target: Option<String>,
    },
}

/// A target and what there is to go back to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// The target's name.
    pub target: String,
    /// The state directory in which all this lies.
    pub state_dir: PathBuf,
    /// What it is held on to.
    pub held: Option<Held>,
    /// What is in effect.
    pub in_effect: InEffect,
    /// The versions of the templates that are kept, oldest first.
    pub versions: Vec<TemplateVersion>,
    /// The generations of files that are kept, oldest first.
    pub generations: Vec<Generation>,
    /// What would be different, if that was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub diff: Option<String>,
}

/// A version of a target's templates and configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateVersion {
    /// Counts from 1, over the whole life of the target.
    pub number: u64,
    /// When it came into effect first, RFC 3339.
    pub since: String,
    /// What was changed.
    pub cause: String,
}

/// Passes orders on to targets that run.
#[derive(Debug)]
pub(super) struct Orders {
    targets: BTreeMap<String, Known>,
    books: Books,
    held: HeldSets,
    state_dir: PathBuf,
    reports: Reports,
}

#[derive(Debug)]
struct Known {
    name: String,
    /// Its place among the targets.
    at: usize,
    history: History,
}

impl Orders {
    pub(super) fn new(setup: &Setup) -> Self {
        let known = setup.targets.iter().enumerate().map(|(at, target)| {
            let name = target.name().to_owned();
            (name.clone(), Known { name, at, history: target.history() })
        });
        Self {
            targets: known.collect(),
            books: setup.books(),
            held: setup.held.clone(),
            state_dir: setup.state().path().to_owned(),
            reports: setup.reports().clone(),
        }
    }

    fn find(&self, target: Option<&String>) -> Result<&Known, String> {
        let known = || self.targets.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        match target {
            Some(name) => {
                self.targets.get(name).ok_or_else(|| format!("there is no target {name:?}; there are {}", known()))
            }
            None => self
                .targets
                .values()
                .next()
                .filter(|_| self.targets.len() == 1)
                .ok_or_else(|| format!("name the target: one of {}", known())),
        }
    }

    /// Holds the target on to a version of its templates, or to a generation of its files.
    fn hold(&self, known: &Known, to: Option<u64>, data: bool) -> Result<Held, String> {
        let Known { name, at, history } = known;
        if data {
            let number = history.hold(to).map_err(|error| format!("target {name}: {}", chain(&error)))?;
            return Ok(Held::Data(number));
        }
        let set = self.set(known, to)?;
        let held = Held::Templates { templates: set.number };
        history.set(Some(held)).map_err(|error| format!("target {name}: {}", chain(&error)))?;
        self.held.put(*at, Arc::new(set));
        Ok(held)
    }

    fn set(&self, Known { name, at, history }: &Known, to: Option<u64>) -> Result<HeldSet, String> {
        held_set(name, history, to, &self.newest(*at))
    }

    /// The templates as their files have them.
    fn newest(&self, at: usize) -> Chapter {
        let book = self.books.snapshot().entries.get(&()).cloned().unwrap_or_default();
        book.chapters.get(at).cloned().unwrap_or_default()
    }

    /// Lets the templates go on, and waits until their files are in effect.
    async fn release(&self, known: &Known) -> Result<(), String> {
        self.put_back(known, None)?;
        // Asked each time: a template may be saved meanwhile.
        let version = || Some(self.newest(known.at).first().and_then(|page| page.body.version())?.digest());
        let report = self.outcome(&known.name, None, |made_by| made_by.is_none() || made_by == version()).await;
        report.trouble.map_or(Ok(()), |trouble| {
            Err(format!(
                "target {}: is no longer pinned, but the files of its templates are not in effect: {trouble}",
                known.name
            ))
        })
    }

    /// Forgets what was ordered since.
    fn put_back(&self, known: &Known, before: Option<Held>) -> Result<(), String> {
        let Known { name, at, history } = known;
        let set = match before {
            Some(Held::Templates { templates }) => Some(Arc::new(self.set(known, Some(templates))?)),
            _ => None,
        };
        history.set(before).map_err(|error| format!("target {name}: {}", chain(&error)))?;
        self.held.set(*at, set);
        Ok(())
    }

    /// Nothing is held that cannot be in effect.
    fn taken_back(&self, known: &Known, before: Option<Held>, held: Held, trouble: &str) -> String {
        let undone = self.put_back(known, before);
        let undone = undone.err().map(|error| format!("; and this cannot be undone: {error}")).unwrap_or_default();
        format!("target {}: {held} did not come into effect: {trouble}{undone}", known.name)
    }

    /// Waits for the first pass that knows what is held, if anything is, and has files of such a version.
    async fn outcome(&self, target: &str, held: Option<Held>, is_due: impl Fn(Option<Digest>) -> bool) -> Report {
        let mut bell = self.reports.bell();
        loop {
            bell.mark_unchanged();
            let report = self.reports.snapshot().entries.get(target).cloned().unwrap_or_default();
            let is_refused = report.trouble.is_some() && report.is_final;
            let is_over = report.in_line.is_some() && is_due(report.version) || is_refused;
            if report.held == held && is_over || bell.changed().await.is_err() {
                return report;
            }
        }
    }

    fn account(&self, Known { name, history, .. }: &Known) -> Result<Account, String> {
        let failed = |error| format!("target {name}: {}", chain(&error));
        let list = history.versions().map_err(failed)?;
        let in_effect = history.in_effect().map_err(failed)?;
        let (mut versions, mut before) = (Vec::new(), None);
        for version in list {
            let set = TemplateSet::read(&version.bytes);
            let cause = set.as_ref().map_or_else(|| "unknown".to_owned(), |set| set.cause(before.as_ref()));
            before = set;
            versions.push(TemplateVersion { number: version.number, since: version.since, cause });
        }
        let generations = history.generations().map_err(failed)?;
        let (target, state_dir) = (name.clone(), self.state_dir.clone());
        Ok(Account { target, state_dir, held: history.held(), in_effect, versions, generations, diff: None })
    }

    fn diff(&self, known: &Known, to: Option<u64>, data: bool) -> Result<String, String> {
        let Known { name, at, history } = known;
        if data {
            let diff = history.diff(to).map_err(|error| format!("target {name}: {}", chain(&error)))?;
            return Ok(diff.1);
        }
        let version = history.version(to).map_err(|error| format!("target {name}: {}", chain(&error)))?;
        let then = TemplateSet::read(&version.bytes).ok_or_else(|| unreadable(name, version.number))?;
        let held = self.held.snapshot().entries.get(at).cloned();
        let now = held.map_or_else(|| self.newest(*at), |held| held.chapter.clone());
        Ok(TemplateSet::of(&now).diff(&then))
    }
}

impl Handler for Orders {
    type Order = Order;
    type Answer = Vec<Account>;

    async fn handle(&self, order: Order) -> Result<Vec<Account>, String> {
        let known = match order {
            Order::List { target: None } => {
                return self.targets.values().map(|known| self.account(known)).collect();
            }
            Order::List { target } => self.find(target.as_ref())?,
            Order::Diff { target, to, data } => {
                let known = self.find(target.as_ref())?;
                let diff = Some(self.diff(known, to, data)?);
                return Ok(vec![Account { diff, ..self.account(known)? }]);
            }
            Order::Rollback { target, to, data } => {
                let known = self.find(target.as_ref())?;
                let before = known.history.held();
                let held = self.hold(known, to, data)?;
                if let Some(trouble) = self.outcome(&known.name, Some(held), |_| true).await.trouble {
                    return Err(self.taken_back(known, before, held, &trouble));
                }
                known
            }
            Order::Release { target } => {
                let known = self.find(target.as_ref())?;
                self.release(known).await?;
                known
            }
        };
        Ok(vec![self.account(known)?])
    }
}

/// Carries an order out on targets that nobody runs. What is held stays so when somebody does. After `stop` is cancelled,
/// files are not left half replaced.
///
/// # Errors
/// What could not be done, for a person.
pub async fn order<S: Source>(
    mut setup: Setup,
    order: Order,
    source: Arc<S>,
    deadline: Duration,
    stop: &CancellationToken,
) -> Result<Vec<Account>, String> {
    let orders = Orders::new(&setup);
    let (target, to, data) = match order {
        Order::Rollback { target, to, data } => (target, to, data),
        Order::Release { target } => {
            let known = orders.find(target.as_ref())?;
            orders.put_back(known, None)?;
            return Ok(vec![orders.account(known)?]);
        }
        Order::List { .. } | Order::Diff { .. } => return orders.handle(order).await,
    };
    let known = orders.find(target.as_ref())?;
    let before = known.history.held();
    let held = orders.hold(known, to, data)?;
    setup.targets = vec![setup.targets.swap_remove(known.at)];
    setup.sets = vec![setup.sets.swap_remove(known.at)];
    let trouble = if data {
        let target = setup.targets.remove(0);
        match target.until(stop.clone()).apply().await {
            Ok(Applied::Waiting) => {
                Some("a template of its has not rendered, and this generation has no file for it".to_owned())
            }
            Ok(_) => None,
            Err(error) => Some(chain(&error)),
        }
    } else {
        if let Some(set) = orders.held.snapshot().entries.get(&known.at) {
            setup.sets[0].turn(&set.chapter);
        }
        // The one set is as it is to be, and nobody else's counts.
        setup.held = HeldSets::beside(&setup.books);
        match once(setup, source, deadline, stop).await {
            // What is held does not keep the rest from being in effect.
            Ok(()) | Err(OnceError::Held(_)) => None,
            Err(error) => Some(chain(&error)),
        }
    };
    match trouble {
        None => Ok(vec![orders.account(known)?]),
        Some(trouble) => Err(orders.taken_back(known, before, held, &trouble)),
    }
}

/// A version of a target's templates, if it can take the place of those that it has `now`.
pub(super) fn held_set(target: &str, history: &History, to: Option<u64>, now: &Chapter) -> Result<HeldSet, String> {
    let version = history.version(to).map_err(|error| format!("target {target}: {}", chain(&error)))?;
    let (number, set) = (version.number, TemplateSet::read(&version.bytes));
    let chapter = set.ok_or_else(|| unreadable(target, number))?.compile();
    let chapter = chapter.map_err(|error| format!("target {target}: version {number}: {}", chain(&error)))?;
    if !fits(now, &chapter) {
        return Err(format!(
            "target {target}: version {number} has other destinations than the configuration; change the \
             destinations back, and try again"
        ));
    }
    Ok(HeldSet { target: target.to_owned(), number, chapter })
}

fn unreadable(target: &str, number: u64) -> String {
    format!("target {target}: version {number} was written down by another version of portreeve, and cannot be read")
}
