//! scratch measurement
#![allow(clippy::all, reason = "x")]
use atrest_tests::vm::{Contents, Machine, Spec, Tier};
use std::time::{Duration, Instant};
fn main() -> anyhow::Result<()> {
    let started = Instant::now();
    let tier = Tier::prepare()??;
    println!("tier {:?}", started.elapsed());
    let this = std::env::current_exe()?;
    let dir = this.parent().unwrap().to_owned();
    let mut c = Contents::new();
    for p in ["atrest-agent", "atrest-server", "atrestctl"] {
        c = c.program(p, &dir.join(p));
    }
    let spec = Spec {
        kernel: tier.kernel().image.clone(),
        initramfs: tier.initramfs(&c)?,
        memory_mib: 768,
        disks: 3,
        disk_mib: 128,
        limit: Duration::from_secs(120),
    };
    println!("initramfs {:?}", started.elapsed());
    let mut m = Machine::boot(&spec, tier.scratch())?;
    println!("boot {:?}", started.elapsed());
    for a in std::env::args().skip(1) {
        let s = Instant::now();
        let script = std::fs::read_to_string(&a)?;
        let st = m.stream(&script, Duration::from_secs(120), |b| {
            print!("{}", String::from_utf8_lossy(b))
        })?;
        println!("== {a} status {st} took {:?}", s.elapsed());
    }
    Ok(())
}
