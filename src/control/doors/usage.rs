//! When a stack was last used: counted in memory, written down once a minute.

use super::super::{Control, Result};
use crate::model::id::StackId;
use crate::model::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

/// When the apps of a stack were asked for something, and how many answers are under way.
#[derive(Debug, Default)]
pub struct Usage {
    last: AtomicI64,
    written: AtomicI64,
    open: AtomicUsize,
}

/// A request or a connection under way; its end counts as use, too.
#[derive(Debug)]
pub struct InUse {
    usage: Arc<Usage>,
    control: Control,
}

impl Drop for InUse {
    fn drop(&mut self) {
        self.usage.last.fetch_max(self.control.now().0, Ordering::Relaxed);
        self.usage.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Usage {
    fn last(&self, now: Timestamp) -> i64 {
        if self.open.load(Ordering::Relaxed) > 0 {
            now.0
        } else {
            self.last.load(Ordering::Relaxed)
        }
    }
}

impl Control {
    /// Notes that a stack is used for as long as what is returned lives.
    pub fn begin_use(&self, usage: &Arc<Usage>) -> InUse {
        usage.open.fetch_add(1, Ordering::Relaxed);
        InUse {
            usage: Arc::clone(usage),
            control: self.clone(),
        }
    }

    /// When someone last asked an app of this stack for something through its address; nothing where nobody has yet.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn last_used(&self, stack: &StackId) -> Result<Option<Timestamp>> {
        let here = self.doors.used().get(stack).map(|usage| usage.last(self.now()));
        let written = self.store.stack_use(stack).await?;
        Ok(written.max(here.filter(|at| *at > 0).map(Timestamp)))
    }

    /// Writes down when stacks were last used, where that is later than what is written.
    ///
    /// # Errors
    /// None but the store's.
    pub async fn flush_usage(&self) -> Result<()> {
        let now = self.now();
        let all: Vec<_> = self
            .doors
            .used()
            .iter()
            .map(|(stack, usage)| (stack.clone(), Arc::clone(usage), usage.last(now)))
            .filter(|(_, usage, last)| *last > usage.written.load(Ordering::Relaxed))
            .collect();
        if all.is_empty() {
            return Ok(());
        }
        let mut tx = self.store.journal().await?;
        for (stack, _, last) in &all {
            tx.mark_stack_used(stack, Timestamp(*last)).await?;
        }
        tx.commit().await?;
        for (_, usage, last) in all {
            usage.written.store(last, Ordering::Relaxed);
        }
        Ok(())
    }
}
