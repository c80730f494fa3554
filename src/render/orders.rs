//! The way back by hand: orders to the targets of a running Portreeve, or to targets that nobody runs.

use std::{collections::BTreeMap, sync::Arc};

use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use super::Setup;
use crate::{
    condition::chain,
    control::Handler,
    target::{Applied, Generation, History, Report, Reports},
};

/// What can be ordered. A target need not be named if there is only one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// Tell what there is to go back to.
    List {
        /// Of which target; nothing: of all.
        target: Option<String>,
    },
    /// Bring an earlier generation of files into effect, and hold on to it.
    Rollback {
        /// Of which target.
        target: Option<String>,
        /// Its number; nothing: the one before the one that is in effect.
        to: Option<u64>,
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
    /// The generation that it holds on to.
    pub held: Option<u64>,
    /// What is kept, oldest first.
    pub generations: Vec<Generation>,
}

/// Passes orders on to targets that run.
#[derive(Debug)]
pub(super) struct Orders {
    histories: BTreeMap<String, History>,
    reports: Reports,
}

impl Orders {
    pub(super) fn new(setup: &Setup) -> Self {
        let histories = setup.targets.iter().map(|target| (target.name().to_owned(), target.history()));
        Self { histories: histories.collect(), reports: setup.reports().clone() }
    }

    fn find(&self, target: Option<&String>) -> Result<(&String, &History), String> {
        let known = || self.histories.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        match target {
            Some(name) => self
                .histories
                .get_key_value(name)
                .ok_or_else(|| format!("there is no target {name:?}; there are {}", known())),
            None => self
                .histories
                .first_key_value()
                .filter(|_| self.histories.len() == 1)
                .ok_or_else(|| format!("name the target: one of {}", known())),
        }
    }

    /// Waits for the first pass that knows what is held.
    async fn outcome(&self, target: &str, held: Option<u64>) -> Report {
        let mut bell = self.reports.bell();
        loop {
            bell.mark_unchanged();
            let report = self.reports.snapshot().entries.get(target).cloned().unwrap_or_default();
            let is_over = report.in_line.is_some() || report.trouble.is_some();
            if report.held == held && is_over || bell.changed().await.is_err() {
                return report;
            }
        }
    }
}

impl Handler for Orders {
    type Order = Order;
    type Answer = Vec<Account>;

    async fn handle(&self, order: Order) -> Result<Vec<Account>, String> {
        match order {
            Order::List { target: None } => {
                self.histories.iter().map(|(name, history)| account(name, history)).collect()
            }
            Order::List { target } => {
                let (name, history) = self.find(target.as_ref())?;
                Ok(vec![account(name, history)?])
            }
            Order::Rollback { target, to } => {
                let (name, history) = self.find(target.as_ref())?;
                let before = history.held();
                let number = history.hold(to).map_err(|error| format!("target {name}: {}", chain(&error)))?;
                match self.outcome(name, Some(number)).await.trouble {
                    None => Ok(vec![account(name, history)?]),
                    Some(trouble) => Err(taken_back(name, history, before, number, &trouble)),
                }
            }
            Order::Release { target } => {
                let (name, history) = self.find(target.as_ref())?;
                history.release().map_err(|error| format!("target {name}: {}", chain(&error)))?;
                Ok(vec![account(name, history)?])
            }
        }
    }
}

/// Carries an order out on targets that nobody runs. What is held stays so when somebody does. After `stop` is cancelled,
/// files are not left half replaced.
///
/// # Errors
/// What could not be done, for a person.
pub async fn order(setup: Setup, order: Order, stop: &CancellationToken) -> Result<Vec<Account>, String> {
    let Order::Rollback { target, to } = order else {
        return Arc::new(Orders::new(&setup)).handle(order).await;
    };
    let orders = Orders::new(&setup);
    let (name, history) = orders.find(target.as_ref())?;
    let mut targets = setup.targets.into_iter();
    let mut target =
        targets.find(|target| target.name() == name).expect("each history is a target's").until(stop.clone());
    let before = history.held();
    let number = history.hold(to).map_err(|error| format!("target {name}: {}", chain(&error)))?;
    match target.apply().await {
        Ok(Applied::Waiting) => {
            let waits = "a template of its has not rendered, and this generation has no file for it";
            Err(taken_back(name, history, before, number, waits))
        }
        Ok(_) => Ok(vec![account(name, history)?]),
        Err(error) => Err(taken_back(name, history, before, number, &chain(&error))),
    }
}

fn account(target: &str, history: &History) -> Result<Account, String> {
    let generations = history.generations().map_err(|error| format!("target {target}: {}", chain(&error)))?;
    Ok(Account { target: target.to_owned(), held: history.held(), generations })
}

/// Nothing is held that cannot be in effect.
fn taken_back(target: &str, history: &History, before: Option<u64>, number: u64, trouble: &str) -> String {
    let undone = history.set(before).map_err(|error| chain(&error));
    let undone = undone.err().map(|error| format!("; and this cannot be undone: {error}")).unwrap_or_default();
    format!("target {target}: generation {number} did not come into effect: {trouble}{undone}")
}
