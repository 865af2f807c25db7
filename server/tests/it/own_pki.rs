//! The operators' port with a certificate of somebody else's authority.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use atrest_server::config::CertificateFiles;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use crate::harness::{Operator, Server, channel, config, directory, until};

/// A company's own authority.
struct Company {
    params: CertificateParams,
    key: KeyPair,
    pem: String,
}

impl Company {
    fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { params, key, pem }
    }

    /// Puts a certificate of the server and its key into files.
    fn issue(&self, files: &CertificateFiles) {
        let put = |path: &Path, text: &str| {
            std::fs::write(path, text).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
        };
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let issuer = Issuer::from_params(&self.params, &self.key);
        put(&files.key, &key.serialize_pem());
        put(&files.certificate, &params.signed_by(&key, &issuer).unwrap().pem());
    }
}

#[tokio::test]
async fn operators_meet_the_certificate_of_the_files_and_agents_that_of_the_server() {
    let (dir, state) = directory();
    let files = CertificateFiles {
        certificate: dir.path().join("operators.pem"),
        key: dir.path().join("operators.key"),
    };
    let company = Company::new();
    company.issue(&files);
    let mut config = config(&state);
    config.operators.certificate = Some(files.clone());
    let server = Server::start(config).await;
    let port = server.running.operators_addr.port();
    let mut operator = Operator::connect(port, &company.pem, &server.admin).await;
    let token = operator.token("prod", 1).await;
    assert!(
        channel(port, &server.ca, None).await.is_err(),
        "the server's own authority is not asked"
    );
    let mut agent = crate::harness::Agent::new("es-1");
    agent.enroll(server.agents_port(), &server.ca, &token.secret).await.unwrap();
    server.attach(&agent).await;

    // Files that are in the middle of being replaced change nothing; new ones are taken up without a restart.
    let next = Company::new();
    std::fs::write(&files.key, "half").unwrap();
    server.clock.advance(Duration::from_mins(1));
    Operator::connect(port, &company.pem, &server.admin).await;
    next.issue(&files);
    until(async || {
        server.clock.advance(Duration::from_mins(1));
        channel(port, &next.pem, None).await.ok()
    })
    .await;
    assert!(channel(port, &company.pem, None).await.is_err());
    server.stop().await;
}
