//! The composition root: opens the state, starts the parts, and drains them in order.

mod names;
mod operators;
mod own;

use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic_health::server::HealthReporter;
use tracing::{error, info, warn};

use crate::alert::Policy;
use crate::archive::Archive;
use crate::authority::{Authority, AuthorityError};
use crate::certificate_files::{CertificateFileError, CertificateFiles};
use crate::clock::Clock;
use crate::config::Config;
use crate::directory::Directory;
use crate::drain::{self, Drain, Drainer};
use crate::fleet::cluster::Patience;
use crate::grpc::{self, Context, Limits, Rates, Throttles};
use crate::hub::{Hub, Settings};
use crate::journal::{Journal, Retention};
use crate::logging::chain;
use crate::metrics::{Counters, Deliveries};
use crate::notify::courier::Courier;
use crate::notify::{self, OpenError as NotifierError};
use crate::state_dir::{StateDir, StateError};
use crate::store::sqlite::{OpenError, Sqlite};
use crate::store::{Store, StoreError};
use crate::tls::{self, Places, ServerCertificate};
pub(crate) use names::hostname;
use names::{public_address, server_names};
pub use operators::check_files;
use operators::operators;
pub(crate) use own::OwnCertificates;

/// The admin token that is made at first start.
pub const ADMIN_TOKEN_FILE: &str = "admin.token";
/// The fleet, in the state directory.
pub const DATABASE_FILE: &str = "atrest.db";
/// How often the store is told who was heard of.
const FLUSH: Duration = Duration::from_secs(15);
/// How often what is too old is thrown away.
const PRUNE: Duration = Duration::from_hours(1);
/// How often the server looks at its own certificates.
const LOOK: Duration = Duration::from_hours(1);
/// How often certificates that come as files are read again.
const RELOAD: Duration = Duration::from_mins(1);
/// How often at most, and at least, it is looked who has fallen silent.
const SWEEPS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// How long streams and deliveries may take to end.
const DRAIN: Duration = Duration::from_secs(10);

/// Why the server did not start, with what to do about it.
#[derive(Debug, Error)]
pub enum StartError {
    #[error(transparent)]
    State(#[from] StateError),
    #[error("no certificate authority")]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Store(#[from] OpenError),
    #[error("could not read the fleet")]
    Fleet(#[from] StoreError),
    #[error(transparent)]
    Notifier(#[from] NotifierError),
    #[error("operator `{name}`: no token")]
    OperatorToken {
        name: String,
        #[source]
        source: StateError,
    },
    #[error("operator `{name}`: {file} is empty: put a token into it")]
    EmptyToken { name: String, file: PathBuf },
    #[error("no certificate for operators: `operators.certificate_file` and `operators.key_file`")]
    Certificate(#[from] CertificateFileError),
    #[error("could not set up TLS")]
    Tls(#[from] rustls::Error),
    #[error("could not listen on {address} (`{key}` in the configuration)")]
    Listen {
        key: &'static str,
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
}

/// A server that runs.
#[derive(Debug)]
pub struct Running {
    /// The agents' port.
    pub agents_addr: SocketAddr,
    /// The operators' port.
    pub operators_addr: SocketAddr,
    pub hub: Arc<Hub>,
    journal: Arc<Journal>,
    state_dir: PathBuf,
    drain: Drainer,
    health: Vec<HealthReporter>,
    ports: Vec<JoinHandle<()>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Running {
    /// The certificate that operators and agents trust.
    pub fn authority_file(&self) -> PathBuf {
        self.state_dir.join(crate::authority::CERTIFICATE_FILE)
    }

    pub fn admin_token_file(&self) -> PathBuf {
        self.state_dir.join(ADMIN_TOKEN_FILE)
    }

    /// Takes nothing new, finishes what was taken, tells the agents, and writes down what is left.
    pub async fn shutdown(self) {
        info!("draining");
        for reporter in &self.health {
            for service in ["", "atrest.v1.AgentService", "atrest.v1.FleetService"] {
                let status = tonic_health::ServingStatus::NotServing;
                reporter.set_service_status(service, status).await;
            }
        }
        self.drain.drain();
        end("ports", self.ports).await;
        end("tasks", self.tasks).await;
        self.hub.flush().await;
        self.journal.flush().await;
        drop(self.journal);
        // The last reference waits for the store's threads.
        let hub = self.hub;
        if tokio::task::spawn_blocking(move || drop(hub)).await.is_err() {
            error!("the store did not end well");
        }
        info!("stopped");
    }
}

async fn end(what: &'static str, tasks: Vec<JoinHandle<()>>) {
    let handles: Vec<_> = tasks.iter().map(JoinHandle::abort_handle).collect();
    let all = futures_util::future::join_all(tasks);
    if tokio::time::timeout(DRAIN, all).await.is_err() {
        warn!(what, "some did not end in time and were cut off");
        for handle in handles {
            handle.abort();
        }
    }
}

/// Starts a server.
pub async fn start(config: Config) -> Result<Running, StartError> {
    start_with(config, Clock::system(), |path| Ok(Arc::new(Sqlite::open(path)?))).await
}

/// Starts a server with a clock and a store of the caller's choice. For tests.
pub async fn start_with(
    config: Config,
    clock: Clock,
    open_store: impl FnOnce(&Path) -> Result<Arc<dyn Store>, OpenError>,
) -> Result<Running, StartError> {
    raise_descriptor_limit();
    let now = clock.now();
    let state = StateDir::open(&config.state_dir)?;
    let authority = Arc::new(Authority::open(&state, now)?);
    let configured = operators(&state, &config.operators.tokens)?;
    let notifiers: Arc<[_]> = notify::build(&config.notify)?.into();
    let names: Vec<_> = notifiers.iter().map(|notifier| notifier.name().to_owned()).collect();
    let deliveries = Arc::new(Deliveries::of(names.iter().map(String::as_str)));
    let store = open_store(&state.path(DATABASE_FILE))?;
    let settings = Settings {
        policy: Policy { min_severity: config.alerts.min_severity },
        routes: Arc::new(config.routing.routes(names)),
        silent_after: config.agents.silent_after,
        patience: Patience {
            node: config.clusters.missing_after,
            keystores: config.clusters.keystores_settle,
        },
    };
    let operators = Arc::new(Directory::open(Arc::clone(&store), configured).await?);
    let retention =
        Retention { keep_for: config.audit.keep_for, max_entries: config.audit.max_entries };
    let journal = Arc::new(Journal::new(Arc::clone(&store), clock.clone(), retention));
    journal.prune().await;
    let archive =
        Arc::new(Archive::new(Arc::clone(&store), clock.clone(), config.history.keep_for));
    let hub = Arc::new(Hub::open(Arc::clone(&store), settings, clock.clone()).await?);

    let agents = listen("agents.listen", config.agents.listen).await?;
    let operators_port = listen("operators.listen", config.operators.listen).await?;
    let (agents_addr, operators_addr) = (agents.1, operators_port.1);
    let hostname = hostname();
    let public_address = public_address(&config.agents.public_address, &hostname, agents_addr);
    let names = server_names(&config, &hostname, &public_address);
    let lifetime = config.authority.server_certificate_lifetime;
    let certificate =
        Arc::new(ServerCertificate::new(authority.issue_server(&names, lifetime, now)?));

    let for_operators = match &config.operators.certificate {
        None => Arc::clone(&certificate),
        Some(files) => Arc::new(ServerCertificate::new(files.load()?)),
    };
    let own = OwnCertificates {
        authority: Arc::clone(&authority),
        server: Arc::clone(&certificate),
        operators: config.operators.certificate.as_ref().map(|_| Arc::clone(&for_operators)),
    };
    own.look(&hub, &hostname).await;

    let (drain, draining) = drain::channel();
    let counters = Arc::<Counters>::default();
    let context = Context {
        hub: Arc::clone(&hub),
        store: Arc::clone(&store),
        operators,
        journal: Arc::clone(&journal),
        authority: Arc::clone(&authority),
        clock: clock.clone(),
        drain: draining.clone(),
        counters: Arc::clone(&counters),
        deliveries: Arc::clone(&deliveries),
        own: own.clone(),
        notifiers: Arc::clone(&notifiers),
        throttles: Arc::new(Throttles::new(Rates::new(
            config.limits.messages_per_second,
            config.limits.kib_per_second << 10,
            config.limits.patience,
        ))),
        limits: Limits {
            public_address: public_address.clone(),
            heartbeat_interval: config.agents.heartbeat_interval,
            max_report: config.agents.max_report_mib << 20,
            agent_certificate_lifetime: config.authority.agent_certificate_lifetime,
            token_lifetime: config.enrollment.token_lifetime,
            failures_per_minute: config.enrollment.failures_per_minute,
            rejoin_within: config.enrollment.rejoin.then_some(config.enrollment.rejoin_within),
            enrolments_per_second: (
                config.enrollment.per_second_per_address,
                config.enrollment.per_second,
            ),
            max_path_series: config.metrics.max_path_series,
        },
    };
    let agents = tls::accept(
        agents.0,
        tls::agents_config(Arc::clone(&certificate), &authority.authorities(), clock.clone())?,
        Places::new(config.agents.max_connections)
            .per_certificate(config.limits.connections_per_certificate, Arc::clone(&counters)),
        draining.clone(),
    );
    let operators_port = tls::accept(
        operators_port.0,
        tls::operators_config(Arc::clone(&for_operators))?,
        Places::new(config.operators.max_connections),
        draining.clone(),
    );
    let [agents_health, operators_health] = [HealthReporter::new(), HealthReporter::new()];
    let health = vec![agents_health.clone(), operators_health.clone()];
    let ports = vec![
        port("agents", grpc::serve_agents(context.clone(), agents, agents_health)),
        port("operators", grpc::serve_operators(context, operators_port, operators_health)),
    ];
    let mut tasks = vec![
        every(FLUSH, &clock, &draining, Arc::clone(&hub), |hub| async move { hub.flush().await }),
        every(FLUSH, &clock, &draining, Arc::clone(&journal), |journal| async move {
            journal.flush().await;
        }),
        every(PRUNE, &clock, &draining, Arc::clone(&journal), |journal| async move {
            journal.prune().await;
        }),
        every(PRUNE, &clock, &draining, Arc::clone(&archive), |archive| async move {
            archive.prune().await;
        }),
        // A server that is often started anew never waits that long.
        tokio::spawn(async move { archive.prune().await }),
        every(sweep_interval(config.agents.silent_after), &clock, &draining, Arc::clone(&hub), {
            |hub| async move { hub.sweep().await }
        }),
        every(LOOK, &clock, &draining, Arc::clone(&hub), move |hub| {
            let (own, hostname) = (own.clone(), hostname.clone());
            async move { own.look(&hub, &hostname).await }
        }),
        renew(authority, certificate, names, lifetime, clock.clone(), draining.clone()),
    ];
    if let Some(files) = config.operators.certificate {
        tasks.push(every(RELOAD, &clock, &draining, for_operators, move |shown| {
            let files = files.clone();
            async move { reload(&files, &shown) }
        }));
    }
    for notifier in notifiers.iter() {
        tasks.push(tokio::spawn(notify::resend::run(
            Arc::clone(notifier),
            Arc::clone(&store),
            clock.clone(),
            draining.clone(),
        )));
        let courier = Courier {
            notifier: Arc::clone(notifier),
            terms: config.routing.terms(notifier.name()),
            store: Arc::clone(&store),
            clock: clock.clone(),
            tally: Arc::clone(&deliveries),
        };
        tasks.push(tokio::spawn(courier.run(hub.outbox(), draining.clone())));
    }
    info!(
        agents = %agents_addr,
        operators = %operators_addr,
        public_address,
        state_dir = %config.state_dir.display(),
        version = env!("CARGO_PKG_VERSION"),
        "serving"
    );
    Ok(Running {
        agents_addr,
        operators_addr,
        hub,
        journal,
        state_dir: config.state_dir,
        drain,
        health,
        ports,
        tasks,
    })
}

fn port(
    name: &'static str,
    serving: impl Future<Output = Result<(), tonic::transport::Error>> + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        if let Err(failed) = serving.await {
            error!(port = name, error = chain(&failed), "a port has stopped");
        }
    })
}

async fn listen(
    key: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), StartError> {
    let failed = |source| StartError::Listen { key, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Runs something at an interval until the server is drained.
fn every<T: Send + Sync + 'static, F: Future<Output = ()> + Send + 'static>(
    interval: Duration,
    clock: &Clock,
    drain: &Drain,
    subject: Arc<T>,
    run: impl Fn(Arc<T>) -> F + Send + 'static,
) -> JoinHandle<()> {
    let (clock, mut drain) = (clock.clone(), drain.clone());
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = clock.sleep(interval) => run(Arc::clone(&subject)).await,
                () = drain.wait() => break,
            }
        }
    })
}

/// Takes up what the files hold, if that is something else. What cannot be used, as in the middle of being replaced, is
/// tried again.
fn reload(files: &CertificateFiles, shown: &ServerCertificate) {
    match files.load() {
        Ok(key) => {
            if shown.renew_if_other(key) {
                info!(file = %files.certificate.display(), "took up another certificate for operators");
            }
        }
        Err(failed) => {
            warn!(error = chain(&failed), "the certificate for operators cannot be read again");
        }
    }
}

fn sweep_interval(silent_after: Duration) -> Duration {
    (silent_after / 10).clamp(SWEEPS.0, SWEEPS.1)
}

/// Renews the server's certificate when half of its life is over.
fn renew(
    authority: Arc<Authority>,
    certificate: Arc<ServerCertificate>,
    names: Vec<String>,
    lifetime: Duration,
    clock: Clock,
    mut drain: Drain,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            tokio::select! {
                () = clock.sleep(lifetime / 2) => {}
                () = drain.wait() => break,
            }
            match authority.issue_server(&names, lifetime, clock.now()) {
                Ok(key) => {
                    certificate.renew(key);
                    info!("renewed the server's certificate");
                }
                Err(failed) => {
                    error!(error = chain(&failed), "could not renew the server's certificate");
                }
            }
        }
    })
}

/// Every agent is a connection: the soft limit of most systems is far below what the hard one allows.
fn raise_descriptor_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        warn!(error = %error, "could not raise the limit of open files");
    }
}
