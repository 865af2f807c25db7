//! Which system calls are refused (`seccomp(2)`), with `EPERM`.
//!
//! What is harmful is named, and not what is needed: libraries come to need others, and the units of systemd name what is
//! needed as well.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch,
};
use thiserror::Error;

/// Why nothing is refused.
#[derive(Debug, Error)]
pub enum CallsError {
    #[error(transparent)]
    Filter(#[from] BackendError),
    #[error(transparent)]
    Install(#[from] seccompiler::Error),
}

/// What looks into other processes, changes the machine or its view of it, or goes by ways that filters do not see. No part
/// of the agent does any of it.
pub(super) const MEDDLING: &[c_long] = &[
    libc::SYS_acct,
    libc::SYS_add_key,
    libc::SYS_adjtimex,
    libc::SYS_bpf,
    libc::SYS_chroot,
    libc::SYS_clock_adjtime,
    libc::SYS_clock_settime,
    libc::SYS_delete_module,
    libc::SYS_finit_module,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_init_module,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_io_uring_setup,
    libc::SYS_kcmp,
    libc::SYS_kexec_file_load,
    libc::SYS_kexec_load,
    libc::SYS_keyctl,
    libc::SYS_mknodat,
    libc::SYS_mount,
    libc::SYS_mount_setattr,
    libc::SYS_move_mount,
    libc::SYS_open_by_handle_at,
    libc::SYS_open_tree,
    libc::SYS_perf_event_open,
    libc::SYS_pidfd_getfd,
    libc::SYS_pivot_root,
    libc::SYS_process_madvise,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_ptrace,
    libc::SYS_quotactl,
    libc::SYS_reboot,
    libc::SYS_request_key,
    libc::SYS_setdomainname,
    libc::SYS_sethostname,
    libc::SYS_setns,
    libc::SYS_settimeofday,
    libc::SYS_swapoff,
    libc::SYS_swapon,
    libc::SYS_syslog,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_userfaultfd,
    libc::SYS_vhangup,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_mknod,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_modify_ldt,
];

/// What starts other programs, or tells other processes something.
pub(super) const STARTING: &[c_long] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_kill,
    libc::SYS_pidfd_send_signal,
    libc::SYS_rt_sigqueueinfo,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

/// Which sockets can be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sockets {
    /// Of this machine and of the internet.
    Internet,
    /// Of this machine, and of the kernel.
    Kernel,
    None,
}

impl Sockets {
    const fn families(self) -> &'static [i32] {
        match self {
            Self::Internet => &[libc::AF_UNIX, libc::AF_INET, libc::AF_INET6],
            Self::Kernel => &[libc::AF_UNIX, libc::AF_NETLINK],
            Self::None => &[],
        }
    }

    /// One rule: a family that is none of these. Without any, whatever the family is.
    fn rules(self) -> Result<Vec<SeccompRule>, BackendError> {
        let conditions: Result<Vec<SeccompCondition>, BackendError> = self
            .families()
            .iter()
            .map(|family| {
                let family = u64::from(family.unsigned_abs());
                SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family)
            })
            .collect();
        let conditions = conditions?;
        if conditions.is_empty() {
            return Ok(Vec::new());
        }
        Ok(vec![SeccompRule::new(conditions)?])
    }
}

/// Holds for this thread and all that it starts, for good.
pub(super) fn forbid(calls: &[c_long], sockets: Sockets) -> Result<(), CallsError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        calls.iter().map(|call| (*call, Vec::new())).collect();
    for call in [libc::SYS_socket, libc::SYS_socketpair] {
        rules.insert(call, sockets.rules()?);
    }
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let arch = TargetArch::try_from(std::env::consts::ARCH)?;
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, refused, arch)?;
    let program: BpfProgram = filter.try_into()?;
    seccompiler::apply_filter(&program)?;
    Ok(())
}
