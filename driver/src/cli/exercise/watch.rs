//! Looks after a round: one that does not come to its end is told, with the place, and ends the program.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use ioat_stage::sync::Mutex;

use super::facts::{Found, Kind};
use crate::cli::exit;

/// Says what goes on, and how long it may.
pub(crate) struct Watch {
    news: Sender<News>,
    stage: Arc<Mutex<&'static str>>,
}

enum News {
    Begins(Duration),
    IsOver,
}

impl Watch {
    /// Watches over rounds whose facts go to `found`. `tell` prints them when one hangs.
    pub(crate) fn start(found: Found, tell: impl Fn(&super::Facts) + Send + 'static) -> Self {
        let (news, told) = channel();
        let stage = Arc::new(Mutex::new("starting"));
        let of = stage.clone();
        thread::spawn(move || watch(&told, &of, &found, &tell));
        Self { news, stage }
    }

    /// A round begins: it may take so long.
    pub(crate) fn begin(&self, limit: Duration) {
        self.tell(News::Begins(limit));
    }

    /// What it does now.
    pub(crate) fn stage(&self, stage: &'static str) {
        *self.stage.lock() = stage;
    }

    /// It came to its end.
    pub(crate) fn over(&self) {
        self.tell(News::IsOver);
    }

    fn tell(&self, news: News) {
        // The thread ends with this sender, not before.
        let _ = self.news.send(news);
    }
}

fn watch(told: &Receiver<News>, stage: &Mutex<&'static str>, found: &Found, tell: &dyn Fn(&super::Facts)) {
    let mut limit = None;
    loop {
        let news = match limit {
            None => told.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(limit) => told.recv_timeout(limit),
        };
        match news {
            Ok(News::Begins(within)) => limit = Some(within),
            Ok(News::IsOver) => limit = None,
            Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {
                let ms = limit.unwrap_or_default().as_millis();
                found.note(Kind::Hang, format!("no end of {} after {ms} ms", *stage.lock()));
                tell(&found.take());
                // Nothing can be given back in order: what hangs holds it.
                std::process::exit(exit::FAILED.into());
            }
        }
    }
}
