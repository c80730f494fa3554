//! Inspects the containers that lists and events name, and puts the results into the store.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt},
    stream::FuturesUnordered,
};
use serde_json::Value;
use tokio::{
    sync::Semaphore,
    time::{Instant, sleep_until, timeout},
};

use super::{
    Container, Error, Sight,
    client::Connection,
    failures::Failures,
    networks::Networks,
    queue::{Mark, Queue},
    round::Round,
    summary::{Summary, summaries},
    translate,
};
use crate::core::{condition, store::Store};

/// How many containers are inspected at the same time.
const SLOTS: usize = 16;

/// An inspection that takes longer gives up its slot, so that inspections that hang do not block the others.
const SLOW: Duration = Duration::from_secs(1);

/// After so many failures in a row the log names a container.
const TROUBLE_AFTER: u32 = 3;

/// The id and the result of an inspection; `None` if there is no such container.
type Inspected = (String, Result<Option<Description>, Error>);

/// The engine's description of a container.
struct Description {
    inspect: Value,
    /// All networks of the engine, read again because one of the container's was unknown.
    networks: Option<Networks>,
}

/// The inspections under way and due. They outlive connections.
pub(super) struct Inspections {
    containers: Store<String, Sight>,
    connection: Option<Connection>,
    queue: Queue,
    running: FuturesUnordered<BoxFuture<'static, Inspected>>,
    slots: Arc<Semaphore>,
    /// The results since the last list, until they are put into the store together.
    round: Option<Round>,
    /// How the list described each container when it was last inspected.
    known: BTreeMap<String, Summary>,
    /// The engine's networks; `None` until they are known.
    networks: Option<Arc<Networks>>,
    /// Events from before the first session, by container, until it is inspected.
    past: BTreeMap<String, Mark>,
    /// The containers whose end an event has reported since the last [`progress`](Self::progress).
    ended: BTreeSet<String>,
    /// The containers that cannot be inspected, for the log.
    failures: Failures,
}

impl Inspections {
    pub(super) fn new(containers: Store<String, Sight>) -> Self {
        Self {
            containers,
            connection: None,
            queue: Queue::default(),
            running: FuturesUnordered::new(),
            slots: Arc::new(Semaphore::new(SLOTS)),
            round: None,
            known: BTreeMap::new(),
            networks: None,
            past: BTreeMap::new(),
            ended: BTreeSet::new(),
            failures: Failures::default(),
        }
    }

    /// Inspections use this connection from now on.
    pub(super) fn connected(&mut self, connection: Connection) {
        self.connection = Some(connection);
    }

    /// Keeps events from before the first session. The first inspection of each container uses them, whether a list or
    /// an event has caused it.
    pub(super) fn remember(&mut self, past: BTreeMap<String, Mark>) {
        self.past.extend(past);
    }

    /// Handles an event of a container. A stop signal takes effect at once, since the inspection may hang.
    pub(super) fn add(&mut self, id: String, mark: Mark) {
        self.amend(&id, |container| {
            let sent = *mark.signals.get(&container.stop_signal)?;
            Some(Container { stop_sent: Some(sent), ..container.clone() })
        });
        if mark.ended.is_some() {
            self.ended.insert(id.clone());
        }
        self.queue.add(id, mark);
    }

    /// Marks containers as ended if an event has reported that, since the inspection may hang. An end before the last
    /// known start belongs to an earlier run. An end without an exit code waits for the inspection: the exit code
    /// decides whether the entries are removed.
    fn conclude(&mut self) {
        for id in std::mem::take(&mut self.ended) {
            let Some(end) = self.queue.end(&id).filter(|end| end.exit_code.is_some()) else { continue };
            self.amend(&id, |container| {
                let ends = container.running && container.started_before(end.at);
                ends.then(|| Container { running: false, exit_code: end.exit_code, ..container.clone() })
            });
        }
    }

    /// Changes a container in the store, and in the round that will replace it there.
    fn amend(&mut self, id: &str, change: impl Fn(&Container) -> Option<Container>) {
        let changed = |sight: &Sight| match sight {
            Sight::Seen(container) => Some(Sight::Seen(Arc::new(change(container)?))),
            Sight::Unreadable | Sight::Missing => None,
        };
        // The snapshot is dropped before the change; otherwise the change would copy the whole store.
        let sight = self.containers.snapshot().entries.get(id).and_then(changed);
        if let Some(sight) = sight {
            self.containers.put(id.to_owned(), sight);
        }
        if let Some(found) = self.round.as_mut().and_then(|round| round.found_mut(id))
            && let Some(sight) = changed(found)
        {
            *found = sight;
        }
    }

    /// Takes note of the engine's networks.
    pub(super) fn know(&mut self, networks: Networks) {
        if self.networks.as_deref() == Some(&networks) {
            return;
        }
        let networks = self.networks.insert(Arc::new(networks)).clone();
        for id in self.containers.snapshot().entries.keys() {
            self.amend(id, |container| networks.describe(container));
        }
    }

    /// Takes a list. Containers that have changed since the last list, and those that are no longer in it, are
    /// inspected.
    pub(super) fn listed(&mut self, list: &[Value], now: Instant) {
        let mut before = std::mem::replace(&mut self.known, summaries(list).collect());
        let stored = self.containers.snapshot().entries;
        let lost = stored.keys().filter(|id| !self.known.contains_key(*id));
        let differs = self.known.iter().filter(|(id, now)| before.remove(*id).as_ref() != Some(now));
        let due: BTreeSet<_> = lost.chain(differs.map(|(id, _)| id)).cloned().collect();
        let new = self.known.keys().filter(|id| matches!(stored.get(*id), None | Some(Sight::Missing)));
        self.containers.put_all(new.map(|id| (id.clone(), Sight::Unreadable)));
        for id in &due {
            self.queue.add(id.clone(), Mark::default());
        }
        self.past.retain(|id, _| self.known.contains_key(id));
        let now = now.into_std();
        self.round.get_or_insert_with(|| Round::new(now)).expect(due, now);
        // An event has reported their end, and the list confirms it. There is no need to wait for an inspection, which
        // may hang.
        let gone = stored.keys().filter(|id| !self.known.contains_key(*id) && self.queue.end(id).is_some());
        for id in gone.collect::<Vec<_>>() {
            self.settle(id, None, now);
        }
    }

    /// Starts what is due and waits until something has changed. Dropping this future loses nothing.
    pub(super) async fn progress(&mut self) {
        self.conclude();
        let now = Instant::now().into_std();
        if let Some(connection) = &self.connection {
            while let Some(id) = self.queue.start(now) {
                let (connection, slots) = (connection.clone(), Arc::clone(&self.slots));
                let networks = self.networks.clone();
                let inspection = async move {
                    let result = inspect(&connection, &id, networks.as_deref(), &slots).await;
                    (id, result)
                };
                self.running.push(inspection.boxed());
            }
        }
        if let Some(round) = self.round.take_if(|round| round.is_over(now)) {
            self.containers.complete_with(round.results());
            return;
        }
        self.failures.news(now).iter().for_each(|line| tracing::warn!("{line}"));
        let wake = self.queue.retry_at().into_iter().chain(self.round.as_ref().map(Round::deadline));
        let wake = wake.chain(self.failures.due()).min();
        tokio::select! {
            Some((id, result)) = self.running.next() => self.inspected(&id, result),
            () = sleep_until(wake.unwrap_or(now).into()), if wake.is_some() => {}
            else => std::future::pending().await,
        }
    }

    fn inspected(&mut self, id: &str, mut result: Result<Option<Description>, Error>) {
        if let Ok(Some(Description { networks, .. })) = &mut result {
            networks.take().into_iter().for_each(|networks| self.know(networks));
        }
        let now = Instant::now().into_std();
        let stored = self.containers.snapshot().entries.get(id).cloned();
        let before = self.round.as_ref().and_then(|round| round.found(id)).cloned().unwrap_or(stored);
        let sight = match result {
            Ok(None) => {
                let mark = self.queue.finish(id);
                self.known.remove(id);
                self.failures.gone(id);
                match before {
                    // No event has reported the end: the next list decides.
                    Some(Sight::Seen(_) | Sight::Unreadable) if !mark.announced => Some(Sight::Missing),
                    _ => None,
                }
            }
            Ok(Some(Description { inspect, .. })) => {
                let mut mark = self.past.remove(id).unwrap_or_default();
                mark.merge(self.queue.finish(id));
                let before = match &before {
                    Some(Sight::Seen(container)) => Some(container),
                    _ => None,
                };
                Some(self.read(id, &inspect, before, &mark))
            }
            Err(error) => {
                let tries = self.queue.fail(id, now);
                if error.is_late() || tries >= TROUBLE_AFTER && !error.is_absent() {
                    let name = self.name(id).to_owned();
                    self.failures.add(id, &name, condition::chain(&error.failure), now);
                } else {
                    tracing::debug!(container = self.name(id), "{}", condition::chain(&error));
                }
                // The last result stays.
                if before.is_some() {
                    return;
                }
                // An event and the list agree that it is gone.
                let is_gone = self.queue.end(id).is_some() && !self.known.contains_key(id);
                (!is_gone).then_some(Sight::Unreadable)
            }
        };
        self.settle(id, sight, now);
    }

    /// Puts the result for a container into the round that waits for it, otherwise into the store.
    fn settle(&mut self, id: &str, sight: Option<Sight>, now: std::time::Instant) {
        let sight = match &mut self.round {
            Some(round) => round.take(id, sight, now),
            None => Some(sight),
        };
        if let Some(sight) = sight {
            self.containers.set(id.to_owned(), sight);
        }
    }

    fn read(&mut self, id: &str, inspect: &Value, before: Option<&Arc<Container>>, mark: &Mark) -> Sight {
        let mut container = translate::container(id, inspect, before, mark);
        if let Some(described) = self.networks.as_ref().and_then(|networks| networks.describe(&container)) {
            container = described;
        }
        if container.name.is_empty() {
            container.name = self.name(id).to_owned();
        }
        if let Some(well) = self.failures.over(id, std::time::Instant::now()) {
            tracing::info!("{well}");
        }
        let unreadable = translate::unreadable(inspect);
        if !unreadable.is_empty() && before.is_none() {
            let (name, fields) = (&container.name, unreadable.join(", "));
            tracing::warn!(container = name, "what Docker answers has an unknown form, and is ignored: {fields}");
        }
        Sight::Seen(Arc::new(container))
    }

    /// What a log line calls a container.
    fn name<'a>(&'a self, id: &'a str) -> &'a str {
        let name = self.known.get(id).map(|summary| summary.name.as_str()).filter(|name| !name.is_empty());
        name.unwrap_or_else(|| id.get(..12).unwrap_or(id))
    }
}

/// Inspects one container when there is a slot.
async fn inspect(
    connection: &Connection,
    id: &str,
    networks: Option<&Networks>,
    slots: &Semaphore,
) -> Result<Option<Description>, Error> {
    // The semaphore is never closed.
    let slot = slots.acquire().await.ok();
    let mut inspection = std::pin::pin!(described(connection, id, networks));
    match timeout(SLOW, inspection.as_mut()).await {
        Ok(result) => result,
        Err(_) => {
            drop(slot);
            inspection.await
        }
    }
}

/// The inspection of a container, with all networks if the container is on an unknown one. If the engine has refused to
/// list its networks, it is not asked again here.
async fn described(
    connection: &Connection,
    id: &str,
    networks: Option<&Networks>,
) -> Result<Option<Description>, Error> {
    let Some(inspect) = named(connection, id).await? else { return Ok(None) };
    let networks = match networks {
        Some(known) if !known.cover(&inspect) => known_networks(connection).await,
        _ => None,
    };
    Ok(Some(Description { inspect, networks }))
}

/// The networks of the engine; `None` if they cannot be listed: a proxy in front of the engine may refuse that.
pub(super) async fn known_networks(connection: &Connection) -> Option<Networks> {
    let networks = connection.networks().await;
    networks.inspect_err(|error| tracing::debug!("{}", condition::chain(error))).ok()
}

/// The inspection of a container. If the container was started from an image id, the id is replaced by the image's
/// name.
async fn named(connection: &Connection, id: &str) -> Result<Option<Value>, Error> {
    let mut inspect = connection.inspect(id).await?;
    let image = inspect.as_mut().and_then(|inspect| inspect.pointer_mut("/Config/Image"));
    if let Some(Value::String(image)) = image
        && is_image_id(image)
    {
        match connection.image_name(image).await {
            Ok(Some(name)) => *image = name,
            Ok(None) => {}
            Err(error) => tracing::debug!("{}", condition::chain(&error)),
        }
    }
    Ok(inspect)
}

/// Whether an image is given by its id.
fn is_image_id(image: &str) -> bool {
    let hex = image.strip_prefix("sha256:").unwrap_or(image);
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}
