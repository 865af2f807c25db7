//! Delivers for one notifier: takes what is due, tells it as [`schedule`](super::schedule) says, and writes down what
//! became of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use atrest_proto::model::Severity;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::watch;
use tracing::{debug, info, warn};

use super::quiet::{Passing, Quiet, hush};
use super::rate::Rate;
use super::schedule::{Candidate, Pace, Scheduler};
use super::{Message, NotTaken, Notice, Notifier, backoff};
use crate::alert::AlertState;
use crate::clock::{self, Clock};
use crate::drain::Drain;
use crate::logging::chain;
use crate::metrics::Deliveries;
use crate::store::{Attempt, DueDelivery, Store, StoreError};

/// Notices that are on their way at one time, to a receiver that is told one message at a time.
const AT_ONCE: usize = 8;
/// Messages that are taken from the outbox at one time, for such a receiver.
const BATCH: usize = 64;
/// The most messages of one notice, whatever its notifier takes.
const MAX_TOGETHER: usize = 1_000;
/// The longest pause that a receiver may ask for.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);
/// How long to leave a store alone that does not answer.
const STORE_PAUSE: Duration = Duration::from_secs(5);
/// Whatever a notifier's own limit is: one that never ends would hold up all that follows.
const LONGEST_DELIVERY: Duration = Duration::from_mins(10);
/// What would be tried later than this is tried at once when the receiver is there again.
const SOON: Duration = Duration::from_mins(1);
/// A clock that is adjusted by more than this goes back.
const STEP: Duration = Duration::from_secs(1);
/// How often at least and at most it is looked what is to be told again.
const REMINDING: (Duration, Duration) = (Duration::from_secs(1), Duration::from_mins(5));

/// What the configuration says of how a notifier is told; what it does not say has a default by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Terms {
    pub group_wait: Option<Duration>,
    pub group_interval: Option<Duration>,
    pub rate: Option<Rate>,
    /// How long after it was told what goes on is told again.
    pub repeat_every: Option<Duration>,
    pub quiet: Vec<Quiet>,
}

impl Terms {
    fn pace(&self, notifier: &dyn Notifier) -> Pace {
        let together = notifier.together().clamp(1, MAX_TOGETHER);
        let at_once = if together == 1 { AT_ONCE } else { 1 };
        let (wait, interval, rate) = if notifier.is_for_people() {
            (Duration::from_secs(2), Duration::from_secs(10), Rate::per_minute(30))
        } else {
            (Duration::ZERO, Duration::ZERO, Rate::per_minute(3_000))
        };
        Pace {
            together,
            at_once,
            group_wait: self.group_wait.unwrap_or(wait),
            group_interval: self.group_interval.unwrap_or(interval),
            rate: self.rate.unwrap_or(rate),
        }
    }
}

/// Delivers for one notifier.
#[derive(Debug)]
pub struct Courier {
    pub notifier: Arc<dyn Notifier>,
    pub terms: Terms,
    pub store: Arc<dyn Store>,
    pub clock: Clock,
    pub(crate) tally: Arc<Deliveries>,
}

/// What became of a notice.
struct Told {
    ids: Vec<i64>,
    taken: bool,
    /// The receiver understood it, and does not want it.
    refused: bool,
    /// How long the receiver asked to be left alone.
    pause: Option<Duration>,
    /// What could not be written down.
    unrecorded: Option<Vec<(i64, Attempt)>>,
}

/// What is to be told, as far as it is known, and what was not written down yet.
#[derive(Debug, Default)]
struct Desk {
    waiting: Vec<DueDelivery>,
    /// Told, or being told, and not written down, with their alerts.
    busy: BTreeMap<i64, String>,
    unrecorded: Vec<Vec<(i64, Attempt)>>,
    /// There may be more than is waiting here.
    stale: bool,
    /// When the outbox has more that is due.
    next_at: Option<Timestamp>,
    /// When it may be asked again, while something waits here already.
    ask_at: Option<Timestamp>,
    remind_at: Option<Timestamp>,
    /// What went out when that was asked for which is waiting here.
    passing: Passing,
    /// All that waits is due.
    hasten: bool,
    /// Since when the receiver has taken nothing; `None` when it took the last notice.
    failing_since: Option<Timestamp>,
    /// The latest time that was seen: the clock may go back.
    seen_at: Option<Timestamp>,
}

impl Courier {
    /// For a notifier whose deliveries nobody counts.
    pub fn new(
        notifier: Arc<dyn Notifier>,
        terms: Terms,
        store: Arc<dyn Store>,
        clock: Clock,
    ) -> Self {
        Self { notifier, terms, store, clock, tally: Arc::default() }
    }

    /// Delivers until `drain` turns true. What is on its way then is finished.
    pub async fn run(self, mut outbox: watch::Receiver<u64>, mut drain: Drain) {
        let pace = self.terms.pace(&*self.notifier);
        let mut scheduler = Scheduler::new(pace);
        // A server that was down does not know how long the receiver was.
        let mut desk = Desk { stale: true, failing_since: Some(Timestamp::MIN), ..Desk::default() };
        let mut sending = FuturesUnordered::new();
        while !drain.is_draining() {
            let now = self.clock.now();
            if desk.went_back(now) {
                scheduler.clock_went_back();
            }
            let hush = hush(&self.terms.quiet, now);
            if let Err(error) = self.look(&mut desk, &mut outbox, pace, hush.into()).await {
                let notifier = self.notifier.name();
                debug!(notifier, error = chain(&error), "the outbox waits");
                tokio::select! {
                    () = tokio::time::sleep(STORE_PAUSE) => {}
                    Some(told) = sending.next(), if !sending.is_empty() => {
                        self.close(told, &mut desk, &mut scheduler);
                    }
                    () = drain.wait() => {}
                }
                continue;
            }
            let candidates: Vec<_> =
                desk.waiting.iter().map(|delivery| self.candidate(delivery)).collect();
            let plan = scheduler.plan(&candidates, sending.len(), now);
            drop(candidates);
            for batch in desk.take(&plan.notices) {
                sending.push(self.tell(batch));
            }
            let wake =
                [plan.again_at, desk.wake(now), hush.map(|hush| hush.until)].into_iter().flatten();
            let wake = wake.min();
            let sleep = async {
                match wake {
                    Some(at) => self.clock.sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => desk.stale = true,
                Some(told) = sending.next(), if !sending.is_empty() => {
                    self.close(told, &mut desk, &mut scheduler);
                }
                changed = outbox.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    outbox.mark_unchanged();
                    desk.stale = true;
                }
                () = drain.wait() => {}
            }
        }
        while let Some(told) = sending.next().await {
            self.close(told, &mut desk, &mut scheduler);
        }
        // What could not be written down is told again after the next start, with the same id.
        drop(self.write_down(&mut desk).await);
    }

    /// Brings the desk up to date with the outbox, where that is worth the question.
    async fn look(
        &self,
        desk: &mut Desk,
        outbox: &mut watch::Receiver<u64>,
        pace: Pace,
        passing: Passing,
    ) -> Result<(), StoreError> {
        self.write_down(desk).await?;
        if desk.hasten {
            // Times that were set by a clock that was ahead are no reason to wait.
            let now = self.clock.now();
            self.store.delivery_hasten(self.notifier.name().to_owned(), now, now).await?;
            desk.hasten = false;
        }
        let (now, name) = (self.clock.now(), self.notifier.name());
        if let Some(every) = self.terms.repeat_every
            && desk.remind_at.is_none_or(|at| at <= now)
        {
            let told_before = clock::before(now, every);
            if self.store.delivery_repeat(name.to_owned(), told_before, now).await? {
                desk.stale = true;
            }
            let (least, most) = REMINDING;
            desk.remind_at = Some(clock::after(now, (every / 20).clamp(least, most)));
        }
        if std::mem::replace(&mut desk.passing, passing) != passing {
            desk.waiting.clear();
            desk.stale = true;
        }
        let (enough, limit) =
            if pace.together == 1 { (AT_ONCE, BATCH) } else { (MAX_TOGETHER, MAX_TOGETHER) };
        let full = desk.waiting.len() >= enough || desk.busy.len() >= pace.at_once;
        // Everyone who reports something new would have it asked anew.
        let too_soon = !desk.waiting.is_empty() && desk.ask_at.is_some_and(|at| at > now);
        if !desk.stale || full || too_soon {
            return Ok(());
        }
        let least = match passing {
            Passing::All => Severity::Info,
            Passing::From(severity) => severity,
            Passing::Nothing => {
                (desk.stale, desk.next_at) = (false, None);
                return Ok(());
            }
        };
        outbox.mark_unchanged();
        let asked = limit.saturating_add(desk.busy.len());
        let due = self.store.delivery_due(name.to_owned(), least, asked, now).await?;
        desk.stale = due.deliveries.len() >= asked;
        desk.next_at = due.next_at;
        desk.waiting = due.deliveries;
        let Desk { waiting, busy, .. } = desk;
        // Nor what else is to be told of an alert that is on its way: it must not arrive before.
        waiting.retain(|delivery| !busy.values().any(|alert| *alert == delivery.alert.alert_id));
        desk.ask_at = Some(clock::after(now, (pace.group_wait / 4).min(Duration::from_secs(1))));
        Ok(())
    }

    async fn write_down(&self, desk: &mut Desk) -> Result<(), StoreError> {
        while let Some(attempts) = desk.unrecorded.last() {
            self.store.delivery_record(attempts.clone()).await?;
            if let Some(attempts) = desk.unrecorded.pop() {
                desk.free(attempts.iter().map(|(id, _)| *id));
            }
        }
        Ok(())
    }

    fn candidate<'a>(&self, delivery: &'a DueDelivery) -> Candidate<'a> {
        let next = delivery.attempts.saturating_add(1);
        Candidate {
            cluster: &delivery.alert.cluster,
            due_at: delivery.due_at,
            // One message that a receiver does not take must not end those that are told with it.
            alone: delivery.attempts > 0 && next >= self.notifier.max_attempts(),
        }
    }

    fn close(&self, told: Told, desk: &mut Desk, scheduler: &mut Scheduler) {
        let Told { ids, taken, refused, pause, unrecorded } = told;
        if refused && ids.len() > 1 {
            scheduler.narrow(ids.len());
        } else if taken {
            scheduler.widen();
        }
        match unrecorded {
            None => desk.free(ids.into_iter()),
            // Busy until it is written down: it is not told again meanwhile.
            Some(attempts) => desk.unrecorded.push(attempts),
        }
        let now = self.clock.now();
        desk.failing_since = (!taken).then(|| desk.failing_since.unwrap_or(now));
        desk.stale = true;
        if let Some(pause) = pause {
            scheduler.pause_until(clock::after(self.clock.now(), pause.min(LONGEST_PAUSE)));
        }
    }

    async fn tell(&self, batch: Batch) -> Told {
        let Batch { deliveries, after_failure } = batch;
        let messages = deliveries.iter().map(|delivery| Message {
            alert: &delivery.alert,
            state: delivery.state,
            repeat: delivery.repeat,
        });
        let notice = Notice { messages: messages.collect() };
        let delivering = self.notifier.deliver(&notice, &self.clock);
        let taken = match tokio::time::timeout(LONGEST_DELIVERY, delivering).await {
            Ok(taken) => taken,
            Err(_) => Err(NotTaken::because("did not end in time")),
        };
        let now = self.clock.now();
        let attempts = self.outcomes(&deliveries, &taken, now);
        self.log(&deliveries, &taken, &attempts);
        let ids = deliveries.iter().map(|delivery| delivery.delivery_id).collect();
        let recorded = self.store.delivery_record(attempts.clone()).await;
        // It is there again. One that takes some and not others is not asked for all again at once.
        let was_away = after_failure.is_some_and(|since| clock::after(since, SOON) <= now);
        if taken.is_ok() && was_away && recorded.is_ok() {
            let later_than = clock::after(now, SOON);
            let hasten =
                self.store.delivery_hasten(self.notifier.name().to_owned(), later_than, now);
            if let Err(error) = hasten.await {
                debug!(error = chain(&error), "what waits is told later");
            }
        }
        Told {
            ids,
            taken: taken.is_ok(),
            refused: taken.as_ref().is_err_and(|error| error.refused),
            pause: taken.err().and_then(|error| error.retry_after),
            unrecorded: recorded.is_err().then_some(attempts),
        }
    }

    fn outcomes(
        &self,
        deliveries: &[DueDelivery],
        taken: &Result<(), NotTaken>,
        now: Timestamp,
    ) -> Vec<(i64, Attempt)> {
        // The same for all of a notice, so that they stay together.
        let tried = deliveries.iter().map(|delivery| delivery.attempts).max().unwrap_or_default();
        let delay = backoff::delay(tried.saturating_add(1), rand::random());
        let outcome = |delivery: &DueDelivery| match taken {
            Ok(()) => Attempt::Delivered { at: now },
            Err(error) if delivery.attempts.saturating_add(1) >= self.notifier.max_attempts() => {
                Attempt::GivenUp { at: now, error: error.to_string() }
            }
            Err(error) => {
                let asked = error.retry_after.unwrap_or_default().min(LONGEST_PAUSE);
                let next_at = clock::after(now, delay.max(asked));
                Attempt::RetryAt { next_at, error: error.to_string() }
            }
        };
        deliveries.iter().map(|delivery| (delivery.delivery_id, outcome(delivery))).collect()
    }

    fn log(
        &self,
        deliveries: &[DueDelivery],
        taken: &Result<(), NotTaken>,
        attempts: &[(i64, Attempt)],
    ) {
        let name = self.notifier.name();
        let first = deliveries.first();
        let alert_id = first.map(|first| &*first.alert.alert_id).unwrap_or_default();
        let state = first.map(|first| first.state.as_str()).unwrap_or_default();
        let messages = deliveries.len();
        if let Err(error) = taken {
            debug!(notifier = name, alert_id, state, messages, error = %error, "was not taken");
        } else {
            info!(notifier = name, alert_id, state, messages, "delivered");
        }
        for (delivery, (_, attempt)) in deliveries.iter().zip(attempts) {
            match attempt {
                Attempt::Delivered { at } => self.tally.delivered(name, latency(delivery, *at)),
                Attempt::RetryAt { .. } => self.tally.retried(name),
                Attempt::GivenUp { error, .. } => {
                    let alert_id = &delivery.alert.alert_id;
                    let tried = delivery.attempts.saturating_add(1);
                    warn!(notifier = name, alert_id, tried, error, "gave up on an alert");
                    self.tally.given_up(name);
                }
            }
        }
    }
}

/// How long after it happened people were told; `None` for reminders, which are late on purpose.
fn latency(delivery: &DueDelivery, now: Timestamp) -> Option<Duration> {
    let alert = &delivery.alert;
    let happened = match delivery.state {
        AlertState::Firing => Some(alert.started_at),
        AlertState::Resolved => alert.ended_at,
    };
    let happened = happened.filter(|_| delivery.repeat == 0)?;
    Some(Duration::try_from(now.duration_since(happened)).unwrap_or_default())
}

/// Messages that are told together.
struct Batch {
    deliveries: Vec<DueDelivery>,
    /// Since when the receiver has taken nothing.
    after_failure: Option<Timestamp>,
}

impl Desk {
    /// Takes what a plan says out of what is waiting.
    fn take(&mut self, notices: &[Vec<usize>]) -> Vec<Batch> {
        if notices.is_empty() {
            return Vec::new();
        }
        let mut waiting: Vec<_> = std::mem::take(&mut self.waiting).into_iter().map(Some).collect();
        let mut pick = |place: &usize| waiting.get_mut(*place).and_then(Option::take);
        let batches: Vec<_> = notices
            .iter()
            .map(|places| Batch {
                deliveries: places.iter().filter_map(&mut pick).collect(),
                after_failure: self.failing_since,
            })
            .collect();
        self.waiting = waiting.into_iter().flatten().collect();
        let taken = batches.iter().flat_map(|batch| &batch.deliveries);
        let busy = |delivery: &DueDelivery| (delivery.delivery_id, delivery.alert.alert_id.clone());
        self.busy.extend(taken.map(busy));
        batches
    }

    fn free(&mut self, ids: impl Iterator<Item = i64>) {
        for id in ids {
            self.busy.remove(&id);
        }
    }

    /// Notes what time it is. Whether the clock went back: then nothing waits for a time that was set before.
    fn went_back(&mut self, now: Timestamp) -> bool {
        let back = self.seen_at.is_some_and(|seen| now < clock::before(seen, STEP));
        self.seen_at = Some(now);
        if back {
            (self.ask_at, self.remind_at, self.next_at) = (None, None, None);
            (self.stale, self.hasten) = (true, true);
        }
        back
    }

    /// When there is something to do, if nothing happens before.
    fn wake(&self, now: Timestamp) -> Option<Timestamp> {
        let ask_at = self.ask_at.filter(|_| self.stale && !self.waiting.is_empty());
        // What has passed was seen, or is seen when something that is on its way ends.
        let coming = |at: &Timestamp| *at > now;
        [self.next_at, ask_at, self.remind_at].into_iter().flatten().filter(coming).min()
    }
}
