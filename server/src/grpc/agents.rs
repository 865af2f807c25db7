//! The stream of agents as a gRPC service. Written by hand: the generated one allots 16 KiB of buffers to every stream and
//! reads what comes at once. Here both are small, and messages are handed over as bytes, to be read in their turn.

use std::convert::Infallible;
use std::task::{Context, Poll};

use atrest_proto::v1;
use atrest_proto::v1::agent_service_server::SERVICE_NAME;
use prost::bytes::{Buf as _, Bytes};
use tonic::Status;
use tonic::body::Body;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder};
use tonic::codegen::{BoxFuture, Service, http};
use tonic::server::{Grpc, NamedService};
use tonic_prost::ProstCodec;

use super::attach::Handler;

/// What a stream holds of messages in each direction, in bytes; it grows for larger ones. A heartbeat has 60, its answer
/// a dozen.
const BUFFER: usize = 256;
/// Answers are sent when this much waits, or nothing more does.
const YIELD: usize = 32 << 10;

#[derive(Debug, Clone)]
pub(super) struct AgentServer {
    handler: Handler,
    /// The largest message, in bytes.
    max_message: usize,
}

impl AgentServer {
    pub(super) const fn new(handler: Handler, max_message: usize) -> Self {
        Self { handler, max_message }
    }
}

impl NamedService for AgentServer {
    const NAME: &'static str = SERVICE_NAME;
}

impl Service<http::Request<Body>> for AgentServer {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let Self { handler, max_message } = self.clone();
        Box::pin(async move {
            if request.uri().path() != "/atrest.v1.AgentService/Attach" {
                return Ok(Status::unimplemented("there is no such method").into_http());
            }
            let mut grpc =
                Grpc::new(AgentCodec).apply_max_message_size_config(Some(max_message), None);
            Ok(grpc.streaming(handler, request).await)
        })
    }
}

/// Answers as messages, requests as bytes.
#[derive(Debug, Clone, Copy, Default)]
struct AgentCodec;

impl Codec for AgentCodec {
    type Encode = v1::AttachResponse;
    type Decode = Bytes;
    type Encoder = <ProstCodec<v1::AttachResponse, v1::AttachRequest> as Codec>::Encoder;
    type Decoder = Raw;

    fn encoder(&mut self) -> Self::Encoder {
        ProstCodec::<v1::AttachResponse, v1::AttachRequest>::raw_encoder(settings())
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

fn settings() -> BufferSettings {
    BufferSettings::new(BUFFER, YIELD)
}

#[derive(Debug)]
struct Raw;

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }

    fn buffer_settings(&self) -> BufferSettings {
        settings()
    }
}
