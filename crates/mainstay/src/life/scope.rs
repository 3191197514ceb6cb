//! Scopes: every task has a name and an owner that joins it.
//!
//! A panic in a task is caught, logged once with the task's name and place, and then
//! - in an *essential* task raises the alarm, upon which the node stops in order;
//! - in a *restartable* task starts it anew after a growing pause;
//! - in a *contained* task costs that task alone (one connection).

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Unfinished;
use super::rare::Rare;

/// First pause before a restartable task starts anew; doubles up to [`RESTART_PAUSE_MAX`].
const RESTART_PAUSE: Duration = Duration::from_millis(100);
/// Longest pause before a restart.
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(10);

/// Owner of tasks. Cloning gives another handle to the same scope.
#[derive(Clone)]
pub struct Scope {
    inner: Arc<Inner>,
}

struct Inner {
    name: &'static str,
    tracker: TaskTracker,
    /// Asks tasks to end.
    closing: CancellationToken,
    /// Ends them.
    kill: CancellationToken,
    /// Running tasks by name, to say what did not end.
    running: Mutex<BTreeMap<&'static str, usize>>,
    alarm: watch::Sender<Option<String>>,
}

/// Tells when an essential task has panicked.
#[derive(Clone)]
pub struct Alarm {
    receiver: watch::Receiver<Option<String>>,
}

impl Alarm {
    /// Waits for the first panic of an essential task; returns the task's name. Cancel safe.
    pub async fn raised(&mut self) -> String {
        match self.receiver.wait_for(Option::is_some).await {
            Ok(name) => name.clone().unwrap_or_default(),
            // Every scope is gone: nothing can panic any more.
            Err(_) => std::future::pending().await,
        }
    }
}

impl Scope {
    /// A scope without tasks, and the alarm of its essential ones.
    pub fn new(name: &'static str) -> (Self, Alarm) {
        let (alarm, receiver) = watch::channel(None);
        (Self::with_alarm(name, alarm), Alarm { receiver })
    }

    /// A scope of its own that raises the same alarm.
    pub fn sibling(&self, name: &'static str) -> Self {
        Self::with_alarm(name, self.inner.alarm.clone())
    }

    fn with_alarm(name: &'static str, alarm: watch::Sender<Option<String>>) -> Self {
        let inner = Inner {
            name,
            tracker: TaskTracker::new(),
            closing: CancellationToken::new(),
            kill: CancellationToken::new(),
            running: Mutex::default(),
            alarm,
        };
        Self { inner: Arc::new(inner) }
    }

    /// Completes when the scope is asked to close. Tasks wait for it beside their work.
    pub fn closing(&self) -> CancellationToken {
        self.inner.closing.clone()
    }

    /// Starts an essential task: its panic stops the node in order.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let alarm = self.inner.alarm.clone();
        let guarded = Guarded::new(name, task);
        self.start(name, async move {
            if guarded.await.is_err() {
                alarm.send_if_modified(|raised| raised.replace(name.to_owned()).is_none());
            }
        });
    }

    /// Starts a task whose panic costs only itself.
    pub fn spawn_contained(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        // Boxed here: each of the wrappers around it would copy the task as it is, and those of streams are large.
        let guarded = Guarded::new(name, task);
        self.start(name, async move {
            // The panic is logged; there is nobody else to tell.
            let _ = guarded.await;
        });
    }

    /// Starts a task that is made anew after a panic, also of its making. The pause doubles each time and begins
    /// small again after a run that was longer than the longest pause.
    pub fn spawn_restartable<F, Fut>(&self, name: &'static str, mut make: F)
    where
        F: FnMut() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let closing = self.closing();
        self.start(name, async move {
            let mut pause = RESTART_PAUSE;
            loop {
                let begun = tokio::time::Instant::now();
                if Guarded::new(name, async { make().await }).await.is_ok() {
                    return;
                }
                if begun.elapsed() > RESTART_PAUSE_MAX {
                    pause = RESTART_PAUSE;
                }
                tracing::warn!(task = name, pause_ms = pause.as_millis() as u64, "task starts anew");
                if closing.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                    return;
                }
                pause = (pause * 2).min(RESTART_PAUSE_MAX);
            }
        });
    }

    fn start(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let running = Running::new(Arc::clone(&self.inner), name);
        let kill = self.inner.kill.clone();
        self.inner.tracker.spawn(async move {
            let _running = running;
            let mut killed = pin!(Rare::new(kill.cancelled_owned()));
            tokio::select! {
                biased;
                () = task => {}
                () = killed.as_mut() => {}
            }
        });
    }

    /// Asks every task to end, waits until `deadline`, ends the rest, and joins them all.
    pub async fn close(&self, deadline: tokio::time::Instant) -> Result<(), Unfinished> {
        self.inner.tracker.close();
        self.inner.closing.cancel();
        if tokio::time::timeout_at(deadline, self.inner.tracker.wait()).await.is_ok() {
            return Ok(());
        }
        let unfinished = self.running().into_iter().map(|(name, count)| format!("{count} {name}")).collect();
        self.inner.kill.cancel();
        self.inner.tracker.wait().await;
        Err(Unfinished { part: self.inner.name.into(), unfinished })
    }

    /// Running tasks by name.
    pub fn running(&self) -> BTreeMap<&'static str, usize> {
        self.inner.running.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Counts one running task for as long as it lives.
struct Running {
    inner: Arc<Inner>,
    name: &'static str,
}

impl Running {
    fn new(inner: Arc<Inner>, name: &'static str) -> Self {
        *inner.running.lock().unwrap_or_else(PoisonError::into_inner).entry(name).or_default() += 1;
        Self { inner, name }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let mut running = self.inner.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = running.get_mut(self.name) {
            *count -= 1;
            if *count == 0 {
                running.remove(self.name);
            }
        }
    }
}

/// A task panicked; it has been logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

/// A future whose panics are caught and logged with a name.
pub struct Guarded<F> {
    name: &'static str,
    future: Pin<Box<F>>,
}

impl<F: Future> Guarded<F> {
    /// Guards `future` under `name`.
    pub fn new(name: &'static str, future: F) -> Self {
        Self { name, future: Box::pin(future) }
    }
}

impl<F: Future> Future for Guarded<F> {
    type Output = Result<F::Output, Panicked>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match guarded(self.name, || self.future.as_mut().poll(context)) {
            Ok(polled) => polled.map(Ok),
            Err(panicked) => Poll::Ready(Err(panicked)),
        }
    }
}

/// Runs `work` and logs its panic with a name. A panic that only passes on a [`Panicked`] was logged where it
/// happened and is not logged again.
pub fn guarded<T>(name: &'static str, work: impl FnOnce() -> T) -> Result<T, Panicked> {
    let outer = GUARDED.replace(Some(String::new()));
    let done = catch_unwind(AssertUnwindSafe(work));
    let place = GUARDED.replace(outer).unwrap_or_default();
    done.map_err(|payload| {
        if !payload.is::<Panicked>() {
            tracing::error!(task = name, panic = message(&*payload), place, "task panicked");
        }
        Panicked
    })
}

thread_local! {
    /// Set while a guarded future is polled on this thread; takes the place of its panic.
    static GUARDED: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Sends panics to the log: those of guarded tasks through their guard, all others at once.
pub fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let guarded = GUARDED.with_borrow_mut(|it| it.as_mut().map(|slot| slot.clone_from(&place)).is_some());
        if !guarded {
            let thread = std::thread::current();
            let thread = thread.name().unwrap_or("unnamed");
            tracing::error!(thread, panic = message(panic.payload()), place, "thread panicked");
        }
    }));
}

fn message(payload: &(dyn Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("not a text")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::Instant;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn closing_joins_every_task() {
        let (scope, _alarm) = Scope::new("test");
        let ended = Arc::new(AtomicUsize::new(0));
        for _ in 0..3 {
            let (closing, ended) = (scope.closing(), Arc::clone(&ended));
            scope.spawn("worker", async move {
                closing.cancelled().await;
                ended.fetch_add(1, Ordering::SeqCst);
            });
        }
        assert_eq!(scope.running(), BTreeMap::from([("worker", 3)]));
        assert_eq!(scope.close(soon()).await, Ok(()));
        assert_eq!(ended.load(Ordering::SeqCst), 3);
        assert!(scope.running().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_not_end_is_named_and_ended() {
        let (scope, _alarm) = Scope::new("api");
        scope.spawn_contained("connection", std::future::pending());
        scope.spawn_contained("connection", std::future::pending());
        let unfinished = scope.close(soon()).await.expect_err("two tasks never end");
        assert_eq!(unfinished.unfinished, ["2 connection"]);
        assert!(scope.running().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_of_an_essential_task_raises_the_alarm_with_its_name() {
        let (scope, mut alarm) = Scope::new("test");
        let other = scope.sibling("other");
        other.spawn("heart", async { panic!("stopped beating") });
        assert_eq!(alarm.raised().await, "heart");
        assert_eq!(scope.close(soon()).await, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_restartable_task_starts_anew_and_a_contained_one_costs_only_itself() {
        let (scope, mut alarm) = Scope::new("test");
        let runs = Arc::new(AtomicUsize::new(0));
        let (done, mut finished) = watch::channel(false);
        let seen = Arc::clone(&runs);
        scope.spawn_restartable("follower", move || {
            let (runs, done) = (Arc::clone(&seen), done.clone());
            async move {
                assert!(runs.fetch_add(1, Ordering::SeqCst) >= 2, "not yet");
                done.send_replace(true);
            }
        });
        scope.spawn_contained("connection", async { panic!("bad luck") });
        finished.wait_for(|it| *it).await.expect("the third run succeeds");
        assert_eq!(runs.load(Ordering::SeqCst), 3);
        assert_eq!(scope.close(soon()).await, Ok(()));
        let raised = tokio::time::timeout(Duration::from_secs(1), alarm.raised()).await;
        assert!(raised.is_err(), "no alarm for either");
    }
}
