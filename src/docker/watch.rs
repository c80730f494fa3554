//! Keeps a store of containers in line with an engine.
//!
//! ```text
//!             connected            list received           resync is due
//! Connecting ───────────► Listing ───────────────► Following ─────────► Listing
//!     ▲                      │ failure                 │ the stream ended
//!     └────── Waiting ◄──────┴─────────────────────────┘
//! ```
//!
//! Lists and events only tell which containers have to be inspected. The inspections belong to none of these states: they
//! go on when a stream ends, and one that hangs delays neither the others nor the next list. At each resync a new stream
//! takes the place of the old one, which may have fallen silent.

use std::{collections::BTreeMap, time::Duration};

use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt, join},
};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    Client, Error, Sight,
    client::Connection,
    events::{self, Event, Events},
    inspections::{self, Inspections},
    networks::Networks,
    queue::Mark,
    retry::Retry,
};
use crate::core::{condition::Condition, store::Store};

/// Replay from a little before: the engine keeps its last 256 events, and marking a container twice does no harm.
const OVERLAP: Duration = Duration::from_secs(1);

/// From how long ago the first session wants to know who was told to stop, and who started how often: a register that is
/// started again while a container drains must not bring it back into traffic.
const RECALL: Duration = Duration::from_secs(600);

/// How long the engine may take to tell its past. One that does not know `until` would never end.
const RECALL_WITHIN: Duration = Duration::from_secs(5);

/// Fills `containers` until `stop` is cancelled. Trouble with the engine is waited out; the store keeps the last state.
///
/// From a list on, every container that it shows is in the store: as [`Sight::Unreadable`] until its first inspection
/// succeeds. The store is declared complete when the first list's containers have been inspected, apart from those whose
/// inspection hangs.
pub async fn watch(client: Client, containers: Store<String, Sight>, resync: Duration, stop: CancellationToken) {
    let condition = Condition::new(format!("Docker at {}", client.address()));
    let inspections = Inspections::new(containers);
    let mut watcher =
        Watcher { client, resync, condition, inspections, heard: None, retry: Retry::default(), is_absent: false };
    tokio::select! {
        () = watcher.run() => {}
        () = stop.cancelled() => {}
    }
}

struct Watcher {
    client: Client,
    resync: Duration,
    condition: Condition,
    inspections: Inspections,
    /// The time of the last event.
    heard: Option<Timestamp>,
    retry: Retry,
    /// Whether it was logged that nobody answers.
    is_absent: bool,
}

type List = BoxFuture<'static, Result<Listed, Error>>;

/// The result of a list.
struct Listed {
    containers: Vec<Value>,
    networks: Option<Networks>,
}

/// What is being waited for.
enum State {
    /// The time of the next attempt.
    Waiting { until: Instant },
    /// The version of the API; the first time also the past.
    Connecting { opened: BoxFuture<'static, Result<Opened, Error>> },
    /// A list, while events are heard already. A stream that ends so early does not cost the list.
    Listing { connection: Connection, events: Events, ended: Option<Error>, list: List },
    /// An event, or the time of the next list.
    Following { connection: Connection, events: Events, since: Instant, list_at: Instant },
}

/// A connection, and from when on it has to tell events.
struct Opened {
    connection: Connection,
    since: Timestamp,
    /// What events told before the first session.
    past: BTreeMap<String, Mark>,
}

/// What has come.
enum Input {
    Due,
    Opened(Opened),
    Listed(Listed),
    Event(Event),
    /// The stream, with the reason.
    Ended(Error),
    /// What is asked for once.
    Failed(Error),
}

impl State {
    /// Waits for what comes next. Dropping this future loses nothing.
    async fn input(&mut self) -> Input {
        match self {
            Self::Waiting { until } => {
                sleep_until(*until).await;
                Input::Due
            }
            Self::Connecting { opened } => opened.await.map_or_else(Input::Failed, Input::Opened),
            Self::Listing { events, ended, list, .. } => tokio::select! {
                list = list => list.map_or_else(Input::Failed, Input::Listed),
                event = event(events), if ended.is_none() => event,
            },
            Self::Following { events, list_at, .. } => tokio::select! {
                () = sleep_until(*list_at) => Input::Due,
                event = event(events) => event,
            },
        }
    }
}

async fn event(events: &mut Events) -> Input {
    match events.next().await {
        Some(event) => event.map_or_else(Input::Ended, Input::Event),
        // Its last item is an error, after which it is not asked again.
        None => std::future::pending().await,
    }
}

impl Watcher {
    async fn run(&mut self) {
        let mut state = State::Waiting { until: Instant::now() };
        loop {
            state = tokio::select! {
                // Events that have arrived are handled before inspections go on: an end that a start follows does not
                // count.
                biased;
                input = state.input() => self.step(state, input, Instant::now()),
                () = self.inspections.progress() => state,
            };
        }
    }

    /// What an input makes of a state.
    fn step(&mut self, state: State, input: Input, now: Instant) -> State {
        match (state, input) {
            (State::Waiting { .. }, Input::Due) => {
                State::Connecting { opened: open(self.client.clone(), self.heard).boxed() }
            }
            (_, Input::Opened(Opened { connection, since, past })) => {
                self.heard = Some(since);
                self.inspections.remember(past);
                self.list(connection)
            }
            (State::Listing { connection, events, list, .. }, Input::Ended(error)) => {
                State::Listing { connection, events, ended: Some(error), list }
            }
            (State::Listing { connection, events, ended, .. }, Input::Listed(list)) => {
                list.networks.into_iter().for_each(|networks| self.inspections.know(networks));
                self.inspections.listed(&list.containers, now);
                if !self.retry.is_unstable() {
                    self.well();
                }
                let following = State::Following { connection, events, since: now, list_at: now + self.resync };
                match ended {
                    None => following,
                    Some(error) => self.step(following, Input::Ended(error), now),
                }
            }
            (State::Following { connection, .. }, Input::Due) => {
                self.retry.succeeded();
                self.well();
                self.list(connection)
            }
            (state, Input::Event(event)) => {
                self.heard = latest(self.heard, event.at);
                if let Some((id, mark)) = event.subject {
                    self.inspections.add(id, mark);
                }
                state
            }
            (State::Following { since, .. }, Input::Ended(error)) => {
                if self.retry.ended(now - since) {
                    self.trouble(&error);
                } else {
                    tracing::debug!("{}", crate::core::condition::chain(&error));
                }
                State::Waiting { until: now + self.retry.wait() }
            }
            (_, Input::Failed(error)) => {
                self.retry.failed();
                self.trouble(&error);
                State::Waiting { until: now + self.retry.wait() }
            }
            // No other input belongs to the state.
            (state, Input::Due | Input::Listed(_) | Input::Ended(_)) => state,
        }
    }

    fn list(&mut self, connection: Connection) -> State {
        self.inspections.connected(connection.clone());
        // The last event was heard: told again, it would be one inspection more at each resync.
        let since = self.heard.and_then(|heard| heard.checked_add(Duration::from_nanos(1)).ok());
        let events = events::follow(&connection, since.unwrap_or_else(Timestamp::now));
        let listing = connection.clone();
        let list = async move {
            let (containers, networks) = join(listing.list(), inspections::known_networks(&listing)).await;
            containers.map(|containers| Listed { containers, networks })
        };
        State::Listing { connection, events, ended: None, list: list.boxed() }
    }

    /// An engine that restarts fails in several ways one after the other: that is one line.
    fn trouble(&mut self, error: &Error) {
        if std::mem::replace(&mut self.is_absent, error.is_absent()) && self.is_absent {
            tracing::debug!("{}", crate::core::condition::chain(error));
        } else {
            self.condition.trouble(&error.failure);
        }
    }

    fn well(&mut self) {
        self.is_absent = false;
        self.condition.well();
    }
}

/// Up to when events have been heard. They may come in another order than they happened, unless the clock of the engine
/// was set back.
fn latest(heard: Option<Timestamp>, at: Option<Timestamp>) -> Option<Timestamp> {
    let is_earlier = |heard: Timestamp, at: Timestamp| at < heard && heard.duration_since(at).unsigned_abs() < OVERLAP;
    match (heard, at) {
        (Some(heard), Some(at)) if is_earlier(heard, at) => Some(heard),
        (heard, at) => at.or(heard),
    }
}

async fn open(client: Client, heard: Option<Timestamp>) -> Result<Opened, Error> {
    let connection = client.connect().await?;
    if let Some(since) = heard {
        return Ok(Opened { connection, since, past: BTreeMap::new() });
    }
    // The engine's clock counts, not ours.
    let now = connection.clock().await?;
    let past = recall(&connection, now).await?;
    Ok(Opened { connection, since: now.checked_sub(OVERLAP).unwrap_or(now), past })
}

/// What past events tell of each container.
async fn recall(connection: &Connection, until: Timestamp) -> Result<BTreeMap<String, Mark>, Error> {
    let since = until.checked_sub(RECALL).unwrap_or(until);
    let Ok(events) = timeout(RECALL_WITHIN, events::past(connection, since, until)).await else {
        tracing::debug!("the engine did not tell its past events within {RECALL_WITHIN:?}: starting without");
        return Ok(BTreeMap::new());
    };
    let mut past = BTreeMap::<_, Mark>::new();
    for (id, mark) in events?.into_iter().filter_map(|event| event.subject) {
        past.entry(id).or_default().merge(mark);
    }
    Ok(past)
}
