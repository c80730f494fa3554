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
    Container, Error, Observation,
    client::Connection,
    container::short_id,
    inspection_batch::InspectionBatch,
    inspection_failures::InspectionFailures,
    inspection_queue::{ContainerEvents, InspectionQueue},
    networks::Networks,
    summary::{ContainerSummary, summaries},
    translate,
};
use crate::core::{condition, store::Store};

/// How many containers are inspected at the same time.
const MAX_CONCURRENT: usize = 16;

/// An inspection that takes longer releases its slot, so inspections that hang do not block the others.
const SLOW_AFTER: Duration = Duration::from_secs(1);

/// A container is logged after this number of failures in a row.
const LOG_AFTER_FAILURES: u32 = 3;

/// The id and the result of an inspection; `None` if there is no such container.
type InspectionResult = (String, Result<Option<InspectedContainer>, Error>);

/// The engine's description of a container.
struct InspectedContainer {
    inspect: Value,
    /// All networks of the engine, read again because one of the container's was unknown.
    networks: Option<Networks>,
}

/// The running and the due inspections. They continue across connections.
pub(super) struct Inspector {
    containers: Store<String, Observation>,
    connection: Option<Connection>,
    queue: InspectionQueue,
    running: FuturesUnordered<BoxFuture<'static, InspectionResult>>,
    slots: Arc<Semaphore>,
    /// The results since the last list, until they are put into the store together.
    batch: Option<InspectionBatch>,
    /// The summary of each container in the last list.
    summaries: BTreeMap<String, ContainerSummary>,
    /// The engine's networks; `None` until they are known.
    networks: Option<Arc<Networks>>,
    /// Events from before the first session, by container, until it is inspected.
    past_events: BTreeMap<String, ContainerEvents>,
    /// The containers whose exit an event has reported since the last [`progress`](Self::progress).
    exited: BTreeSet<String>,
    /// The containers that cannot be inspected, for the log.
    failures: InspectionFailures,
}

impl Inspector {
    pub(super) fn new(containers: Store<String, Observation>) -> Self {
        Self {
            containers,
            connection: None,
            queue: InspectionQueue::default(),
            running: FuturesUnordered::new(),
            slots: Arc::new(Semaphore::new(MAX_CONCURRENT)),
            batch: None,
            summaries: BTreeMap::new(),
            networks: None,
            past_events: BTreeMap::new(),
            exited: BTreeSet::new(),
            failures: InspectionFailures::default(),
        }
    }

    /// Inspections use this connection from now on.
    pub(super) fn set_connection(&mut self, connection: Connection) {
        self.connection = Some(connection);
    }

    /// Keeps events from before the first session for the first inspection of each container, whether a list or an
    /// event causes it.
    pub(super) fn set_past_events(&mut self, past: BTreeMap<String, ContainerEvents>) {
        self.past_events.extend(past);
    }

    /// Handles an event of a container. A stop signal takes effect immediately, since the inspection may hang.
    pub(super) fn handle_event(&mut self, id: String, events: ContainerEvents) {
        self.update_container(&id, |container| {
            let sent = *events.signals.get(&container.stop_signal)?;
            Some(Container { stop_signal_sent_at: Some(sent), ..container.clone() })
        });
        if events.exit.is_some() {
            self.exited.insert(id.clone());
        }
        self.queue.add(id, events);
    }

    /// Marks containers as stopped if an event has reported their exit, since the inspection may hang. An exit before
    /// the last known start belongs to an earlier run. An exit without an exit code waits for the inspection, because
    /// the exit code decides whether the entries are removed.
    fn apply_exits(&mut self) {
        for id in std::mem::take(&mut self.exited) {
            let Some(exit) = self.queue.exit(&id).filter(|exit| exit.exit_code.is_some()) else { continue };
            self.update_container(&id, |container| {
                let has_exited = container.running && container.was_started_before(exit.at);
                has_exited.then(|| Container { running: false, exit_code: exit.exit_code, ..container.clone() })
            });
        }
    }

    /// Changes a container in the store, and in the batch, whose results will replace those in the store.
    fn update_container(&mut self, id: &str, change: impl Fn(&Container) -> Option<Container>) {
        let changed = |observation: &Observation| match observation {
            Observation::Inspected(container) => Some(Observation::Inspected(Arc::new(change(container)?))),
            Observation::Unreadable | Observation::Missing => None,
        };
        // The snapshot is dropped before the change; otherwise the change would copy the whole store.
        let observation = self.containers.snapshot().entries.get(id).and_then(changed);
        if let Some(observation) = observation {
            self.containers.put(id.to_owned(), observation);
        }
        if let Some(found) = self.batch.as_mut().and_then(|batch| batch.result_mut(id))
            && let Some(observation) = changed(found)
        {
            *found = observation;
        }
    }

    /// Updates the engine's networks, and the network properties of all containers.
    pub(super) fn set_networks(&mut self, networks: Networks) {
        if self.networks.as_deref() == Some(&networks) {
            return;
        }
        let networks = self.networks.insert(Arc::new(networks)).clone();
        for id in self.containers.snapshot().entries.keys() {
            self.update_container(id, |container| networks.annotate(container));
        }
    }

    /// Handles a list. Containers that have changed since the last list, and those that are no longer in it, are
    /// inspected.
    pub(super) fn handle_list(&mut self, list: &[Value], now: Instant) {
        let mut before = std::mem::replace(&mut self.summaries, summaries(list).collect());
        let stored = self.containers.snapshot().entries;
        let missing = stored.keys().filter(|id| !self.summaries.contains_key(*id));
        let differs = self.summaries.iter().filter(|(id, now)| before.remove(*id).as_ref() != Some(now));
        let due: BTreeSet<_> = missing.chain(differs.map(|(id, _)| id)).cloned().collect();
        let new = self.summaries.keys().filter(|id| matches!(stored.get(*id), None | Some(Observation::Missing)));
        self.containers.put_all(new.map(|id| (id.clone(), Observation::Unreadable)));
        for id in &due {
            self.queue.add(id.clone(), ContainerEvents::default());
        }
        self.past_events.retain(|id, _| self.summaries.contains_key(id));
        let now = now.into_std();
        self.batch.get_or_insert_with(|| InspectionBatch::new(now)).add(due, now);
        // If an event has reported the exit and the list confirms it, no inspection is needed, which may hang.
        let gone = stored.keys().filter(|id| !self.summaries.contains_key(*id) && self.queue.exit(id).is_some());
        for id in gone.collect::<Vec<_>>() {
            self.store_result(id, None, now);
        }
    }

    /// Starts the inspections that are due, and handles the next result, timeout, or end of a batch. This future is
    /// cancel safe.
    pub(super) async fn progress(&mut self) {
        self.apply_exits();
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
        if let Some(batch) = self.batch.take_if(|batch| batch.is_finished(now)) {
            self.containers.mark_complete_with(batch.into_results());
            return;
        }
        self.failures.due_lines(now).iter().for_each(|line| tracing::warn!("{line}"));
        let wake = self.queue.retry_at().into_iter().chain(self.batch.as_ref().map(InspectionBatch::deadline));
        let wake = wake.chain(self.failures.next_log_at()).min();
        tokio::select! {
            Some((id, result)) = self.running.next() => self.handle_result(&id, result),
            () = sleep_until(wake.unwrap_or(now).into()), if wake.is_some() => {}
            else => std::future::pending().await,
        }
    }

    fn handle_result(&mut self, id: &str, mut result: Result<Option<InspectedContainer>, Error>) {
        if let Ok(Some(InspectedContainer { networks, .. })) = &mut result {
            networks.take().into_iter().for_each(|networks| self.set_networks(networks));
        }
        let now = Instant::now().into_std();
        let stored = self.containers.snapshot().entries.get(id).cloned();
        let before = self.batch.as_ref().and_then(|batch| batch.result(id)).cloned().unwrap_or(stored);
        let observation = match result {
            Ok(None) => {
                let events = self.queue.finish(id);
                self.summaries.remove(id);
                self.failures.record_removal(id);
                match before {
                    // No event has reported the removal: the next list decides.
                    Some(Observation::Inspected(_) | Observation::Unreadable) if !events.has_event => {
                        Some(Observation::Missing)
                    }
                    _ => None,
                }
            }
            Ok(Some(InspectedContainer { inspect, .. })) => {
                let mut events = self.past_events.remove(id).unwrap_or_default();
                events.merge(self.queue.finish(id));
                let before = match &before {
                    Some(Observation::Inspected(container)) => Some(container),
                    _ => None,
                };
                Some(self.observe(id, &inspect, before, &events))
            }
            Err(error) => {
                let attempts = self.queue.fail(id, now);
                if error.is_timeout() || attempts >= LOG_AFTER_FAILURES && !error.is_unreachable() {
                    let name = self.container_name(id).to_owned();
                    self.failures.record_failure(id, &name, condition::error_chain(&error.failure), now);
                } else {
                    tracing::debug!(container = self.container_name(id), "{}", condition::error_chain(&error));
                }
                // The previous result stays.
                if before.is_some() {
                    return;
                }
                // Both an event and the list report that the container is gone.
                let is_gone = self.queue.exit(id).is_some() && !self.summaries.contains_key(id);
                (!is_gone).then_some(Observation::Unreadable)
            }
        };
        self.store_result(id, observation, now);
    }

    /// Puts the result for a container into the batch that waits for it, otherwise into the store. `None`: the
    /// container is forgotten.
    fn store_result(&mut self, id: &str, observation: Option<Observation>, now: std::time::Instant) {
        let observation = match &mut self.batch {
            Some(batch) => batch.record(id, observation, now),
            None => Some(observation),
        };
        if let Some(observation) = observation {
            self.containers.set(id.to_owned(), observation);
        }
    }

    /// The observation from a successful inspection, completed with what events, networks and lists report.
    fn observe(
        &mut self,
        id: &str,
        inspect: &Value,
        before: Option<&Arc<Container>>,
        events: &ContainerEvents,
    ) -> Observation {
        let mut container = translate::container(id, inspect, before, events);
        if let Some(annotated) = self.networks.as_ref().and_then(|networks| networks.annotate(&container)) {
            container = annotated;
        }
        if container.name.is_empty() {
            container.name = self.container_name(id).to_owned();
        }
        if let Some(line) = self.failures.record_success(id, std::time::Instant::now()) {
            tracing::info!("{line}");
        }
        let unreadable = translate::unreadable_fields(inspect);
        if !unreadable.is_empty() && before.is_none() {
            let (name, fields) = (&container.name, unreadable.join(", "));
            tracing::warn!(container = name, "fields with an unknown form are ignored: {fields}");
        }
        Observation::Inspected(Arc::new(container))
    }

    /// The name of a container for log lines; the short id if the name is unknown.
    fn container_name<'a>(&'a self, id: &'a str) -> &'a str {
        let name = self.summaries.get(id).map(|summary| summary.name.as_str()).filter(|name| !name.is_empty());
        name.unwrap_or_else(|| short_id(id))
    }
}

/// Inspects one container as soon as there is a free slot.
async fn inspect(
    connection: &Connection,
    id: &str,
    networks: Option<&Networks>,
    slots: &Semaphore,
) -> Result<Option<InspectedContainer>, Error> {
    // The semaphore is never closed.
    let slot = slots.acquire().await.ok();
    let mut inspection = std::pin::pin!(inspect_with_networks(connection, id, networks));
    match timeout(SLOW_AFTER, inspection.as_mut()).await {
        Ok(result) => result,
        Err(_) => {
            drop(slot);
            inspection.await
        }
    }
}

/// The inspection of a container, with all networks if the container is on an unknown one. If the engine has refused to
/// list its networks before, they are not listed here.
async fn inspect_with_networks(
    connection: &Connection,
    id: &str,
    networks: Option<&Networks>,
) -> Result<Option<InspectedContainer>, Error> {
    let Some(inspect) = inspect_with_image_name(connection, id).await? else { return Ok(None) };
    let networks = match networks {
        Some(known) if !known.contain_all_of(&inspect) => known_networks(connection).await,
        _ => None,
    };
    Ok(Some(InspectedContainer { inspect, networks }))
}

/// The networks of the engine; `None` if the list fails, for example because a proxy refuses it.
pub(super) async fn known_networks(connection: &Connection) -> Option<Networks> {
    let networks = connection.networks().await;
    networks.inspect_err(|error| tracing::debug!("{}", condition::error_chain(error))).ok()
}

/// The inspection of a container. If the image is given by its id, the id is replaced by the name of the image.
async fn inspect_with_image_name(connection: &Connection, id: &str) -> Result<Option<Value>, Error> {
    let mut inspect = connection.inspect(id).await?;
    let image = inspect.as_mut().and_then(|inspect| inspect.pointer_mut("/Config/Image"));
    if let Some(Value::String(image)) = image
        && is_image_id(image)
    {
        match connection.image_name(image).await {
            Ok(Some(name)) => *image = name,
            Ok(None) => {}
            Err(error) => tracing::debug!("{}", condition::error_chain(&error)),
        }
    }
    Ok(inspect)
}

/// Whether an image is given by its id.
fn is_image_id(image: &str) -> bool {
    let hex = image.strip_prefix("sha256:").unwrap_or(image);
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}
