//! Notices that the clock was set, or that the machine slept: `TFD_TIMER_CANCEL_ON_SET` of `timerfd_create(2)`.
//!
//! The kernel treats waking up as a set clock. What was changed on a disk while the machine was off is not announced.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// In seconds since 1970: never, as the kernel's time ends in 2262.
const NEVER: i64 = 9_000_000_000;

#[derive(Debug)]
pub(super) struct Clock {
    timer: OwnedFd,
}

impl Clock {
    pub(super) fn open() -> rustix::io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let clock = Self { timer: timerfd_create(TimerfdClockId::Realtime, flags)? };
        clock.arm()?;
        Ok(clock)
    }

    fn arm(&self) -> rustix::io::Result<()> {
        let never = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec { tv_sec: NEVER, tv_nsec: 0 },
        };
        let flags = TimerfdTimerFlags::ABSTIME | TimerfdTimerFlags::CANCEL_ON_SET;
        timerfd_settime(&self.timer, flags, &never).map(drop)
    }

    /// Whether it jumped since the last call.
    pub(super) fn jumped(&self) -> rustix::io::Result<bool> {
        let mut count = [0_u8; 8];
        match rustix::io::read(&self.timer, &mut count[..]) {
            Err(Errno::AGAIN | Errno::INTR) => Ok(false),
            Ok(_) | Err(Errno::CANCELED) => self.arm().map(|()| true),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for Clock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.timer.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_nobody_set_did_not_jump() {
        assert!(!Clock::open().unwrap().jumped().unwrap());
    }
}
