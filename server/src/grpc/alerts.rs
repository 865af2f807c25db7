//! `AlertService`: what operators do about alerts, and about telling people of them.

use std::collections::BTreeMap;

use atrest_proto::model::{Finding, Outcome, Severity};
use atrest_proto::v1;
use atrest_proto::v1::alert_service_server::AlertService;
use tonic::{Request, Response, Status};
use tracing::info;

use super::guard::Caller;
use super::{Context, guard, status, wire};
use crate::alert::{Ack, Alert, AlertEnd, AlertState};
use crate::notify::{Message, Notice, Notifier};
use crate::store::{AlertRow, PageRequest};

/// The longest comment, in bytes: a sentence or two.
const MAX_COMMENT: usize = 500;
/// The shortest beginning of an id: what is shorter was not copied from anywhere.
const MIN_PREFIX: usize = 4;

#[derive(Debug, Clone)]
pub(super) struct Handler {
    context: Context,
}

impl Handler {
    pub(super) const fn new(context: Context) -> Self {
        Self { context }
    }

    /// The one alert whose id begins so.
    async fn find(&self, prefix: &str) -> Result<AlertRow, Status> {
        let hex = |c: char| c.is_ascii_hexdigit();
        if prefix.len() < MIN_PREFIX || !prefix.chars().all(hex) {
            return Err(Status::invalid_argument(
                "write the id of an alert, or at least its first 4 digits: `atrestctl alerts` shows them",
            ));
        }
        let found = self.context.store.alert_find(prefix.to_lowercase()).await;
        let mut found = found.map_err(|error| status::of_store(&error))?.into_iter();
        match (found.next(), found.next()) {
            (Some(row), None) => Ok(row),
            (None, _) => Err(Status::not_found(format!(
                "no alert has an id that begins with `{prefix}`: `atrestctl alerts` lists them"
            ))),
            (Some(_), Some(_)) => Err(Status::failed_precondition(format!(
                "several alerts have an id that begins with `{prefix}`: write more of it"
            ))),
        }
    }

    fn notifier(&self, name: &str) -> Result<&dyn Notifier, Status> {
        let notifiers = &self.context.notifiers;
        let found = notifiers.iter().find(|notifier| notifier.name() == name);
        found.map(|notifier| &**notifier).ok_or_else(|| {
            let names: Vec<_> = notifiers.iter().map(|notifier| notifier.name()).collect();
            Status::not_found(if names.is_empty() {
                "the server's configuration names no notifiers".to_owned()
            } else {
                format!("no notifier is called `{name}`: there are {}", names.join(", "))
            })
        })
    }
}

#[tonic::async_trait]
impl AlertService for Handler {
    async fn get_alert(
        &self,
        request: Request<v1::GetAlertRequest>,
    ) -> Result<Response<v1::GetAlertResponse>, Status> {
        let row = self.find(&request.into_inner().alert_id).await?;
        Ok(Response::new(v1::GetAlertResponse { alert: Some(wire::alert(row)) }))
    }

    async fn ack_alert(
        &self,
        request: Request<v1::AckAlertRequest>,
    ) -> Result<Response<v1::AckAlertResponse>, Status> {
        let caller = guard::caller(&request)?;
        let result = self.acknowledge(&caller, request.into_inner()).await;
        caller.told(&self.context, result).await.map(Response::new)
    }

    async fn list_dead_letters(
        &self,
        request: Request<v1::ListDeadLettersRequest>,
    ) -> Result<Response<v1::ListDeadLettersResponse>, Status> {
        let v1::ListDeadLettersRequest { page_size, page_token } = request.into_inner();
        let page = self
            .context
            .store
            .delivery_dead(PageRequest::new(page_size, page_token))
            .await
            .map_err(|error| status::of_store(&error))?;
        Ok(Response::new(v1::ListDeadLettersResponse {
            letters: page.items.into_iter().map(wire::dead_letter).collect(),
            next_page_token: page.next,
        }))
    }

    async fn retry_dead_letters(
        &self,
        request: Request<v1::RetryDeadLettersRequest>,
    ) -> Result<Response<v1::RetryDeadLettersResponse>, Status> {
        let caller = guard::caller(&request)?;
        let result = self.retry(&caller, request.into_inner()).await;
        caller.told(&self.context, result).await.map(Response::new)
    }

    async fn test_notifier(
        &self,
        request: Request<v1::TestNotifierRequest>,
    ) -> Result<Response<v1::TestNotifierResponse>, Status> {
        let caller = guard::caller(&request)?;
        let result = self.test(&caller, &request.into_inner().notifier).await;
        caller.told(&self.context, result).await.map(Response::new)
    }
}

impl Handler {
    async fn acknowledge(
        &self,
        caller: &Caller,
        request: v1::AckAlertRequest,
    ) -> Result<v1::AckAlertResponse, Status> {
        let v1::AckAlertRequest { alert_id, comment, until } = request;
        if comment.len() > MAX_COMMENT || comment.chars().any(char::is_control) {
            return Err(Status::invalid_argument("the comment is too long or not plain text"));
        }
        let now = self.context.clock.now();
        let until = until.map(|at| wire::timestamp(at, "until")).transpose()?;
        if until.is_some_and(|until| until <= now) {
            return Err(Status::invalid_argument("`until` has passed already"));
        }
        let AlertRow { alert, .. } = self.find(&alert_id).await?;
        let ack = Ack { at: now, by: caller.name.clone(), comment: comment.clone(), until };
        let Alert { alert_id, hostname, finding, .. } = alert;
        let mut detail = format!("{} of {} on {hostname}", finding.check, finding.asset);
        if let Some(until) = until {
            detail = format!("{detail}, until {until:.0}");
        }
        if !comment.is_empty() {
            detail = format!("{detail}: {comment}");
        }
        let entry = caller.entry(now, format!("alert:{alert_id}"), detail);
        let firing = self
            .context
            .store
            .alert_acknowledge(alert_id.clone(), ack, entry)
            .await
            .map_err(|error| status::of_store(&error))?;
        if !firing {
            return Err(Status::failed_precondition("this alert is over: there is nothing to do"));
        }
        info!(operator = caller.name, alert_id, "an alert was acknowledged");
        let row = self.find(&alert_id).await?;
        Ok(v1::AckAlertResponse { alert: Some(wire::alert(row)) })
    }

    async fn retry(
        &self,
        caller: &Caller,
        request: v1::RetryDeadLettersRequest,
    ) -> Result<v1::RetryDeadLettersResponse, Status> {
        let v1::RetryDeadLettersRequest { delivery_id, all } = request;
        if all == (delivery_id != 0) {
            return Err(Status::invalid_argument("say which message, or that all are meant"));
        }
        let Context { store, hub, clock, notifiers, .. } = &self.context;
        let which = (!all).then_some(delivery_id);
        let names = notifiers.iter().map(|notifier| notifier.name().to_owned()).collect();
        let now = clock.now();
        let object = which.map_or_else(|| "messages".to_owned(), |id| format!("message:{id}"));
        let entry = caller.entry(now, object, String::new());
        let messages = store
            .delivery_retry(which, names, now, entry)
            .await
            .map_err(|error| status::of_store(&error))?;
        if messages == 0 && !all {
            return Err(Status::not_found(format!(
                "no message {delivery_id} was given up, for a notifier that there still is: \
                 `atrestctl alert dead` lists them"
            )));
        }
        info!(operator = caller.name, messages, "messages are tried again");
        hub.wake_notifiers();
        Ok(v1::RetryDeadLettersResponse { messages })
    }

    async fn test(&self, caller: &Caller, name: &str) -> Result<v1::TestNotifierResponse, Status> {
        let notifier = self.notifier(name)?;
        let Context { clock, store, .. } = &self.context;
        let now = clock.now();
        let alert = self.sample(caller, name);
        let mut outcome = Ok(());
        // What is told of as firing must not stay so.
        for state in [AlertState::Firing, AlertState::Resolved] {
            let messages = vec![Message { alert: &alert, state, repeat: 0 }];
            outcome = notifier.deliver(&Notice { messages }, clock).await;
            if outcome.is_err() {
                break;
            }
        }
        let error = outcome.err().map(|error| error.to_string()).unwrap_or_default();
        info!(operator = caller.name, notifier = name, error, "tested a notifier");
        let entry = caller.entry(now, format!("notifier:{name}"), error.clone());
        store.audit_append(vec![entry]).await.map_err(|error| status::of_store(&error))?;
        Ok(v1::TestNotifierResponse { error })
    }

    /// A message that nobody takes for an alert.
    fn sample(&self, caller: &Caller, notifier: &str) -> Alert {
        let now = self.context.clock.now();
        let by = &caller.name;
        let finding = Finding {
            check: "test".to_owned(),
            asset: format!("notifier:{notifier}"),
            outcome: Outcome::Fail,
            severity: Severity::Info,
            summary: format!(
                "TEST: this is a test of the notifier `{notifier}`, asked for by {by}; nothing is wrong"
            ),
            remedy: "nothing is to be done".to_owned(),
            reasons: Vec::new(),
            evidence: BTreeMap::from([("test".to_owned(), "true".to_owned())]),
            affects: Vec::new(),
        };
        Alert {
            alert_id: uuid::Uuid::new_v4().simple().to_string(),
            host_id: uuid::Uuid::nil().to_string(),
            hostname: "atrest-test".to_owned(),
            cluster: "atrest-test".to_owned(),
            finding,
            path: String::new(),
            devices: Vec::new(),
            episode: 1,
            started_at: now,
            ended_at: Some(now),
            end: Some(AlertEnd::Passed),
        }
    }
}
