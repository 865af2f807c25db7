//! The connection to the server: TLS with its own authority, a token in every call, and errors that say what to do.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use atrest_proto::v1::alert_service_client::AlertServiceClient;
use atrest_proto::v1::audit_service_client::AuditServiceClient;
use atrest_proto::v1::fleet_service_client::FleetServiceClient;
use atrest_proto::v1::node_service_client::NodeServiceClient;
use atrest_proto::v1::operator_service_client::OperatorServiceClient;
use atrest_proto::v1::token_service_client::TokenServiceClient;
use atrest_server::state_dir::{read_file, read_secret_file};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use crate::cli::ConnectionArgs;

const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_mins(1);
/// The posture of a host may be as large as the server takes it, and lists hold a thousand rows.
const MAX_ANSWER: usize = 256 << 20;

type Authorised = InterceptedService<Channel, Bearer>;

/// The services that operators call.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) alerts: AlertServiceClient<Authorised>,
    pub(crate) audit: AuditServiceClient<Authorised>,
    pub(crate) fleet: FleetServiceClient<Authorised>,
    pub(crate) nodes: NodeServiceClient<Authorised>,
    pub(crate) operators: OperatorServiceClient<Authorised>,
    pub(crate) tokens: TokenServiceClient<Authorised>,
}

/// Puts the token into every call.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

impl Connection {
    pub(crate) async fn open(args: &ConnectionArgs) -> anyhow::Result<Self> {
        let ConnectionArgs { server, ca, token_file } = args;
        let authority = read_file(ca).with_context(|| {
            format!(
                "the server's authority is needed to trust it: copy `ca.pem` from the server's state directory \
                 and name it with --ca ({})",
                ca.display()
            )
        })?;
        let bearer = bearer(token_file)?;
        let endpoint = Endpoint::from_shared(server.clone())
            .with_context(|| format!("`{server}` is not a URL: write https://HOST:7444"))?;
        if endpoint.uri().scheme_str() != Some("https") {
            bail!("`{server}` is not an https URL: write https://HOST:7444");
        }
        let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(authority));
        let channel = endpoint
            .tls_config(tls)
            .with_context(|| format!("{} is not a certificate", ca.display()))?
            .connect_timeout(CONNECT)
            .timeout(ANSWER)
            .connect()
            .await
            .map_err(|error| explain_connect(&error, args))?;
        let limit = MAX_ANSWER;
        Ok(Self {
            alerts: AlertServiceClient::with_interceptor(channel.clone(), bearer.clone())
                .max_decoding_message_size(limit),
            audit: AuditServiceClient::with_interceptor(channel.clone(), bearer.clone())
                .max_decoding_message_size(limit),
            fleet: FleetServiceClient::with_interceptor(channel.clone(), bearer.clone())
                .max_decoding_message_size(limit),
            nodes: NodeServiceClient::with_interceptor(channel.clone(), bearer.clone())
                .max_decoding_message_size(limit),
            operators: OperatorServiceClient::with_interceptor(channel.clone(), bearer.clone())
                .max_decoding_message_size(limit),
            tokens: TokenServiceClient::with_interceptor(channel, bearer)
                .max_decoding_message_size(limit),
        })
    }
}

fn bearer(token_file: &Path) -> anyhow::Result<Bearer> {
    let token = read_secret_file(token_file).with_context(|| {
        format!(
            "a token is needed: name its file with --token-file ({}); the server wrote the first one to \
             `admin.token` in its state directory",
            token_file.display()
        )
    })?;
    let value = format!("Bearer {}", token.trim());
    let mut value: MetadataValue<Ascii> =
        value.parse().map_err(|_| anyhow!("{} holds no token", token_file.display()))?;
    value.set_sensitive(true);
    Ok(Bearer(value))
}

/// The innermost cause: what the machine said.
fn root<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error
}

fn explain_connect(error: &tonic::transport::Error, args: &ConnectionArgs) -> anyhow::Error {
    let ConnectionArgs { server, ca, .. } = args;
    let cause = root(error).to_string();
    if cause.contains("UnknownIssuer") || cause.contains("BadSignature") {
        return anyhow!(
            "the server at {server} has a certificate that the authority in {} did not sign: it is another \
             server, or its authority was made anew; copy its `ca.pem` and name it with --ca",
            ca.display()
        );
    }
    if cause.contains("NotValidForName") || cause.contains("not valid for name") {
        return anyhow!(
            "the certificate of the server at {server} is not for that name: use a name that it has, or add \
             yours to `server_names` in the server's configuration ({cause})"
        );
    }
    anyhow!(
        "no server answers at {server} ({cause}): is atrest-server running, and is --server right?"
    )
}

/// What a refused call means for who made it.
pub(crate) fn explain(status: &Status) -> anyhow::Error {
    match status.code() {
        Code::Unauthenticated => anyhow!(
            "{}: name the file of a token that this server knows with --token-file",
            status.message()
        ),
        Code::Unavailable if status.source().is_some() => {
            anyhow!("the connection to the server broke ({}): try again", status.message())
        }
        Code::Unimplemented => {
            anyhow!("the server is older than this atrestctl: {}", status.message())
        }
        Code::Unavailable
        | Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::InvalidArgument
        | Code::DeadlineExceeded
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Internal
        | Code::DataLoss => anyhow!("{}", status.message().to_owned()),
    }
}
