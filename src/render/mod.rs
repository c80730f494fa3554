//! `portreeve render`: keeps files, and who reads them, in line with what a registry knows.
//!
//! ```text
//!   wanted queries  <----------------------+
//!        |                                 |
//!    watches --> Store<Query, Answer> --bell--> pass --> Store<destination, text> --bell--> target, applies by
//!        |                                          templates    one for each target                itself, at its pace
//!     Source
//! ```
//!
//! What is compiled is a [`Book`]; another one may take its place while the watches go on.
//!
//! All but the tasks is pure: a render is a function of a template and answers.

mod allowed;
mod book;
mod calls;
mod check;
mod compile;
mod depth;
mod draft;
mod dry_run;
mod editions;
mod engine;
mod error;
mod escape;
mod fan;
mod foreign;
mod helpers;
mod inclusions;
mod leaf;
mod local;
mod narrowing;
mod offline;
mod once;
mod open;
mod orders;
mod partials;
mod pass;
mod record;
mod recorder;
mod setup;
mod sheet;
mod source;
mod syntax;
pub mod template_argument;
mod template_set;
#[cfg(test)]
mod tests;
mod unanswered;
mod unit;
mod watches;
mod whitespace;
mod worker;

use std::{sync::Arc, time::Duration};

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::book::HeldSets;
use self::orders::Orders;
use self::pass::{Renderer, Set};
use self::worker::Worker;
pub use self::{
    book::{Book, Books},
    check::{Checked, TargetOutline, TemplateOutline, check},
    dry_run::{DryRunError, dry_run},
    engine::{Outcome, Pass, Template},
    error::{Place, TemplateError},
    offline::{Offline, offline},
    once::{OnceError, Reasons, once},
    open::{Open, Why},
    orders::{Account, Order, TemplateVersion, order},
    partials::{Partials, PartialsError},
    record::{Recorded, record},
    recorder::{Answers, Inputs, Missing},
    setup::{Section, Settings, Setup, SetupError},
};
pub use crate::target::Escape;
use crate::{
    control::{self, Server},
    core::{
        condition::chain,
        reconcile::{self, Pace},
        store::Store,
        supervise::{Panicked, Tasks},
    },
    registry::Source,
    sys::environment,
};

/// Time between two looks at a target that nobody rang for: files may have been changed by another hand.
const RESYNC: Duration = Duration::from_secs(30);

/// Runs until `stop` is cancelled. Trouble is waited out: with the registry, with a template's data, with a target.
///
/// # Errors
/// A task panicked.
pub async fn run<S: Source>(setup: Setup, source: Arc<S>, stop: CancellationToken) -> Result<(), Panicked> {
    setup.tell();
    let source = setup.source(source);
    let mut tasks = Tasks::new(stop.clone());
    match Server::bind(&control::socket(setup.state().path())) {
        Ok(server) => tasks.spawn(server.run(Arc::new(Orders::new(&setup)), stop.clone())),
        // All else works without it.
        Err(error) => tracing::warn!("{}; `portreeve render rollback` cannot connect to this process", chain(&error)),
    }
    if let Some(settings) = setup.watched {
        tasks.spawn(editions::run(settings, setup.books.clone(), stop.clone()));
    }
    for (set, target) in setup.sets.iter().zip(setup.targets) {
        let (bell, stop) = (set.desired.bell(), stop.clone());
        let mut worker = Worker::new(target.until(stop.clone()), set);
        tasks.spawn(async move { reconcile::run(&mut worker, bell, Pace::every(RESYNC), stop).await });
    }
    start(&mut tasks, setup.books, setup.held, setup.sets, source, &stop);
    tasks.join().await
}

/// Starts what fills the desired files, and tells what is not rendered yet.
fn start<S: Source>(
    tasks: &mut Tasks,
    books: Books,
    held: HeldSets,
    sets: Vec<Set>,
    source: Arc<S>,
    stop: &CancellationToken,
) -> watch::Receiver<Vec<Open>> {
    let answers = Store::beside(&books);
    let mut renderer = Renderer::new(answers.clone(), environment::variables().collect(), books, held, sets);
    let (bell, unrendered) = (answers.bell(), renderer.open.subscribe());
    tasks.spawn(watches::run(source, answers, renderer.wanted.subscribe(), stop.clone()));
    let stop = stop.clone();
    tasks.spawn(async move { reconcile::run(&mut renderer, bell, Pace::every(RESYNC), stop).await });
    unrendered
}
