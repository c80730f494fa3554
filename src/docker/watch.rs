//! Keeps a store of containers in line with an engine.
//!
//! A session listens and lists at the same time. Both only mark containers; one worker looks at what is marked. A session
//! ends when the stream does, and in any case at the next resync: so a stream that fell silent is just a session like
//! every other, and there is one path for the start, for a lost event, and for a reconnection.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable};
use bollard::models::{ContainerInspectResponse, ContainerSummary, EventMessage, EventMessageTypeEnum};
use futures_util::{StreamExt, stream::FuturesUnordered};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::{
    Client, Error, Sight,
    client::Connection,
    dirty::{Dirty, Mark},
    queue::Queue,
    signal, translate,
};
use crate::{
    condition::Condition,
    reconcile::{self, Cause, Next, Pace, Reconcile},
    store::Store,
};

/// How many containers are inspected at the same time.
const LOOKS: usize = 16;

/// Replay from a little before: the engine keeps its last 256 events, and marking a container twice does no harm.
const OVERLAP: Duration = Duration::from_secs(1);

/// From how long ago a first session wants to know who was told to stop, and who started how often: a register that is
/// started again while a container drains must not bring it back into traffic.
const RECALL: Duration = Duration::from_secs(600);

/// How long the engine may take to tell its past. One that does not know `until` would never end.
const RECALL_WITHIN: Duration = Duration::from_secs(5);

/// What an inspection brought; `None` if there is no such container.
type Look = Result<Option<ContainerInspectResponse>, Error>;

/// Fills `containers` until `stop` is cancelled. Trouble with the engine is waited out; the store keeps the last state.
pub async fn watch(client: Client, containers: Store<String, Sight>, resync: Duration, stop: CancellationToken) {
    let condition = Condition::new(format!("Docker at {}", client.address()));
    let mut sessions = Sessions {
        client,
        containers,
        resync,
        condition,
        known: BTreeMap::new(),
        heard: None,
        past: BTreeMap::new(),
        queue: Queue::default(),
    };
    let never = tokio::sync::watch::Sender::new(0);
    tokio::select! {
        () = reconcile::run(&mut sessions, never.subscribe(), Pace::every(Duration::ZERO), stop.clone()) => {}
        () = stop.cancelled() => {}
    }
}

/// What outlives a session.
struct Sessions {
    client: Client,
    containers: Store<String, Sight>,
    resync: Duration,
    condition: Condition,
    /// How the list described each container when it was last looked at.
    known: BTreeMap<String, ContainerSummary>,
    /// The time of the last event.
    heard: Option<Timestamp>,
    /// What events told before the first session, of containers that are not listed yet.
    past: BTreeMap<String, Mark>,
    /// Containers that were marked, and not yet looked at.
    queue: Queue,
}

impl Reconcile for Sessions {
    async fn pass(&mut self, _: Cause) -> Next {
        match self.session().await {
            Ok(()) => Next::Idle,
            Err(error) => {
                self.condition.trouble(&error);
                Next::Retry
            }
        }
    }
}

impl Sessions {
    /// Runs until the next resync is due.
    async fn session(&mut self) -> Result<(), Error> {
        let docker = self.client.connect().await?;
        let since = match self.heard {
            Some(heard) => heard,
            None => {
                // The engine's clock counts, not ours.
                let now = docker.engine().await?.clock.unwrap_or_else(Timestamp::now);
                self.past = recall(&docker, now).await?;
                now.checked_sub(OVERLAP).unwrap_or(now)
            }
        };
        self.queue.cut();
        let dirty = Dirty::default();
        let heard = Mutex::new(since);
        let end = tokio::time::sleep(self.resync);
        let ended = tokio::select! {
            error = listen(&docker, since, &dirty, &heard) => Err(error),
            error = self.look_after(&docker, &dirty) => Err(error),
            () = end => Ok(()),
        };
        self.heard = Some(*heard.lock().unwrap_or_else(PoisonError::into_inner));
        self.queue.add(dirty.drain());
        ended
    }

    /// Lists once, then looks at what is marked.
    async fn look_after(&mut self, docker: &Connection, dirty: &Dirty) -> Error {
        let listing = docker.list();
        tokio::pin!(listing);
        let (mut listed, mut settled) = (false, false);
        let mut owing = BTreeSet::new();
        // What the list lacks goes into the store at once: who sees a part of it cannot tell that it is much.
        let mut lost = BTreeMap::new();
        let mut looks = FuturesUnordered::new();
        loop {
            while looks.len() < LOOKS
                && let Some(id) = self.queue.start()
            {
                looks.push(look(docker, id));
            }
            tokio::select! {
                list = &mut listing, if !listed => match list {
                    Ok(list) => {
                        listed = true;
                        owing = self.changed(list);
                        let mut past = std::mem::take(&mut self.past);
                        let mut mark = |id: &String| (id.clone(), past.remove(id).unwrap_or_default());
                        self.queue.add(owing.iter().map(&mut mark).collect());
                        self.condition.well();
                    }
                    Err(error) => return error,
                },
                marks = dirty.take() => self.queue.add(marks),
                Some((id, sight)) = looks.next() => {
                    owing.remove(&id);
                    let mark = self.queue.finish(&id);
                    lost.remove(&id);
                    lost.extend(self.settle(id, &mark, sight));
                }
            }
            if listed && owing.is_empty() {
                let lost = std::mem::take(&mut lost);
                if !std::mem::replace(&mut settled, true) {
                    self.containers.complete_with(lost);
                } else {
                    lost.into_iter().for_each(|(id, sight)| self.containers.set(id, sight));
                }
            }
        }
    }

    /// The containers that the list shows other than before, and those that it no longer shows.
    fn changed(&mut self, list: Vec<ContainerSummary>) -> BTreeSet<String> {
        let list = list.into_iter().filter_map(|summary| Some((summary.id.clone()?, steady(summary))));
        let mut before = std::mem::replace(&mut self.known, list.collect());
        let seen = self.containers.snapshot().entries;
        let mut changed: BTreeSet<String> = seen.keys().filter(|id| !self.known.contains_key(*id)).cloned().collect();
        let differs = self.known.iter().filter(|(id, now)| before.remove(*id).as_ref() != Some(now));
        changed.extend(differs.map(|(id, _)| id.clone()));
        changed
    }

    /// Takes a look's result into the store; only returns what becomes of a container that is gone and nobody told why.
    fn settle(&mut self, id: String, mark: &Mark, look: Look) -> Option<(String, Option<Sight>)> {
        let before = self.containers.snapshot().entries.get(&id).cloned();
        match look {
            Ok(None) => {
                self.known.remove(&id);
                match before {
                    _ if mark.announced => self.containers.remove(&id),
                    Some(Sight::Seen(_) | Sight::Unreadable) => return Some((id, Some(Sight::Missing))),
                    Some(Sight::Missing) => return Some((id, None)),
                    None => {}
                }
            }
            Ok(Some(inspect)) => {
                let before = match &before {
                    Some(Sight::Seen(container)) => Some(container.as_ref()),
                    _ => None,
                };
                let container = translate::container(&id, inspect, before, mark);
                self.containers.put(id, Sight::Seen(Arc::new(container)));
            }
            Err(error) => {
                // The next list looks at it again, whatever it shows.
                self.known.remove(&id);
                tracing::warn!(container = %id, "{}", crate::condition::chain(&error));
                if before.is_none() {
                    self.containers.put(id, Sight::Unreadable);
                }
            }
        }
        None
    }
}

/// Whether an image was asked for by its id: it says nothing about what it is.
fn is_image_id(image: &str) -> bool {
    let hex = image.strip_prefix("sha256:").unwrap_or(image);
    hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A summary without what changes while nothing happens (`Up 5 minutes`).
fn steady(summary: ContainerSummary) -> ContainerSummary {
    ContainerSummary { status: None, size_rw: None, size_root_fs: None, ..summary }
}

/// Inspects one container, stubbornly: an engine under load fails now and then.
async fn look(docker: &Connection, id: String) -> (String, Look) {
    let delays = ExponentialBuilder::new().with_min_delay(Duration::from_millis(50)).with_max_times(4).with_jitter();
    let mut look = (|| docker.inspect(&id)).retry(delays).await;
    if let Ok(Some(inspect)) = &mut look {
        name_image(docker, inspect).await;
    }
    (id, look)
}

/// A container that was started from an image's id: what the image is called says more.
async fn name_image(docker: &Connection, inspect: &mut ContainerInspectResponse) {
    let Some(image) = inspect.config.as_mut().and_then(|config| config.image.as_mut()) else { return };
    if is_image_id(image) {
        match docker.image_name(image).await {
            Ok(Some(name)) => *image = name,
            Ok(None) => {}
            Err(error) => tracing::debug!("{}", crate::condition::chain(&error)),
        }
    }
}

/// What past events tell of each container.
async fn recall(docker: &Connection, until: Timestamp) -> Result<BTreeMap<String, Mark>, Error> {
    let since = until.checked_sub(RECALL).unwrap_or(until);
    let Ok(events) = tokio::time::timeout(RECALL_WITHIN, docker.past_events(since, until)).await else {
        tracing::debug!("the engine did not tell its past events within {RECALL_WITHIN:?}: starting without");
        return Ok(BTreeMap::new());
    };
    let mut past = BTreeMap::<_, Mark>::new();
    for event in events? {
        let at = time(&event);
        if let Some((id, mark)) = subject(event, at) {
            past.entry(id).or_default().merge(mark);
        }
    }
    Ok(past)
}

/// When an event happened, by the engine's clock.
fn time(event: &EventMessage) -> Timestamp {
    let at = event.time_nano.and_then(|nanos| Timestamp::from_nanosecond(nanos.into()).ok());
    at.unwrap_or_else(Timestamp::now)
}

/// Marks what events tell of; ends with the stream.
async fn listen(docker: &Connection, since: Timestamp, dirty: &Dirty, heard: &Mutex<Timestamp>) -> Error {
    let mut events = std::pin::pin!(docker.events(since));
    loop {
        match events.next().await {
            Some(Ok(event)) => {
                let at = time(&event);
                *heard.lock().unwrap_or_else(PoisonError::into_inner) = at;
                if let Some((id, mark)) = subject(event, at) {
                    dirty.mark(id, mark);
                }
            }
            Some(Err(error)) => return error,
            None => unreachable!("the stream ends with an error"),
        }
    }
}

/// Which container an event is about, and what it tells beyond "look again".
fn subject(event: EventMessage, at: Timestamp) -> Option<(String, Mark)> {
    let actor = event.actor?;
    let mut attributes = actor.attributes.unwrap_or_default();
    let mut mark = Mark { announced: true, ..Mark::default() };
    match event.typ? {
        EventMessageTypeEnum::NETWORK => Some((attributes.remove("container")?, Mark::default())),
        EventMessageTypeEnum::CONTAINER => {
            match event.action.as_deref() {
                Some("kill") => {
                    let signal = attributes.get("signal").and_then(|signal| signal::parse(signal));
                    mark.signals.extend(signal.map(|signal| (signal, at)));
                }
                Some("start") => mark.starts.push(at),
                _ => {}
            }
            Some((actor.id?, mark))
        }
        _ => None,
    }
}
